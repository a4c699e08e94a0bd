// SPDX-License-Identifier: BSD-2-Clause
/*
 * mptcp_records: a service whose listener, accepted socket and onward socket are MPTCP ones. The
 * hooks see subflows, programs see the parents: records are read from the accepted parent, set on
 * the onward parent, and the chain is whole.
 */
#include "world.h"

#include <arpa/inet.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static int service(void *data)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	int listener = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP), accepted, onward;
	struct sockaddr_storage to;
	socklen_t size = sizeof(to);
	char line[64];
	ssize_t count;
	int *ready = data;

	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	if (listener < 0 || bind(listener, (void *)&address, sizeof(address)) ||
	    listen(listener, 8))
		return 2;
	if (write(*ready, "r", 1) != 1)
		return 3;
	accepted = accept(listener, NULL, NULL);
	if (waybill_original_destination_query(accepted, &to, &size))
		return 4;
	onward = socket(to.ss_family, SOCK_STREAM, IPPROTO_MPTCP);
	if (waybill_forward(accepted, onward))
		return 5;
	if (connect(onward, (void *)&to, size))
		return 6;
	count = recv(accepted, line, sizeof(line), 0);
	if (send(onward, line, count, 0) != count)
		return 7;
	count = recv(onward, line, sizeof(line), 0);
	if (send(accepted, line, count, 0) != count)
		return 8;
	/* The client looks at the flows before it closes. */
	return recv(accepted, line, sizeof(line), 0) ? 9 : 0;
}

static int hops_add(void *data, const struct flow *flow)
{
	*(int *)data += flow->hops;
	return 0;
}

static int client(struct world *world)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(V4, SERVER_PORT, &address);
	int descriptor = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP), hops = 0;
	struct message message = {};

	if (connect(descriptor, (void *)&address, length))
		return 1;
	echo_check(descriptor, "multipath\n");
	/* Listed once, as the connection of TCP from the service to the next. */
	EXPECT(!instance_flows(world->instance, hops_add, &hops, &message), "%s", message.text);
	EXPECT(hops == 1 + 2, "%d", hops);
	return 0;
}

int main(void)
{
	int probe = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP), ready[2];
	struct world world;
	pid_t child;
	char byte;

	if (probe < 0)
		world_skip("no MPTCP here");
	world_begin(&world, "mptcp_records");
	world_up(&world);
	world_server(&world);
	world_service(&world, 1, SERVICE_RECORDS);
	world_policy(&world, 2, NULL);
	EXPECT(!pipe(ready));
	child = fork();
	if (!child)
		_exit(world_as(&world, "s0", 0, service, &ready[1]));
	EXPECT(read(ready[0], &byte, 1) == 1);
	EXPECT(!client(&world));
	expect_count("server", &SERVER_SEEN(&world)->accepted, 1);
	expect_count("service b", &world.seen[1].accepted, 1);
	EXPECT(world.seen[1].info.hop_count == 2, "%u hops", world.seen[1].info.hop_count);
	(void)child;
	world_end(&world);
}
