// SPDX-License-Identifier: BSD-2-Clause
/*
 * port_reuse: one client port, used again at once for other destinations, gives each accepted
 * socket the destination that this connection asked for, never that of the one before it.
 */
#include "world.h"

#include <arpa/inet.h>

int main(void)
{
	struct linger reset = { .l_onoff = 1 };
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(45678) };
	struct world world;
	int one = 1;

	world_begin(&world, "port_reuse");
	world_up(&world);
	world_service(&world, 0, SERVICE_HOLDS);
	world_policy(&world, 1, NULL);
	inet_pton(AF_INET, "127.0.0.1", &here.sin_addr);
	for (int i = 0; i < 200; i++) {
		struct sockaddr_storage address;
		socklen_t length = address_of(V4, 8080 + i % 20, &address);
		struct sockaddr_in *to = (void *)&address;
		int descriptor = socket_of(V4, 0);

		to->sin_addr.s_addr = htonl(0x7f420000 + i);
		setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		EXPECT(!bind(descriptor, (void *)&here, sizeof(here)), "%s", strerror(errno));
		EXPECT(!connect(descriptor, (void *)&address, length), "%s", strerror(errno));
		expect_count("accepted", &world.seen[0].accepted, i + 1);
		EXPECT(!memcmp(world.seen[0].info.original_destination.address + 12, &to->sin_addr,
			       4));
		EXPECT(world.seen[0].info.original_destination.port == to->sin_port);
		EXPECT(!memcmp(&world.seen[0].original, to, sizeof(*to)));
		setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(descriptor);
	}
	world_end(&world);
}
