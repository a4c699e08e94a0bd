// SPDX-License-Identifier: BSD-2-Clause
/*
 * renewed: `up` while connections are made renews the programs without a gap: no connection fails
 * or gets past a service, live connections keep their records, and the key stays.
 */
#include "world.h"

#include <pthread.h>

static atomic_int stop, made, failed;

static void *connect_forever(void *unused)
{
	while (!stop) {
		int descriptor = connect_to(made % FAMILIES, SERVER_PORT);
		char byte;

		if (descriptor < 0 || send(descriptor, "x", 1, MSG_NOSIGNAL) != 1 ||
		    recv(descriptor, &byte, 1, 0) != 1)
			failed++;
		made++;
		close(descriptor);
	}
	return NULL;
}

int main(void)
{
	struct key_ring before, after;
	struct message message = {};
	struct world world;
	pthread_t thread;
	int live, rounds;
	bool renewed;

	world_begin(&world, "renewed");
	world_up(&world);
	world_server(&world);
	world_service(&world, 0, SERVICE_RECORDS);
	world_service(&world, 1, SERVICE_RECORDS);
	world_policy(&world, 2, NULL);
	EXPECT(!instance_keys(world.instance, &before, &message));
	live = connect_to(V6, SERVER_PORT);
	EXPECT(live >= 0);
	pthread_create(&thread, NULL, connect_forever, NULL);
	for (rounds = 0; rounds < 5; rounds++) {
		EXPECT(!instance_up(world.name, world.cgroup, &renewed, &message), "%s",
		       message.text);
		EXPECT(renewed);
		usleep(100000);
	}
	stop = 1;
	pthread_join(thread, NULL);
	EXPECT(!failed, "%d of %d failed", failed, made);
	EXPECT(made > 100, "%d", made);
	echo_check(live, "still here\n");
	expect_count("server", &SERVER_SEEN(&world)->accepted, made + 1);
	expect_count("service a", &world.seen[0].accepted, made + 1);
	expect_count("service b", &world.seen[1].accepted, made + 1);
	EXPECT(!instance_keys(world.instance, &after, &message));
	EXPECT(!memcmp(&before, &after, sizeof(before)));
	EXPECT(instance_up(world.name, NULL, &renewed, &message) == 0 && renewed);
	world_end(&world);
}
