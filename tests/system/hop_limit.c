// SPDX-License-Identifier: BSD-2-Clause
/* hop_limit: with a limit of two hops, the connect that would be the third gives ELOOP. */
#include "world.h"

int main(void)
{
	struct world world;
	char byte;

	world_begin(&world, "hop_limit");
	world_up(&world);
	world_server(&world);
	for (int i = 0; i < 3; i++)
		world_service(&world, i, SERVICE_RECORDS);
	EXPECT(!world_apply(
		&world,
		"version: 1\n"
		"limits: { hops: 2 }\n"
		"services:\n"
		"  - { name: a, weight: 3, endpoint: { tcp: 9001 }, identity: { cgroup: %C/s0 } }\n"
		"  - { name: b, weight: 2, endpoint: { tcp: 9002 }, identity: { cgroup: %C/s1 } }\n"
		"  - { name: c, weight: 1, endpoint: { tcp: 9003 }, identity: { cgroup: %C/s2 } }\n"
		"filters:\n"
		"  - { name: all, service: a, action: redirect }\n"
		"  - { name: all, service: b, action: redirect }\n"
		"  - { name: all, service: c, action: redirect }\n"));
	for (int family = 0; family < FAMILIES; family++) {
		int descriptor = connect_to(family, SERVER_PORT);

		EXPECT(descriptor >= 0);
		EXPECT(recv(descriptor, &byte, 1, 0) <= 0, "it must not get through");
		expect_count("b's connects", &world.seen[1].failed, family + 1);
		EXPECT(world.seen[1].last_error == ELOOP, "%s", strerror(world.seen[1].last_error));
		EXPECT(counter(&world, COUNT_HOP_LIMIT) == (uint64_t)family + 1);
	}
	EXPECT(world.seen[2].accepted == 0 && SERVER_SEEN(&world)->accepted == 0);
	world_end(&world);
}
