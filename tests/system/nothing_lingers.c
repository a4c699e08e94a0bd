// SPDX-License-Identifier: BSD-2-Clause
/*
 * nothing_lingers: connections of every kind (closed, reset, refused onward, refused by policy,
 * abandoned while the handshake was under way, and timed out in it) hold a number only until others
 * have looked at it: what is counted, and what is in the tables, is no more than the numbers that
 * are used in turn, and what lives.
 */
#include "world.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <netinet/tcp.h>

/* What all users together have in their shares. */
static uint32_t shared(struct world *world)
{
	uint32_t sum = 0;

	for (uint32_t i = 0, value = 0; i < SHARES_MAX; i++) {
		EXPECT(!bpf_map_lookup_elem(world->instance->map[MAP_SHARES], &i, &value));
		sum += value;
	}
	return sum;
}

static bool has_ended(int descriptor)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	EXPECT(!getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size));
	return info.tcpi_state == TCP_CLOSE;
}

/* Handshakes that never complete: the service's backlog is full. Half end with the socket. */
static void abandon(struct world *world)
{
	int descriptors[200];

	EXPECT(!system("sysctl -qw net.ipv4.tcp_syn_retries=1"));
	for (int i = 0; i < 200; i++) {
		struct sockaddr_storage address;
		socklen_t length = address_of(i % FAMILIES, 8091, &address);

		descriptors[i] = socket_of(i % FAMILIES, SOCK_NONBLOCK);
		connect(descriptors[i], (void *)&address, length);
	}
	for (int i = 0; i < 200; i += 2)
		close(descriptors[i]);
	/* The others time out: the second SYN goes after 1 s, and 2 s later it is over. */
	for (int i = 1; i < 200; i += 2)
		for (int wait = 0; wait < patience(80) && !has_ended(descriptors[i]); wait++)
			usleep(100000);
	for (int i = 1; i < 200; i += 2)
		close(descriptors[i]);
}

int main(void)
{
	struct linger reset = { .l_onoff = 1 };
	struct world world;

	world_begin(&world, "nothing_lingers");
	world_up(&world);
	world_server(&world);
	world_service(&world, 0, SERVICE_RECORDS);
	world_service(&world, 1, SERVICE_RECORDS);
	world_service(&world, 2, SERVICE_LISTENS);
	EXPECT(!world_apply(
		&world,
		"version: 1\n"
		"services:\n"
		"  - { name: a, weight: 3, endpoint: { tcp: 9001 }, identity: { cgroup: %C/s0 } }\n"
		"  - { name: b, weight: 2, endpoint: { tcp: 9002 }, identity: { cgroup: %C/s1 } }\n"
		"  - { name: c, weight: 1, endpoint: { tcp: 9003 }, identity: { cgroup: %C/s2 } }\n"
		"filters:\n"
		"  - { name: a, service: a, match: { remote_port: [ 8080-8089 ] }, action: redirect }\n"
		"  - { name: b, service: b, match: { remote_port: [ 8080-8089 ] }, action: redirect }\n"
		"  - { name: no, service: b, match: { remote_port: [ 8090 ] }, action: block }\n"
		"  - { name: full, service: c, match: { remote_port: [ 8091 ] }, action: redirect }\n"));
	for (int i = 0; i < 10000; i++) {
		static const uint16_t ports[] = { SERVER_PORT, SERVER_PORT, 8081, 8090 };
		int descriptor = connect_to(i % FAMILIES, ports[i % 4]);

		if (i % 4 == 3) {
			EXPECT(descriptor == -ECONNREFUSED);
			continue;
		}
		EXPECT(descriptor >= 0, "connection %d: %s", i, strerror(-descriptor));
		if (i % 4 == 1)
			setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (i % 8 == 0)
			echo_check(descriptor, "x");
		close(descriptor);
	}
	abandon(&world);
	/* Ordinary ones: when one is answered, the services have done with all before it. */
	for (int i = 0; i < 10000; i++) {
		int descriptor = connect_to(i % FAMILIES, SERVER_PORT);

		echo_check(descriptor, "x");
		close(descriptor);
	}
	EXPECT(connections_counted(&world) <= 4 * CONNECTIONS_SPREAD, "%d",
	       connections_counted(&world));
	EXPECT(shared(&world) == (uint32_t)connections_counted(&world), "%u", shared(&world));
	EXPECT(map_entries(&world, "connections") <= 8 * CONNECTIONS_SPREAD, "%d",
	       map_entries(&world, "connections"));
	EXPECT(map_entries(&world, "connection_histories") <= 8 * CONNECTIONS_SPREAD);
	EXPECT(map_entries(&world, "connection_index") <= 8 * CONNECTIONS_SPREAD);
	EXPECT(counter(&world, COUNT_UNCLAIMED) == 0);
	world_end(&world);
}
