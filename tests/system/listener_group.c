// SPDX-License-Identifier: BSD-2-Clause
/*
 * listener_group: a stranger of the service's user, who had a socket at its port before the policy
 * could refuse that, shares the port with it (SO_REUSEPORT): the kernel gives each of them some of
 * the connections, TCP or UDP. Then the service is down; the stranger gets none. Sockets of the
 * service's own may share its port.
 */
#include "../../platform/explain.h"
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

static void policy(bool services, bool by_user)
{
	as_root(&world);
	EXPECT(!world_apply(
		&world,
		by_user ?
			"version: 1\nservices:\n"
			"  - { name: a, weight: 1, endpoint: { tcp: 9001, udp: 9001 }, identity: { "
			"user: 60001 } }\n"
			"filters:\n"
			"  - { name: all, service: a, match: { remote_port: 8080 }, action: redirect }\n" :
		services ?
			"version: 1\nservices:\n"
			"  - { name: a, weight: 1, endpoint: { tcp: 9001, udp: 9001 }, identity: { "
			"cgroup: %C/s0 } }\n"
			"filters:\n"
			"  - { name: all, service: a, match: { remote_port: 8080 }, action: redirect }\n" :
			"version: 1\nservices: []\nfilters: []\n"));
}

/* What explain and doctor say of it. */
static bool seems_shared(int type)
{
	struct waybill_address endpoint = { .family = AF_INET, .port = htons(SERVICE_PORT(0)) };
	struct listener listener;

	memcpy(endpoint.address, (unsigned char[16]){ [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 }, 16);
	EXPECT(!listener_look_up(&endpoint, type == SOCK_DGRAM, &listener));
	return listener.shared;
}

static void share(int type)
{
	int stranger, own[2];

	policy(false, false);
	as_namesake();
	stranger = socket_at_endpoint(type);
	policy(true, false);
	as_service(&world, 0);
	for (int i = 0; i < 2; i++)
		own[i] = socket_at_endpoint(type);
	as_application(&world);
	for (int i = 0; i < CONNECTS; i++)
		EXPECT_RESULT(try(type), -ECONNREFUSED);
	EXPECT(!has_something(stranger));
	EXPECT(seems_shared(type));
	close(stranger);
	EXPECT(!seems_shared(type));
	for (int i = 0; i < CONNECTS; i++)
		EXPECT_RESULT(try(type), 0);
	EXPECT(has_something(own[0]) && has_something(own[1]));
	close(own[0]);
	close(own[1]);
}

/* Told by its user alone, whoever is of that user is the service, wherever he is. */
static void share_of_one_user(int type)
{
	int one, other;

	policy(true, true);
	as_namesake();
	one = socket_at_endpoint(type);
	as_service(&world, 0);
	EXPECT(!setresuid(0, 0, 0) && !setresuid(SERVICE_UID(0), SERVICE_UID(0), 0));
	other = socket_at_endpoint(type);
	as_application(&world);
	for (int i = 0; i < CONNECTS; i++)
		EXPECT_RESULT(try(type), 0);
	EXPECT(has_something(one) && has_something(other));
	close(one);
	close(other);
}

int main(void)
{
	world_begin(&world, "listener_group");
	world_up(&world);
	share(SOCK_STREAM);
	share(SOCK_DGRAM);
	share_of_one_user(SOCK_STREAM);
	share_of_one_user(SOCK_DGRAM);
	as_root(&world);
	world_end(&world);
}
