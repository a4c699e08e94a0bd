// SPDX-License-Identifier: BSD-2-Clause
/*
 * side_by_side: two instances on two cgroups, each with services and a policy of its own, do not
 * know of each other: each redirects its own applications, records of one are forged to the
 * other, and a third instance on a cgroup above or below either is refused.
 */
#include "world.h"

#include <sys/stat.h>

static int dial(void *data)
{
	int descriptor = connect_to(V4, *(int *)data);

	return descriptor < 0 ? -descriptor : 0;
}

static struct seen *stolen;

/* In the other instance's service cgroup: the first one's records are worth nothing. */
static int use_stolen(void *data)
{
	int descriptor = socket_of(V4, 0), error;

	error = waybill_records_set(descriptor, stolen->records, stolen->records_size);
	return -error;
}

int main(void)
{
	char first[160], second[160], name[64], path[512];
	struct instance *instances[2];
	struct message message = {};
	struct world world;
	bool flag, found;
	int port = SERVER_PORT;

	world_begin(&world, "side_by_side");
	snprintf(first, sizeof(first), "%s", world.cgroup);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s%s/tree%d", world.mount, world.cgroup, i);
		EXPECT(!mkdir(path, 0755));
		strcat(path, "/s");
		EXPECT(!mkdir(path, 0755));
		snprintf(second, sizeof(second), "%s/tree%d", world.cgroup, i);
		snprintf(name, sizeof(name), "%s-%d", world.name, i);
		EXPECT(!instance_up(name, second, 0, &flag, &message), "%s", message.text);
		EXPECT(!instance_open(name, &instances[i], &message), "%s", message.text);
	}
	EXPECT(instance_up(world.name, first, 0, &flag, &message) == -EBUSY);
	snprintf(second, sizeof(second), "%s/tree0/s", world.cgroup);
	EXPECT(instance_up(world.name, second, 0, &flag, &message) == -EBUSY);
	EXPECT(instance_up(world.name, NULL, 0, &flag, &message) == -EBUSY);

	/* The harness starts services in s0 and s1; what counts is who they are: their users. */
	world.by_user = true;
	world_server(&world);
	for (int i = 0; i < 2; i++) {
		char text[1024];

		snprintf(
			text, sizeof(text),
			"version: 1\nservices:\n  - { name: a, weight: 1, endpoint: { tcp: %d }, "
			"identity: { user: %d } }\nfilters:\n  - { name: all, service: a, match: { "
			"remote_port: [ 8080 ] }, action: redirect }\n",
			SERVICE_PORT(i), SERVICE_UID(i));
		world.instance = instances[i];
		EXPECT(!world_apply(&world, text));
	}
	/* A service's own sockets must be below its instance's cgroup to be handed records. */
	for (int i = 0; i < 2; i++) {
		char leaf[64];

		snprintf(leaf, sizeof(leaf), "tree%d", i);
		world.service_leaf = leaf;
		world_service(&world, i, SERVICE_RECORDS);
		EXPECT(!world_as(&world, leaf, 0, dial, &port));
		expect_count("service", &world.seen[i].accepted, 1);
		EXPECT(world.seen[i].info.hop_count == 1);
	}
	EXPECT(world.seen[0].accepted == 1);
	stolen = &world.seen[0];
	EXPECT(world_as(&world, "tree1", SERVICE_UID(1), use_stolen, NULL) == EBADMSG);
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s-%d", world.name, i);
		instance_close(instances[i]);
		EXPECT(!instance_down(name, &found, &message) && found);
		world_service_end(&world, i);
		snprintf(path, sizeof(path), "%s%s/tree%d/s", world.mount, world.cgroup, i);
		rmdir(path);
		*strrchr(path, '/') = '\0';
		usleep(50000);
		rmdir(path);
	}
	world.instance = NULL;
	world_end(&world);
}
