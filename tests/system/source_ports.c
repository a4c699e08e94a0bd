// SPDX-License-Identifier: BSD-2-Clause
/*
 * source_ports: a client that has to be bound to a port, since it comes by IPv6 alone or has bound an
 * address itself, has one of the range from which the kernel would choose, and none that is reserved.
 * When all are taken it is told so, and with one that is free again it is redirected.
 */
#include "records_tools.h"

#define FIRST 40000
#define LAST 40047
#define FREE_FROM 40032 /* those below are reserved */
#define COUNT (LAST - FREE_FROM + 1)

static struct world world;

static int client_of(enum family family)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	int descriptor = socket_of(family, 0), one = 1;

	own.sin_addr.s_addr = htonl(0x7f00004d);
	if (family == V6) {
		EXPECT(!setsockopt(descriptor, SOL_IPV6, IPV6_V6ONLY, &one, sizeof(one)));
	} else {
		EXPECT(!setsockopt(descriptor, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)));
		EXPECT(!bind(descriptor, (void *)&own, sizeof(own)));
	}
	return descriptor;
}

int main(void)
{
	int listener[2], client[FAMILIES][COUNT], accepted;

	world_begin(&world, "source_ports");
	EXPECT(!system("sysctl -qw net.ipv4.ip_local_port_range='40000 40047' "
		       "net.ipv4.ip_local_reserved_ports=40000-40031"));
	world_up(&world);
	world_policy(&world, 1, NULL);
	listener[V4] = listener_of(&world, 0, V4, false);
	listener[V6] = listener_of(&world, 0, V6, false);
	for (enum family family = V4; family <= V6; family++) {
		int opened = 0;

		as_application(&world);
		/* It tries some, at random: most of so few are found. */
		for (int tries = 0; tries < 200 && opened < COUNT; tries++) {
			struct sockaddr_in6 source;
			socklen_t size = sizeof(source);
			int descriptor = client_of(family);
			int result = connect_socket(descriptor, family, SERVER_PORT), port;

			if (result) {
				EXPECT_RESULT(result, -EADDRNOTAVAIL);
				close(descriptor);
				continue;
			}
			EXPECT(!getsockname(descriptor, (void *)&source, &size));
			port = ntohs(source.sin6_port);
			EXPECT(port >= FREE_FROM && port <= LAST, "%d", port);
			client[family][opened++] = descriptor;
			accepted = accept_from(listener[family]);
			as_service(&world, 0);
			EXPECT_RESULT(state_of(accepted), WAYBILL_REDIRECTED_BY_SELF);
			as_application(&world);
			close(accepted);
		}
		EXPECT(opened == COUNT, "%d of %d ports", opened, COUNT);
		EXPECT_RESULT(connect_socket(client_of(family), family, SERVER_PORT),
			      -EADDRNOTAVAIL);
		EXPECT(counted(&world, COUNT_NO_SOURCE) > 0);
		for (int i = 0; i < opened; i++)
			close(client[family][i]);
	}
	EXPECT(counted(&world, COUNT_UNCLAIMED) == 0);
	as_root(&world);
	world_end(&world);
}
