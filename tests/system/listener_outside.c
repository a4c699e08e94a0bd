// SPDX-License-Identifier: BSD-2-Clause
/*
 * listener_outside: a service told by its user, whose listener was made outside of the instance's
 * cgroup, could be handed no records, so it counts as down, by whoever it is held now: "when_down:
 * block" gives ECONNREFUSED, "when_down: pass" goes on without it. Inside, it sees connections.
 */
#include "records_tools.h"

/* Where the instance is not: its cgroup is the world's, and that is at the top. */
#define OUTSIDE ".."

static void expect_down(struct world *world)
{
	uint64_t redirected = counter(world, COUNT_REDIRECTED), before;

	world_policy(world, 1, "    when_down: block\n");
	before = counter(world, COUNT_DOWN_BLOCKED);
	for (int family = 0; family < FAMILIES; family++)
		EXPECT_RESULT(connect_to(family, SERVER_PORT), -ECONNREFUSED);
	EXPECT(counter(world, COUNT_DOWN_BLOCKED) == before + FAMILIES);

	world_policy(world, 1, "    when_down: pass\n");
	before = counter(world, COUNT_DOWN_PASSED);
	for (int family = 0; family < FAMILIES; family++) {
		int descriptor = connect_to(family, SERVER_PORT);

		EXPECT(descriptor >= 0, "%s", result_name(descriptor));
		echo_check(descriptor, "without a\n");
		close(descriptor);
	}
	EXPECT(counter(world, COUNT_DOWN_PASSED) == before + FAMILIES);
	EXPECT(counter(world, COUNT_REDIRECTED) == redirected);
}

int main(void)
{
	int listener[2], descriptor;
	struct world world;
	uint64_t root;

	world_begin(&world, "listener_outside");
	if (cgroup_id(world.mount, &root) || root != CGROUP_ROOT)
		world_skip("needs the root of all cgroups");
	world.by_user = true;
	world_up(&world);
	world_server(&world);

	world.service_leaf = OUTSIDE;
	world_service(&world, 0, SERVICE_RECORDS);
	expect_down(&world);
	EXPECT(world.seen[0].accepted == 0);
	world_service_end(&world, 0);

	/* What counts is where the listener was made, not where the process has gone. */
	world_enter(&world, OUTSIDE);
	EXPECT(!setresuid(SERVICE_UID(0), SERVICE_UID(0), 0));
	for (enum family family = V4; family <= V6; family++) {
		struct sockaddr_storage address;
		socklen_t length = address_of(family, SERVICE_PORT(0), &address);

		listener[family] = socket_of(family, 0);
		if (family == V4)
			((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		else
			((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
		EXPECT(!bind(listener[family], (void *)&address, length), "%s", strerror(errno));
		EXPECT(!listen(listener[family], 8));
	}
	as_root(&world);
	expect_down(&world);
	close(listener[V4]);
	close(listener[V6]);

	world.service_leaf = NULL;
	world_service(&world, 0, SERVICE_RECORDS);
	for (int family = 0; family < FAMILIES; family++) {
		descriptor = connect_to(family, SERVER_PORT);
		EXPECT(descriptor >= 0, "%s", result_name(descriptor));
		echo_check(descriptor, "with a\n");
		close(descriptor);
		expect_count("service a", &world.seen[0].accepted, family + 1);
		EXPECT(world.seen[0].info.hop_count == 1);
	}
	world_end(&world);
}
