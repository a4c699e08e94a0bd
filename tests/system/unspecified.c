// SPDX-License-Identifier: BSD-2-Clause
/*
 * unspecified: a connect to 0.0.0.0 or :: goes to this host, so filters for 127.0.0.0/8 and ::1
 * decide on it, and the service is told the loopback address.
 */
#include "world.h"

#include <arpa/inet.h>

int main(void)
{
	static const char *const loopback[FAMILIES] = { "::ffff:127.0.0.1", "::1",
							"::ffff:127.0.0.1" };
	struct world world;

	world_begin(&world, "unspecified");
	world_up(&world);
	world_service(&world, 0, SERVICE_HOLDS);
	EXPECT(!world_apply(
		&world,
		"version: 1\n"
		"services:\n"
		"  - { name: a, weight: 1, endpoint: { tcp: 9001 }, identity: { cgroup: %C/s0 } }\n"
		"filters:\n"
		"  - { name: loopback, service: a, match: { remote: [ 127.0.0.0/8, \"::1\" ] }, action: redirect }\n"));
	for (int family = 0; family < FAMILIES; family++) {
		struct sockaddr_storage address;
		socklen_t length = address_of(family, 8090, &address);
		int descriptor = socket_of(family, 0);
		uint8_t wanted[16];

		if (family == V4)
			((struct sockaddr_in *)&address)->sin_addr.s_addr = INADDR_ANY;
		else
			inet_pton(AF_INET6, family == V6 ? "::" : "::ffff:0.0.0.0",
				  &((struct sockaddr_in6 *)&address)->sin6_addr);
		EXPECT(!connect(descriptor, (void *)&address, length), "%s", strerror(errno));
		expect_count("service", &world.seen[0].accepted, family + 1);
		inet_pton(AF_INET6, loopback[family], wanted);
		EXPECT(!memcmp(world.seen[0].info.original_destination.address, wanted, 16));
	}
	world_end(&world);
}
