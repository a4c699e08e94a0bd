// SPDX-License-Identifier: BSD-2-Clause
/*
 * Where Waybill does not answer, its options are unknown: before `up`, while it is up without a
 * policy, outside the cgroups of services, and after `down`, also on sockets that were redirected.
 * The kernel's own answer is then EOPNOTSUPP or ENOPROTOOPT; the library says EOPNOTSUPP.
 */
#include "records_tools.h"

static bool unknown(int error)
{
	return error == -EOPNOTSUPP || error == -ENOPROTOOPT;
}

static void expect_unknown(int descriptor, const char *when)
{
	unsigned char buffer[WAYBILL_RECORDS_MAX] = {};
	struct sockaddr_storage address;
	struct waybill_info info;
	size_t room = sizeof(buffer);
	socklen_t size, length;

	for (int option = 0; option <= 6; option++) {
		size = sizeof(buffer);
		EXPECT(unknown(query(descriptor, option, buffer, &size)), "%s, option %d", when,
		       option);
		EXPECT(setsockopt(descriptor, SOL_WAYBILL, option, buffer, 160) && unknown(-errno),
		       "%s, option %d: %s", when, option, strerror(errno));
	}
	EXPECT_RESULT(waybill_records_query(descriptor, buffer, &room), -EOPNOTSUPP);
	EXPECT_RESULT(waybill_context_query(descriptor, buffer, &room), -EOPNOTSUPP);
	EXPECT_RESULT(waybill_info_query(descriptor, &info), -EOPNOTSUPP);
	EXPECT_RESULT(waybill_original_destination_query(descriptor, &address, &length),
		      -EOPNOTSUPP);
	EXPECT_RESULT(waybill_records_set(descriptor, buffer, 160), -EOPNOTSUPP);
	EXPECT_RESULT(waybill_forward(descriptor, descriptor), -EOPNOTSUPP);
}

/* Both families, not connected and connected. */
static void expect_unknown_everywhere(struct world *world, const char *when)
{
	for (enum family family = V4; family < FAMILIES; family++) {
		int descriptor = socket_of(family, 0);

		expect_unknown(descriptor, when);
		EXPECT_RESULT(connect_socket(descriptor, family, SERVER_PORT), 0);
		expect_unknown(descriptor, when);
		close(descriptor);
	}
}

int main(void)
{
	struct message message;
	struct world world;
	struct leg leg;
	bool found;
	int listener;

	world_begin(&world, "option_not_up");
	world_server(&world);
	expect_unknown_everywhere(&world, "before up");

	world_up(&world);
	as_service(&world, 0);
	expect_unknown_everywhere(&world, "without a policy");

	as_root(&world);
	world_policy(&world, 1, NULL);
	listener = listener_of(&world, 0, V4, false);
	redirect_application(&world, 0, listener, V4, &leg);
	EXPECT_RESULT(state_of(leg.accepted), WAYBILL_REDIRECTED_BY_SELF);
	/* The application's socket is in a cgroup without services. */
	as_application(&world);
	expect_unknown(leg.client, "outside the cgroups of services");

	as_root(&world);
	EXPECT(!instance_down(world.name, &found, &message) && found);
	instance_close(world.instance);
	world.instance = NULL;
	as_service(&world, 0);
	/* Kernels take the programs off a little later than the last reference goes. */
	for (int i = 0; i < patience(200) && !unknown(state_of(leg.accepted)); i++)
		usleep(10000);
	expect_unknown(leg.accepted, "after down");
	expect_unknown(leg.client, "after down");

	as_root(&world);
	world_end(&world);
}
