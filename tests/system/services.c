// SPDX-License-Identifier: BSD-2-Clause
/* The server and the redirect services of a test's world: processes with a thread a connection. */
#include "world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter_ipv4.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define IP6T_SO_ORIGINAL_DST 80

struct task {
	struct seen *seen;
	enum service_kind kind;
	int accepted;
};

/* Passes bytes on until both directions have ended. */
static void pump(int a, int b)
{
	struct pollfd ends[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };
	char buffer[65536];

	for (int open = 2; open;) {
		if (poll(ends, 2, -1) < 0)
			return;
		for (int i = 0; i < 2; i++) {
			int from = ends[i].fd, to = i ? a : b;
			ssize_t count;

			if (from < 0 || !ends[i].revents)
				continue;
			count = recv(from, buffer, sizeof(buffer), 0);
			for (ssize_t sent = 0, now; sent < count; sent += now)
				if ((now = send(to, buffer + sent, count - sent, MSG_NOSIGNAL)) < 0)
					return;
			if (count < 0)
				return;
			if (!count) {
				shutdown(to, SHUT_WR);
				ends[i].fd = -1;
				open--;
			}
		}
	}
}

/* What a proxy that knows nothing of Waybill does. */
static int connect_as_of_old(struct task *task)
{
	struct sockaddr_storage to = {};
	socklen_t size = sizeof(to);
	int onward, error;

	if (getsockopt(task->accepted, SOL_IP, SO_ORIGINAL_DST, &to, &size)) {
		size = sizeof(to);
		if (getsockopt(task->accepted, SOL_IPV6, IP6T_SO_ORIGINAL_DST, &to, &size))
			return -ENOENT;
	}
	task->seen->original = to;
	onward = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(onward, (void *)&to, size)) {
		error = -errno;
		close(onward);
		return error;
	}
	return onward;
}

static void look(struct task *task)
{
	struct seen *seen = task->seen;
	socklen_t size = sizeof(seen->original);
	size_t context = sizeof(seen->context);

	seen->records_size = sizeof(seen->records);
	if (waybill_records_query(task->accepted, seen->records, &seen->records_size))
		seen->records_size = 0;
	seen->context_size = waybill_context_query(task->accepted, seen->context, &context);
	if (!seen->context_size)
		seen->context_size = context;
	if (getsockopt(task->accepted, SOL_IP, SO_ORIGINAL_DST, &seen->original, &size)) {
		size = sizeof(seen->original);
		if (getsockopt(task->accepted, SOL_IPV6, IP6T_SO_ORIGINAL_DST, &seen->original,
			       &size))
			memset(&seen->original, 0, sizeof(seen->original));
	}
}

static void *serve(void *argument)
{
	struct task *task = argument;
	struct seen *seen = task->seen;
	struct waybill_info info;
	int onward, error = 0;

	if (task->kind == SERVICE_FORGETS) {
		onward = connect_as_of_old(task);
	} else {
		error = waybill_info_query(task->accepted, &info);
		if (!error) {
			look(task);
			seen->info = info;
		}
		if (task->kind == SERVICE_HOLDS) {
			seen->accepted++;
			pause();
		}
		onward = error ? error : waybill_connect_onward(task->accepted, 0);
	}
	if (onward == -ENOENT) {
		seen->direct++;
	} else if (onward < 0) {
		seen->last_error = -onward;
		seen->failed++;
	}
	seen->accepted++;
	if (onward < 0) {
		struct linger reset = { .l_onoff = 1 };

		setsockopt(task->accepted, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	} else {
		pump(task->accepted, onward);
		close(onward);
	}
	close(task->accepted);
	free(task);
	return NULL;
}

static void *echo(void *argument)
{
	struct task *task = argument;
	char buffer[65536];
	ssize_t count;

	while ((count = recv(task->accepted, buffer, sizeof(buffer), 0)) > 0)
		if (send(task->accepted, buffer, count, MSG_NOSIGNAL) < 0)
			break;
	close(task->accepted);
	free(task);
	return NULL;
}

static int listen_on(int family, uint16_t port, const char *any, int backlog)
{
	struct sockaddr_storage address = {};
	struct sockaddr_in6 *v6 = (void *)&address;
	struct sockaddr_in *v4 = (void *)&address;
	int descriptor = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	address.ss_family = family;
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET) {
		v4->sin_port = htons(port);
		inet_pton(family, any ? any : "127.0.0.1", &v4->sin_addr);
	} else {
		setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		v6->sin6_port = htons(port);
		inet_pton(family, any ? any : "::1", &v6->sin6_addr);
	}
	/* An address that was just added may be tentative for a moment. */
	for (int try = 0;
	     bind(descriptor, (void *)&address, family == AF_INET ? sizeof(*v4) : sizeof(*v6));
	     try++) {
		if (errno != EADDRNOTAVAIL || try == patience(200)) {
			fprintf(stderr, "port %u: %s\n", port, strerror(errno));
			_exit(1);
		}
		usleep(10000);
	}
	if (listen(descriptor, backlog)) {
		fprintf(stderr, "port %u: %s\n", port, strerror(errno));
		_exit(1);
	}
	return descriptor;
}

