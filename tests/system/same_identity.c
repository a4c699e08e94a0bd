// SPDX-License-Identifier: BSD-2-Clause
/*
 * same_identity [user]: two services that are the same user, or in the same cgroup. Records tell
 * them apart: each sees the connection once, and a third, of its own, after them. Without records
 * nothing loops: both count as having seen it, and the third does see it.
 */
#include "records_tools.h"

static void apply(struct world *world)
{
	char identity[64], text[2048];

	if (world->by_user)
		snprintf(identity, sizeof(identity), "user: %d", SERVICE_UID(0));
	else
		snprintf(identity, sizeof(identity), "cgroup: %%C/s0");
	snprintf(text, sizeof(text),
		 "version: 1\n"
		 "services:\n"
		 "  - { name: a, weight: 300, endpoint: { tcp: 9001 }, identity: { %s } }\n"
		 "  - { name: b, weight: 290, endpoint: { tcp: 9002 }, identity: { %s } }\n"
		 "  - { name: c, weight: 280, endpoint: { tcp: 9003 }, identity: { %s%d } }\n"
		 "filters:\n"
		 "  - { name: a, service: a, action: redirect, context: of a }\n"
		 "  - { name: b, service: b, action: redirect, context: of b }\n"
		 "  - { name: c, service: c, action: redirect, context: of c }\n",
		 identity, identity, world->by_user ? "user: " : "cgroup: %C/s",
		 world->by_user ? SERVICE_UID(2) : 2);
	EXPECT(!world_apply(world, text));
}

static int listener_at(struct world *world, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int descriptor;

	as_service(world, 0);
	descriptor = socket_of(V4, 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT(!bind(descriptor, (void *)&address, sizeof(address)), "%s", strerror(errno));
	EXPECT(!listen(descriptor, 16));
	return descriptor;
}

static void expect_hop(int accepted, const char *service, const char *context, uint32_t hops)
{
	char told[16] = {};
	struct waybill_info info;
	socklen_t size = sizeof(told);

	EXPECT_RESULT(waybill_info_query(accepted, &info), 0);
	EXPECT(info.service == waybill_service_id(service) && info.hop_count == hops, "%s",
	       service);
	EXPECT(info.state == WAYBILL_REDIRECTED_BY_SELF);
	EXPECT_RESULT(query(accepted, WAYBILL_REDIRECT_CONTEXT, told, &size), 0);
	EXPECT(!strcmp(told, context), "%s", told);
}

static int onward_connected(struct world *world, int i, int accepted)
{
	int onward = onward_of(world, i, accepted);

	EXPECT_RESULT(connect_socket(onward, V4, SERVER_PORT), 0);
	return onward;
}

int main(int argc, char **argv)
{
	int a, b, c, onward;
	struct world world;
	struct leg leg;

	world_begin(&world, "same_identity");
	world.by_user = argc > 1 && !strcmp(argv[1], "user");
	world_up(&world);
	world_server(&world);
	apply(&world);
	a = listener_at(&world, SERVICE_PORT(0));
	b = listener_at(&world, SERVICE_PORT(1));
	c = listener_of(&world, 2, V4, false);

	redirect_application(&world, 0, a, V4, &leg);
	expect_hop(leg.accepted, "a", "of a", 1);
	onward_connected(&world, 0, leg.accepted);
	leg.accepted = accept_from(b);
	expect_hop(leg.accepted, "b", "of b", 2);
	onward_connected(&world, 0, leg.accepted);
	as_service(&world, 2);
	leg.accepted = accept_from(c);
	expect_hop(leg.accepted, "c", "of c", 3);
	onward = onward_connected(&world, 2, leg.accepted);
	echo_check(onward, "through all three\n");
	EXPECT(counted(&world, COUNT_NO_RECORDS) == 0);
	EXPECT(counted(&world, COUNT_REDIRECTED) == 3);

	/* Of whom is it, a or b? Whichever: neither is to see it again. */
	as_service(&world, 0);
	EXPECT(connect_to(V4, SERVER_PORT) >= 0);
	EXPECT(counted(&world, COUNT_NO_RECORDS) == 1);
	EXPECT(counted(&world, COUNT_REDIRECTED) == 4);
	as_service(&world, 2);
	leg.accepted = accept_from(c);
	/* What is presumed of a and b is the first hop of c's records. */
	expect_hop(leg.accepted, "c", "of c", 2);
	EXPECT(connect_to(V4, SERVER_PORT) >= 0);
	EXPECT(counted(&world, COUNT_REDIRECTED) == 4);
	as_root(&world);
	world_end(&world);
}
