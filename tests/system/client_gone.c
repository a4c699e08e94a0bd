// SPDX-License-Identifier: BSD-2-Clause
/*
 * client_gone: clients that send a line and close, or reset, before the service accepts still
 * have their records on the accepted socket; nothing depends on the client's socket being alive.
 */
#include "world.h"

int main(void)
{
	struct linger reset = { .l_onoff = 1 };
	struct world world;

	world_begin(&world, "client_gone");
	world_up(&world);
	world_server(&world);
	world_service(&world, 0, SERVICE_WAITS);
	world_policy(&world, 1, NULL);
	for (int i = 0; i < 60; i++) {
		int descriptor = connect_to(i % FAMILIES, SERVER_PORT);

		EXPECT(descriptor >= 0, "%s", strerror(-descriptor));
		EXPECT(send(descriptor, "bye\n", 4, 0) == 4);
		if (i % 2)
			setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(descriptor);
	}
	world.seen[0].go = 1;
	expect_count("accepted", &world.seen[0].accepted, 60);
	EXPECT(world.seen[0].direct == 0 && world.seen[0].failed == 0);
	EXPECT(counter(&world, COUNT_HANDED_OVER) == 60);
	expect_count("server", &SERVER_SEEN(&world)->accepted, 60);
	world_end(&world);
}
