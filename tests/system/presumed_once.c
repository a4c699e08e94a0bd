// SPDX-License-Identifier: BSD-2-Clause
/*
 * presumed_once: what the engine presumes of a service without records holds for one connect: a
 * socket whose connect was given up is asked about anew, and does not pass for one with records.
 */
#include "world.h"

static int connect_twice(void *data)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	struct sockaddr_storage address;
	socklen_t length = address_of(V4, SERVER_PORT, &address);
	int filler[8], descriptor = socket_of(V4, SOCK_NONBLOCK);

	/* b accepts nobody: with its backlog full, handshakes do not complete. */
	for (int i = 0; i < 8; i++) {
		filler[i] = socket_of(V4, SOCK_NONBLOCK);
		connect(filler[i], (void *)&address, length);
	}
	for (int i = 0; i < 2; i++) {
		if (!connect(descriptor, (void *)&address, length) || errno != EINPROGRESS)
			return 1;
		usleep(100000);
		if (connect(descriptor, &none, sizeof(none)))
			return 2;
	}
	return 0;
}

int main(void)
{
	struct world world;

	world_begin(&world, "presumed_once");
	world_up(&world);
	world_service(&world, 0, SERVICE_RECORDS);
	world_service(&world, 1, SERVICE_LISTENS);
	world_policy(&world, 2, NULL);
	EXPECT(!world_as(&world, "s0", 0, connect_twice, NULL));
	EXPECT(counter(&world, COUNT_NO_RECORDS) == 10, "%d",
	       (int)counter(&world, COUNT_NO_RECORDS));
	EXPECT(counter(&world, COUNT_REDIRECTED) == 10);
	world_end(&world);
}
