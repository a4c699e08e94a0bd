// SPDX-License-Identifier: BSD-2-Clause
/*
 * Network namespaces that a policy names. The kernel half knows them by their cookies, which are
 * never given again; a thread that enters the namespace asks for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "value.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct visit {
	int namespace;
	int error;
	uint64_t cookie;
};

static void *visit(void *data)
{
	struct visit *visit = data;
	socklen_t size = sizeof(visit->cookie);
	int socket_here;

	if (setns(visit->namespace, CLONE_NEWNET)) {
		visit->error = -errno;
		return NULL;
	}
	socket_here = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (socket_here < 0 ||
	    getsockopt(socket_here, SOL_SOCKET, SO_NETNS_COOKIE, &visit->cookie, &size))
		visit->error = -errno;
	if (socket_here >= 0)
		close(socket_here);
	return NULL;
}

int value_netns(const char *text, uint64_t *cookie, struct reason *reason)
{
	struct visit of = { .error = 0 };
	char path[PATH_MAX];
	pthread_t thread;
	int error;

	snprintf(path, sizeof(path), "%s%s", strchr(text, '/') ? "" : "/run/netns/", text);
	of.namespace = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (of.namespace < 0) {
		snprintf(reason->text, sizeof(reason->text),
			 "is not a network namespace here: %s (ip netns list shows those with a "
			 "name; of a process it is /proc/PID/ns/net)",
			 strerror(errno));
		return -EINVAL;
	}
	/* The thread may be done before pthread_create() returns: not into of.error. */
	error = -pthread_create(&thread, NULL, visit, &of);
	if (!error) {
		pthread_join(thread, NULL);
		error = of.error;
	}
	close(of.namespace);
	*cookie = of.cookie;
	if (!error)
		return 0;
	snprintf(reason->text, sizeof(reason->text), "cannot be entered: %s%s", strerror(-error),
		 error == -EPERM  ? " (needs root)" :
		 error == -EINVAL ? " (it is not the file of a network namespace)" :
				    "");
	return -EINVAL;
}
