// SPDX-License-Identifier: BSD-2-Clause
/*
 * Flows are ended one after the other, as `waybill flows --reset` does, under a client that sends
 * without a pause: it goes on in another flow. Nothing is counted as what cannot be, or as a share
 * that is full; a datagram whose flow is ended while it begins is refused, and said to be late.
 */
#include <bpf/bpf.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "datagram_tools.h"

#define SECONDS 3
#define FLOWS 200 /* as many as may follow each other while a list is ended, */
#define TIMES 200 /* each so often, since it has to be there by then */

static struct shared {
	atomic_int stop;
	atomic_long sent, refused, other;
} * shared;

static void receive(struct world *world)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	int fd = datagram_socket(V4);
	char byte;

	if (bind(fd, (void *)&at, sizeof(at)))
		_exit(1);
	world->seen[0].ready = 1;
	for (;;)
		recv(fd, &byte, 1, 0);
}

static void send_all(void)
{
	struct sockaddr_storage to;
	socklen_t length = datagram_address(V4, 0, &to);
	int fd = datagram_socket(V4);

	while (!shared->stop) {
		if (sendto(fd, "x", 1, 0, (void *)&to, length) == 1)
			shared->sent++;
		else if (errno == ECONNREFUSED)
			shared->refused++;
		else
			shared->other++;
	}
	_exit(0);
}

/* The flow that there is, and those that will follow it. */
static void end_flows(struct world *world, int flows)
{
	static struct reset list[FLOWS * TIMES];
	struct datagram_flow flow;
	struct message message;
	uint32_t number;

	if (bpf_map_get_next_key(flows, NULL, &number) ||
	    bpf_map_lookup_elem(flows, &number, &flow))
		return;
	for (size_t i = 0; i < FLOWS * TIMES; i++) {
		list[i].flow = flow.hop.flow + i / TIMES;
		list[i].number = list[i].flow & WAYBILL_FLOW_MASK;
	}
	EXPECT(!instance_reset(world->instance, list, FLOWS * TIMES, &message), "%s", message.text);
}

int main(void)
{
	char path[256];
	struct world world;
	pid_t client;
	time_t end;
	int flows;

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	world_begin(&world, "datagram_reset");
	world_up(&world);
	datagram_policy(&world, 1, NULL);
	if (world_service_fork(&world, 0))
		receive(&world);
	expect_count("ready", &world.seen[0].ready, 1);
	snprintf(path, sizeof(path), "/sys/fs/bpf/waybill/%s/maps/flows", world.name);
	flows = bpf_obj_get(path);
	EXPECT(flows >= 0, "%s: %s", path, strerror(errno));
	client = fork();
	if (!client)
		send_all();
	for (end = time(NULL) + SECONDS; time(NULL) < end;)
		end_flows(&world, flows);
	shared->stop = 1;
	waitpid(client, NULL, 0);
	EXPECT(counter(&world, COUNT_FLOWS) > 10, "too few flows to tell");
	EXPECT(!shared->other, "%ld failed otherwise", shared->other);
	EXPECT(counter(&world, COUNT_BROKEN) == 0 && counter(&world, COUNT_FLOW_FULL) == 0,
	       "%llu broken, %llu full", (unsigned long long)counter(&world, COUNT_BROKEN),
	       (unsigned long long)counter(&world, COUNT_FLOW_FULL));
	EXPECT(counter(&world, COUNT_FLOW_LATE) == (uint64_t)shared->refused);
	world_end(&world);
}
