// SPDX-License-Identifier: BSD-2-Clause
/*
 * nothing_lingers: after 10,000 connections of every kind (closed, reset, refused onward, refused
 * by policy, abandoned while the handshake was under way, and timed out in it) no map holds
 * anything of them, and no user's share of the handoffs is used.
 */
#include "world.h"

#include <bpf/bpf.h>
#include <fcntl.h>

static void all_are_zero(struct world *world, const char *name, uint32_t count)
{
	char path[256];
	int map;

	snprintf(path, sizeof(path), "/sys/fs/bpf/waybill/%s/maps/%s", world->name, name);
	map = bpf_obj_get(path);
	for (uint32_t i = 0, value = 0; i < count; i++) {
		EXPECT(!bpf_map_lookup_elem(map, &i, &value));
		EXPECT(!value, "%s %u is %d", name, i, (int)value);
	}
	close(map);
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
	EXPECT(map_entries(world, "handoffs") > 100, "%d", map_entries(world, "handoffs"));
	for (int i = 0; i < 200; i += 2)
		close(descriptors[i]);
	/* The others time out: the second SYN goes after 1 s, and 2 s later it is over. */
	for (int i = 0; i < patience(80) && map_entries(world, "handoffs"); i++)
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
	usleep(300000);
	EXPECT(map_entries(&world, "handoffs") == 0, "%d", map_entries(&world, "handoffs"));
	EXPECT(map_entries(&world, "handoff_histories") == 0);
	all_are_zero(&world, "shares", SHARES_MAX);
	all_are_zero(&world, "ports", 65536);
	EXPECT(counter(&world, COUNT_HANDOFF_LOST) == 0);
	world_end(&world);
}
