// SPDX-License-Identifier: BSD-2-Clause
/*
 * service_down: from the first connection after a service's death, "when_down: pass" goes on to
 * the next service and "when_down: block" gives ECONNREFUSED; a listener on the service's port
 * that is not the service's, made where nobody could stop it, gets nothing; and when the service
 * is back, it sees connections again.
 */
#include "world.h"

#include <arpa/inet.h>

static int squat(void *data)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	int descriptor = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(descriptor, (void *)&address, sizeof(address)) || listen(descriptor, 8))
		return errno;
	*(int *)data = descriptor;
	return 0;
}

int main(void)
{
	struct world world;
	int descriptor, squatter = -1;

	world_begin(&world, "service_down");
	world_up(&world);
	world_server(&world);
	world_service(&world, 0, SERVICE_RECORDS);
	world_service(&world, 1, SERVICE_RECORDS);
	world_policy(&world, 2, "    when_down: pass\n");
	descriptor = connect_to(V4, SERVER_PORT);
	EXPECT(descriptor >= 0);
	expect_count("service b", &world.seen[1].accepted, 1);
	world_service_end(&world, 0);
	for (int family = 0; family < FAMILIES; family++) {
		descriptor = connect_to(family, SERVER_PORT);
		EXPECT(descriptor >= 0, "%s", strerror(-descriptor));
		echo_check(descriptor, "by b alone\n");
		expect_count("service b", &world.seen[1].accepted, 2 + family);
		EXPECT(world.seen[1].info.hop_count == 1);
	}
	/* Passed over twice: by the application, and by b on the way to the server. */
	EXPECT(counter(&world, COUNT_DOWN_PASSED) == 2 * FAMILIES);

	world_policy(&world, 2, "    when_down: block\n");
	for (int family = 0; family < FAMILIES; family++)
		EXPECT(connect_to(family, SERVER_PORT) == -ECONNREFUSED);
	EXPECT(counter(&world, COUNT_DOWN_BLOCKED) == FAMILIES);
	EXPECT(world.seen[1].accepted == 1 + FAMILIES);

	/* A squatter: the policy is taken away for him, else he could not bind at all. */
	EXPECT(squat(&squatter) == EACCES);
	EXPECT(counter(&world, COUNT_BIND_REFUSED) == 1);
	EXPECT(!world_apply(&world, "version: 1\nservices: []\nfilters: []\n"));
	EXPECT(!squat(&squatter));
	world_policy(&world, 2, "    when_down: block\n");
	EXPECT(connect_to(V4, SERVER_PORT) == -ECONNREFUSED);
	close(squatter);

	world_service(&world, 0, SERVICE_RECORDS);
	descriptor = connect_to(V4, SERVER_PORT);
	EXPECT(descriptor >= 0);
	echo_check(descriptor, "back again\n");
	expect_count("service a", &world.seen[0].accepted, 1);
	world_end(&world);
}
