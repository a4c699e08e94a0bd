// SPDX-License-Identifier: BSD-2-Clause
/*
 * own_endpoint: a connect aimed at a service's own endpoint is left alone, by an application or by
 * another service, whatever the filters say; the service sees that nobody redirected it, and
 * neither it nor anybody else loops. Where nobody of the service listens, the port is like others.
 */
#include "world.h"

#include <arpa/inet.h>

static int dial(enum family family, uint16_t port)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(family, port, &address);
	int descriptor = socket_of(family, 0), error;

	if (family == V6)
		((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
	else if (family == V4)
		((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		inet_pton(AF_INET6, "::ffff:127.0.0.1",
			  &((struct sockaddr_in6 *)&address)->sin6_addr);
	if (!connect(descriptor, (void *)&address, length))
		return descriptor;
	error = -errno;
	close(descriptor);
	return error;
}

static int dial_as_service(void *data)
{
	int descriptor = dial(V4, SERVICE_PORT(0));

	return descriptor < 0 ? -descriptor : 0;
}

int main(void)
{
	struct world world;
	char byte;

	world_begin(&world, "own_endpoint");
	world_up(&world);
	world_service(&world, 0, SERVICE_RECORDS);
	world_service(&world, 1, SERVICE_RECORDS);
	EXPECT(!world_apply(
		&world,
		"version: 1\n"
		"services:\n"
		"  - { name: a, weight: 2, endpoint: { tcp: 9001 }, identity: { cgroup: %C/s0 }, when_down: pass }\n"
		"  - { name: b, weight: 1, endpoint: { tcp: 9002 }, identity: { cgroup: %C/s1 }, when_down: pass }\n"
		"filters:\n"
		"  - { name: all, service: a, action: redirect }\n"
		"  - { name: all, service: b, action: redirect }\n"));
	for (int i = 0; i < 2 * FAMILIES; i++) {
		int descriptor = dial(i / 2, SERVICE_PORT(i % 2));

		EXPECT(descriptor >= 0, "%s", strerror(-descriptor));
		EXPECT(recv(descriptor, &byte, 1, 0) <= 0);
		close(descriptor);
		expect_count("direct", &world.seen[i % 2].direct, i / 2 + 1);
	}
	EXPECT(counter(&world, COUNT_REDIRECTED) == 0);
	EXPECT(counter(&world, COUNT_TO_SERVICE) == 2 * FAMILIES);
	EXPECT(!world_as(&world, "s1", 0, dial_as_service, NULL));
	expect_count("direct", &world.seen[0].direct, FAMILIES + 1);
	/* Dead, its port is an address like any other: a sees the attempt, and cannot connect. */
	world_service_end(&world, 1);
	EXPECT(dial(V4, SERVICE_PORT(1)) >= 0);
	expect_count("failed", &world.seen[0].failed, 1);
	EXPECT(world.seen[0].last_error == ECONNREFUSED);
	world_end(&world);
}
