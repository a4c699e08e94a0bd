// SPDX-License-Identifier: BSD-2-Clause
/*
 * renewed: `up` while connections are made renews the programs without a gap: no connection fails
 * or gets past a service, live connections keep their records, and the key stays.
 */
#include <bpf/bpf.h>

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

/* It works on, so it is not to be taken for none: neither replaced, nor joined. */
static void of_another_version(struct world *world)
{
	struct control control = world->instance->control;
	struct message message = {};
	char pin[256], other[64];
	uint32_t zero = 0;
	bool renewed;

	control.layout--;
	EXPECT(!bpf_map_update_elem(world->instance->map[MAP_CONTROL], &zero, &control, BPF_ANY));
	snprintf(pin, sizeof(pin), "%s/maps/watch", world->instance->directory);
	EXPECT(!unlink(pin), "%s", strerror(errno));
	snprintf(other, sizeof(other), "%s-2", world->name);
	EXPECT(instance_up(world->name, world->cgroup, 0, &renewed, &message) == -EEXIST, "%s",
	       message.text);
	EXPECT(strstr(message.text, "another version"), "%s", message.text);
	EXPECT(instance_up(other, world->cgroup, 0, &renewed, &message) == -EBUSY, "%s", message.text);
	EXPECT(connect_to(V4, SERVER_PORT) >= 0);
	expect_count("service a", &world->seen[0].accepted, made + 2);
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
		EXPECT(!instance_up(world.name, world.cgroup, 0, &renewed, &message), "%s",
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
	EXPECT(instance_up(world.name, NULL, 0, &renewed, &message) == 0 && renewed);
	of_another_version(&world);
	world_end(&world);
}
