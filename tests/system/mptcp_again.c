// SPDX-License-Identifier: BSD-2-Clause
/*
 * mptcp_again: an MPTCP socket that was redirected, disconnected, and then connected to the
 * service's endpoint itself has no record there: the old one does not speak for it.
 */
#include "world.h"

#include <arpa/inet.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

int main(void)
{
	struct sockaddr_in endpoint = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int descriptor = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	struct sockaddr_storage address;
	socklen_t length = address_of(V4, SERVER_PORT, &address);
	struct world world;

	if (descriptor < 0)
		world_skip("no MPTCP here");
	close(descriptor);
	world_begin(&world, "mptcp_again");
	world_up(&world);
	world_server(&world);
	world_service(&world, 0, SERVICE_RECORDS);
	world_policy(&world, 1, NULL);
	descriptor = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
	EXPECT(!connect(descriptor, (void *)&address, length));
	expect_count("server", &SERVER_SEEN(&world)->accepted, 1);
	EXPECT(!connect(descriptor, &none, sizeof(none)), "%s", strerror(errno));
	inet_pton(AF_INET, "127.0.0.1", &endpoint.sin_addr);
	EXPECT(!connect(descriptor, (void *)&endpoint, sizeof(endpoint)), "%s", strerror(errno));
	expect_count("direct", &world.seen[0].direct, 1);
	EXPECT(counter(&world, COUNT_HANDED_OVER) == 1);
	world_end(&world);
}