static void accept_forever(struct seen *seen, enum service_kind kind, void *(*each)(void *),
			   int listeners[2], bool count)
{
	struct pollfd ends[2] = { { .fd = listeners[0], .events = POLLIN },
				  { .fd = listeners[1], .events = POLLIN } };
	pthread_attr_t detached;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&detached, 262144);
	seen->ready = 1;
	while (kind == SERVICE_LISTENS)
		pause();
	while (kind == SERVICE_WAITS && !seen->go)
		usleep(1000);
	for (;;) {
		poll(ends, 2, -1);
		for (int i = 0; i < 2; i++) {
			socklen_t size = sizeof(seen->peer);
			struct task *task;
			pthread_t thread;
			int accepted;

			if (!ends[i].revents)
				continue;
			accepted = accept4(ends[i].fd, (void *)&seen->peer, &size, SOCK_CLOEXEC);
			if (accepted < 0)
				continue;
			if (count)
				seen->accepted++;
			task = malloc(sizeof(*task));
			*task = (struct task){ .seen = seen, .kind = kind, .accepted = accepted };
			if (pthread_create(&thread, &detached, each, task)) {
				close(accepted);
				free(task);
			}
		}
	}
}

void world_enter(const struct world *world, const char *leaf)
{
	char path[512];
	int descriptor;

	snprintf(path, sizeof(path), "%s%s/%s/cgroup.procs", world->mount, world->cgroup, leaf);
	descriptor = open(path, O_WRONLY | O_CLOEXEC);
	if (descriptor < 0 || write(descriptor, "0", 1) != 1) {
		perror(path);
		_exit(1);
	}
	close(descriptor);
}

static pid_t start(void)
{
	pid_t parent = getpid(), child = fork();

	EXPECT(child >= 0);
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		alarm(0);
	}
	return child;
}

bool world_service_fork(struct world *world, int i)
{
	char leaf[16];

	memset(&world->seen[i], 0, sizeof(world->seen[i]));
	world->service[i] = start();
	if (world->service[i])
		return false;
	snprintf(leaf, sizeof(leaf), "s%d", i);
	world_enter(world, !world->by_user     ? leaf :
			   world->service_leaf ? world->service_leaf :
						 "other");
	if (world->by_user && (setresgid(SERVICE_UID(i), SERVICE_UID(i), SERVICE_UID(i)) ||
			       setresuid(SERVICE_UID(i), SERVICE_UID(i), SERVICE_UID(i))))
		_exit(1);
	/* A changed user drops it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return true;
}

bool world_server_fork(struct world *world)
{
	world->server = start();
	if (world->server)
		return false;
	world_enter(world, "other");
	return true;
}

void world_service(struct world *world, int i, enum service_kind kind)
{
	int listeners[2], backlog = kind == SERVICE_LISTENS ? 0 : 4096;

	if (world_service_fork(world, i)) {
		listeners[0] = listen_on(AF_INET, SERVICE_PORT(i), NULL, backlog);
		listeners[1] = listen_on(AF_INET6, SERVICE_PORT(i), NULL, backlog);
		accept_forever(&world->seen[i], kind, serve, listeners, false);
	}
	expect_count("service ready", &world->seen[i].ready, 1);
}

void world_service_end(struct world *world, int i)
{
	kill(world->service[i], SIGKILL);
	waitpid(world->service[i], NULL, 0);
	world->service[i] = 0;
}

void world_server(struct world *world)
{
	int listeners[2];

	if (world_server_fork(world)) {
		listeners[0] = listen_on(AF_INET, SERVER_PORT, SERVER4, 1024);
		listeners[1] = listen_on(AF_INET6, SERVER_PORT, SERVER6, 1024);
		accept_forever(SERVER_SEEN(world), SERVICE_RECORDS, echo, listeners, true);
	}
	expect_count("server ready", &SERVER_SEEN(world)->ready, 1);
}

int world_as(struct world *world, const char *leaf, uid_t user, int (*function)(void *), void *data)
{
	pid_t child = start();
	int status;

	if (!child) {
		world_enter(world, leaf);
		if (user && (setresgid(user + 1000, user + 1000, user + 1000) ||
			     setresuid(user, user, user)))
			_exit(99);
		_exit(function(data) & 0xff);
	}
	EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status), "the child was killed");
	return WEXITSTATUS(status);
}
