// SPDX-License-Identifier: BSD-2-Clause
/*
 * bind_beside: strangers at the port of a service, beside it and in the gap while it restarts, of
 * its own user and of another: at every address, with SO_REUSEADDR and SO_REUSEPORT, over TCP, MPTCP
 * and UDP. None is ever bound or holds the port for a moment, each attempt is counted, and every
 * connection is the service's or refused.
 */
#include "records_tools.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define RESTARTS 30

static struct world world;

/* What the strangers came by. Shared with them. */
static struct {
	atomic_int stop, tried, bound, refused, other;
} * strangers;

static const struct {
	int family, type, protocol;
	const char *address;
} places[] = {
	{ AF_INET, SOCK_STREAM, 0, "127.0.0.1" },  { AF_INET, SOCK_STREAM, 0, "0.0.0.0" },
	{ AF_INET, SOCK_STREAM, 0, "127.66.0.9" }, { AF_INET6, SOCK_STREAM, 0, "::1" },
	{ AF_INET6, SOCK_STREAM, 0, "::" },        { AF_INET6, SOCK_STREAM, 0, "::ffff:127.0.0.1" },
	{ AF_INET, SOCK_STREAM, 262, "0.0.0.0" },  { AF_INET, SOCK_DGRAM, 0, "127.0.0.9" },
	{ AF_INET, SOCK_DGRAM, 0, "0.0.0.0" },     { AF_INET6, SOCK_DGRAM, 0, "::" },
};

static void try(size_t place, int option)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(SERVICE_PORT(0)) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	bool is4 = places[place].family == AF_INET;
	int descriptor = socket(places[place].family, places[place].type, places[place].protocol);
	int one = 1;

	/* Not every kernel has MPTCP. */
	if (descriptor < 0)
		return;
	inet_pton(places[place].family, places[place].address,
		  is4 ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr);
	if (option)
		setsockopt(descriptor, SOL_SOCKET, option, &one, sizeof(one));
	strangers->tried++;
	if (!(is4 ? bind(descriptor, (void *)&v4, sizeof(v4)) :
		    bind(descriptor, (void *)&v6, sizeof(v6))))
		strangers->bound++;
	else if (errno == EACCES)
		strangers->refused++;
	else
		strangers->other = errno;
	close(descriptor);
}

static pid_t begin(uid_t user)
{
	static const int options[] = { 0, SO_REUSEADDR, SO_REUSEPORT };
	pid_t child = fork();

	if (child)
		return child;
	as_application(&world);
	EXPECT(!setresuid(0, 0, 0) && !setresuid(user, user, user));
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!strangers->stop)
		for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
			for (size_t j = 0; j < sizeof(options) / sizeof(*options); j++)
				try(i, options[j]);
	_exit(0);
}

/* The service, which lets its port be shared as far as it can. */
static int service_listener(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	int descriptor, one = 1;

	as_service(&world, 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	descriptor = socket_of(V4, 0);
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	EXPECT(!bind(descriptor, (void *)&address, sizeof(address)), "%s", strerror(errno));
	EXPECT(!listen(descriptor, 64));
	return descriptor;
}

int main(void)
{
	pid_t child[2];
	int listener;

	strangers = mmap(NULL, sizeof(*strangers), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	EXPECT(strangers != MAP_FAILED);
	world_begin(&world, "bind_beside");
	world_up(&world);
	EXPECT(!world_apply(
		&world,
		"version: 1\nservices:\n"
		"  - { name: a, weight: 1, endpoint: { tcp: 9001, udp: 9001 }, identity: { cgroup: "
		"%C/s0 } }\n"
		"filters:\n"
		"  - { name: all, service: a, match: { remote_port: 8080 }, action: redirect }\n"));
	child[0] = begin(SERVICE_UID(0));
	child[1] = begin(APPLICATION_UID);
	for (int wait = 0; !strangers->refused && wait < patience(10000); wait++)
		usleep(1000);
	for (int i = 0; i < RESTARTS; i++) {
		struct leg leg;

		listener = service_listener();
		redirect_application(&world, 0, listener, V4, &leg);
		EXPECT_RESULT(state_of(leg.accepted), WAYBILL_REDIRECTED_BY_SELF);
		close(leg.client);
		close(leg.accepted);
		close(listener);
		as_application(&world);
		EXPECT_RESULT(connect_to(V4, SERVER_PORT), -ECONNREFUSED);
	}
	strangers->stop = 1;
	for (int i = 0; i < 2; i++) {
		int status;

		EXPECT(waitpid(child[i], &status, 0) == child[i] && !status);
	}
	EXPECT(!strangers->bound, "%d of %d", strangers->bound, strangers->tried);
	EXPECT(!strangers->other, "%s", strerror(strangers->other));
	EXPECT(strangers->refused == strangers->tried, "%d", strangers->tried);
	EXPECT(counted(&world, COUNT_BIND_REFUSED) == (uint64_t)strangers->refused);
	as_root(&world);
	world_end(&world);
}
