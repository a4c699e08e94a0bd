// SPDX-License-Identifier: BSD-2-Clause
/*
 * listener_group: a stranger of the service's user, who had a socket at its port before the policy
 * could refuse that, shares the port with it (SO_REUSEPORT): the kernel gives each of them some of
 * the connections, TCP or UDP. Then the service is down; the stranger gets none. Sockets of the
 * service's own may share its port.
 */
#include "records_tools.h"

#include <poll.h>

#define CONNECTS 40

static struct world world;

/* The service's user, somewhere else. */
static void as_namesake(void)
{
	as_application(&world);
	EXPECT(!setresuid(0, 0, 0) && !setresuid(SERVICE_UID(0), SERVICE_UID(0), 0));
}

static int socket_at_endpoint(int type)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	int descriptor = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;

	EXPECT(!setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)));
	if (type == SOCK_STREAM)
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT(!bind(descriptor, (void *)&address, sizeof(address)), "%s", strerror(errno));
	EXPECT(type == SOCK_DGRAM || !listen(descriptor, CONNECTS));
	return descriptor;
}

/* A connection, or a datagram, of the application. 0 or a negative errno. */
static int try(int type)
{
	int descriptor = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	int error = connect_socket(descriptor, V4, SERVER_PORT);

	if (!error && type == SOCK_DGRAM)
		EXPECT(send(descriptor, "x", 1, 0) == 1);
	close(descriptor);
	return error;
}

static bool has_something(int descriptor)
{
	struct pollfd wait = { .fd = descriptor, .events = POLLIN };

	return poll(&wait, 1, 0) == 1;
}

static void policy(bool services)
{
	as_root(&world);
	EXPECT(!world_apply(
		&world,
		services ?
			"version: 1\nservices:\n"
			"  - { name: a, weight: 1, endpoint: { tcp: 9001, udp: 9001 }, identity: { "
			"cgroup: %C/s0 } }\n"
			"filters:\n"
			"  - { name: all, service: a, match: { remote_port: 8080 }, action: redirect }\n" :
			"version: 1\nservices: []\nfilters: []\n"));
}

static void share(int type)
{
	int stranger, own[2];

	policy(false);
	as_namesake();
	stranger = socket_at_endpoint(type);
	policy(true);
	as_service(&world, 0);
	for (int i = 0; i < 2; i++)
		own[i] = socket_at_endpoint(type);
	as_application(&world);
	for (int i = 0; i < CONNECTS; i++)
		EXPECT_RESULT(try(type), -ECONNREFUSED);
	EXPECT(!has_something(stranger));
	close(stranger);
	for (int i = 0; i < CONNECTS; i++)
		EXPECT_RESULT(try(type), 0);
	EXPECT(has_something(own[0]) && has_something(own[1]));
	close(own[0]);
	close(own[1]);
}

int main(void)
{
	world_begin(&world, "listener_group");
	world_up(&world);
	share(SOCK_STREAM);
	share(SOCK_DGRAM);
	as_root(&world);
	world_end(&world);
}
