// SPDX-License-Identifier: BSD-2-Clause
/*
 * filters: protocol, remote prefix, remote port, user and cgroup subtree each decide; in a service
 * the filter of the highest weight decides (permit, block, redirect), then the next service is
 * asked; user and cgroup are the originator's also further down the chain.
 */
#include "world.h"

#include <arpa/inet.h>

struct request {
	const char *address;
	uint16_t port;
};

/* Connects, and says by which services it went: bits of those whose count grew, or an errno. */
static int attempt(void *data)
{
	struct request *request = data;
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(request->port) };
	int descriptor = socket(AF_INET, SOCK_STREAM, 0);
	char byte;

	inet_pton(AF_INET, request->address, &address.sin_addr);
	if (connect(descriptor, (void *)&address, sizeof(address)))
		return errno;
	/* The server is not there for most of these; services close then. */
	shutdown(descriptor, SHUT_WR);
	while (recv(descriptor, &byte, 1, 0) > 0)
		;
	return 0;
}

static void expect_way(struct world *world, const char *leaf, uid_t user, const char *address,
		       uint16_t port, int error, int a, int b, int line)
{
	struct request request = { address, port };
	int before[2] = { world->seen[0].accepted, world->seen[1].accepted };
	int got = world_as(world, leaf, user, attempt, &request);

	/* Nobody listens at most of these addresses: unredirected connects are refused. */
	EXPECT(got == error, "line %d: %s", line, strerror(got));
	for (int i = 0; i < patience(100) && (world->seen[0].accepted != before[0] + a ||
					      world->seen[1].accepted != before[1] + b);
	     i++)
		usleep(10000);
	EXPECT(world->seen[0].accepted == before[0] + a, "line %d: service a", line);
	EXPECT(world->seen[1].accepted == before[1] + b, "line %d: service b", line);
}

#define WAY(leaf, user, address, port, error, a, b)                                                \
	expect_way(&world, leaf, user, address, port, error, a, b, __LINE__)

int main(void)
{
	struct world world;

	world_begin_two(&world, "filters");
	EXPECT(!world_apply(
		&world, WORLD_TWO_SERVICES
		"filters:\n"
		"  - { name: prefix, service: a, weight: 5, match: { protocol: tcp, remote: [ 127.66.1.0/24 ], user: [ 0-60999 ] }, action: redirect }\n"
		"  - { name: hole, service: a, weight: 9, match: { remote: [ 127.66.1.128/25 ] }, action: permit }\n"
		"  - { name: wall, service: a, weight: 10, match: { remote: [ 127.66.1.255 ] }, action: block }\n"
		"  - { name: port, service: b, match: { remote_port: [ 8080, 8090-8099 ], user: [ 0-60999 ] }, action: redirect }\n"
		"  - { name: user, service: b, match: { remote_port: [ 7000 ], user: [ 61000 ] }, action: redirect }\n"
		"  - { name: cgroup, service: b, match: { remote_port: [ 7001 ], cgroup: [ %C/app ] }, action: redirect }\n"
		"  - { name: chain-user, service: a, match: { remote_port: [ 7002 ] }, action: redirect }\n"
		"  - { name: chain-user, service: b, match: { remote_port: [ 7002 ], user: [ 61000 ], cgroup: [ %C/app ] }, action: redirect }\n"));
	WAY("app", 0, "127.66.1.1", 80, 0, 1, 0);
	WAY("app", 0, "127.66.2.1", 80, ECONNREFUSED, 0, 0);
	WAY("app", 0, "127.66.1.1", 8080, 0, 1, 1);
	WAY("app", 0, "127.66.1.129", 80, ECONNREFUSED, 0, 0);
	WAY("app", 0, "127.66.1.129", 8095, 0, 0, 1);
	WAY("app", 0, "127.66.1.255", 8080, ECONNREFUSED, 0, 0);
	EXPECT(counter(&world, COUNT_BLOCKED) == 1);
	WAY("app", 0, "127.66.2.1", 8089, ECONNREFUSED, 0, 0);
	WAY("app", 0, "127.66.2.1", 8090, 0, 0, 1);
	WAY("app", 0, "127.66.2.1", 8099, 0, 0, 1);
	WAY("app", 0, "127.66.2.1", 8100, ECONNREFUSED, 0, 0);
	/* The user, not the group: uid 61000 has gid 62000 here. */
	WAY("app", 61000, "127.66.2.1", 7000, 0, 0, 1);
	WAY("app", 60000, "127.66.2.1", 7000, ECONNREFUSED, 0, 0);
	WAY("app", 61000, "127.66.1.1", 80, ECONNREFUSED, 0, 0);
	WAY("app", 0, "127.66.2.1", 7001, 0, 0, 1);
	WAY("other", 0, "127.66.2.1", 7001, ECONNREFUSED, 0, 0);
	/* Below the cgroup counts too: the world itself holds all of them. */
	EXPECT(!world_apply(
		&world, WORLD_TWO_SERVICES
		"filters:\n"
		"  - { name: subtree, service: b, match: { remote_port: [ 7001 ], cgroup: [ %C ] }, action: redirect }\n"
		"  - { name: chain-user, service: a, match: { remote_port: [ 7002 ] }, action: redirect }\n"
		"  - { name: chain-user, service: b, match: { remote_port: [ 7002 ], user: [ 61000 ], cgroup: [ %C/app ] }, action: redirect }\n"));
	WAY("app", 0, "127.66.2.1", 7001, 0, 0, 1);
	WAY("other", 0, "127.66.2.1", 7001, 0, 0, 1);
	/* b's conditions are about who started the chain, not about a. */
	WAY("app", 61000, "127.66.2.1", 7002, 0, 1, 1);
	WAY("app", 0, "127.66.2.1", 7002, 0, 1, 0);
	WAY("other", 61000, "127.66.2.1", 7002, 0, 1, 0);
	world_end(&world);
}
