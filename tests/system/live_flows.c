// SPDX-License-Identifier: BSD-2-Clause
/*
 * live_flows: the flows that the kernel lists are those that live: each hop of each chain with
 * its originator and destinations, in every family; and none once they are closed.
 */
#include "world.h"

#include <arpa/inet.h>

struct tally {
	int flows, longest, wrong;
};

static int look(void *data, const struct flow *flow)
{
	struct tally *tally = data;
	const struct records_hop *first = flow->hop[0], *last = flow->hop[flow->hops - 1];

	tally->flows++;
	if ((int)flow->hops > tally->longest)
		tally->longest = flow->hops;
	if (first->client.pid != (uint32_t)getpid() || strcmp(first->client.comm, "live_flows"))
		tally->wrong++;
	if (flow->hops != flow->entry->hop_count)
		tally->wrong++;
	for (size_t i = 0; i < flow->hops; i++) {
		char name[2] = { 'a' + i };

		if (flow->hop[i]->service != policy_service_id(name) ||
		    ntohs(flow->hop[i]->destination.port) != SERVER_PORT)
			tally->wrong++;
	}
	if (ntohs(flow->entry->server.port) != SERVICE_PORT((int)flow->hops - 1))
		tally->wrong++;
	if (boot_time() - last->time > 60000000000ULL || last->time < first->time)
		tally->wrong++;
	return 0;
}

int main(void)
{
	struct message message = {};
	struct tally tally = {};
	struct world world;
	int descriptors[60];

	world_begin(&world, "live_flows");
	world_up(&world);
	world_server(&world);
	for (int i = 0; i < 3; i++)
		world_service(&world, i, SERVICE_RECORDS);
	world_policy(&world, 3, NULL);
	EXPECT(!instance_flows(world.instance, look, &tally, &message), "%s", message.text);
	EXPECT(tally.flows == 0);
	for (int i = 0; i < 60; i++) {
		descriptors[i] = connect_to(i % FAMILIES, SERVER_PORT);
		EXPECT(descriptors[i] >= 0);
		echo_check(descriptors[i], "x");
	}
	EXPECT(!instance_flows(world.instance, look, &tally, &message), "%s", message.text);
	EXPECT(tally.flows == 180, "%d", tally.flows);
	EXPECT(tally.longest == 3 && tally.wrong == 0, "%d wrong", tally.wrong);
	for (int i = 0; i < 60; i++)
		close(descriptors[i]);
	for (int i = 0; i < patience(100); i++) {
		tally = (struct tally){};
		EXPECT(!instance_flows(world.instance, look, &tally, &message));
		if (!tally.flows)
			break;
		usleep(20000);
	}
	EXPECT(!tally.flows, "%d are left", tally.flows);
	world_end(&world);
}
