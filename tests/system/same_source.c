// SPDX-License-Identifier: BSD-2-Clause
/*
 * same_source: two connections from one address and port that the program has bound go to different
 * destinations. To one service both cannot: they would have the same addresses. The second is
 * refused, with the error that the kernel has for that, and the first keeps its record; to another
 * service, or when the first is over, it is redirected.
 */
#include "records_tools.h"

static const char policy[] = WORLD_TWO_SERVICES
	"filters:\n"
	"  - { name: a, service: a, action: redirect, match: { remote_port: [ 8080-8081 ] } }\n"
	"  - { name: b, service: b, action: redirect, match: { remote_port: 8082 } }\n";

static struct world world;

static int client_at(uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int descriptor = socket_of(V4, 0), one = 1;

	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	EXPECT(!bind(descriptor, (void *)&at, sizeof(at)), "%s", strerror(errno));
	return descriptor;
}

static void expect_own(int service, int accepted, uint16_t port)
{
	struct sockaddr_in said;
	socklen_t size = sizeof(said);

	as_service(&world, service);
	EXPECT_RESULT(query(accepted, WAYBILL_ORIGINAL_DESTINATION, &said, &size), 0);
	EXPECT(ntohs(said.sin_port) == port, "%u", ntohs(said.sin_port));
	as_application(&world);
}

int main(void)
{
	struct linger reset = { .l_onoff = 1 };
	int client[4], listener[2], accepted[3];
	uint64_t refused;

	world_begin(&world, "same_source");
	world_up(&world);
	EXPECT(!world_apply(&world, policy));
	listener[0] = listener_of(&world, 0, V4, false);
	listener[1] = listener_of(&world, 1, V4, false);
	as_application(&world);

	client[0] = client_at(40001);
	EXPECT_RESULT(connect_socket(client[0], V4, 8080), 0);
	accepted[0] = accept_from(listener[0]);
	expect_own(0, accepted[0], 8080);

	client[1] = client_at(40001);
	refused = counted(&world, COUNT_NO_SOURCE);
	EXPECT_RESULT(connect_socket(client[1], V4, 8081), -EADDRNOTAVAIL);
	EXPECT(counted(&world, COUNT_NO_SOURCE) == refused + 1);
	expect_own(0, accepted[0], 8080);

	client[2] = client_at(40001);
	EXPECT_RESULT(connect_socket(client[2], V4, 8082), 0);
	accepted[1] = accept_from(listener[1]);
	expect_own(1, accepted[1], 8082);
	expect_own(0, accepted[0], 8080);

	/* The first is over; what its service has of it stays until that closes it. */
	setsockopt(client[0], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client[0]);
	EXPECT_RESULT(connect_socket(client[1], V4, 8081), 0);
	accepted[2] = accept_from(listener[0]);
	expect_own(0, accepted[2], 8081);
	expect_own(0, accepted[0], 8080);
	as_root(&world);
	EXPECT(counter(&world, COUNT_UNCLAIMED) == 0);
	world_end(&world);
}
