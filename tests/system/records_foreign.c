// SPDX-License-Identifier: BSD-2-Clause
/*
 * Records are good only in the hands of the service that they were issued to: EACCES, counted, to
 * another service and to a process that is none; a friend of the service who connects in spite of
 * that is redirected as before. Services are told by user, so the options answer everywhere.
 */
#include "records_tools.h"

int main(void)
{
	unsigned char records[WAYBILL_RECORDS_MAX];
	struct leg leg, friends;
	struct world world;
	int listener[2], onward;
	uint64_t redirected;
	size_t size;

	world_begin(&world, "records_foreign");
	world.by_user = true;
	world_up(&world);
	world_policy(&world, 2, NULL);
	for (int i = 0; i < 2; i++)
		listener[i] = listener_of(&world, i, V4, false);
	redirect_application(&world, 0, listener[0], V4, &leg);
	size = records_of(leg.accepted, records);

	/* Another service, also on a socket that the right one made. */
	onward = socket_of(V4, 0);
	as_service(&world, 1);
	EXPECT_RESULT(set_records(onward, records, size), -EACCES);
	EXPECT_RESULT(set_records(socket_of(V4, 0), records, size), -EACCES);
	EXPECT(counted(&world, COUNT_RECORDS_FOREIGN) == 2);

	/* No service, whatever it sets, and whoever it is. */
	as_application(&world);
	EXPECT_RESULT(set_records(onward, records, size), -EACCES);
	EXPECT_RESULT(set_records(socket_of(V6, 0), records, size), -EACCES);
	EXPECT_RESULT(set_records(onward, "nonsense", 8), -EACCES);
	as_root(&world);
	EXPECT_RESULT(set_records(onward, records, size), -EACCES);
	EXPECT(counted(&world, COUNT_RECORDS_FOREIGN) == 6);
	EXPECT(counted(&world, COUNT_RECORDS_BAD) == 0);
	as_service(&world, 0);
	EXPECT_RESULT(state_of(onward), -ENOTCONN);

	/* The friend connects: to the first service again, as if he had none. */
	as_application(&world);
	friends.client = socket_of(V4, 0);
	EXPECT_RESULT(set_records(friends.client, records, size), -EACCES);
	redirected = counted(&world, COUNT_REDIRECTED);
	EXPECT_RESULT(connect_socket(friends.client, V4, SERVER_PORT), 0);
	EXPECT(counted(&world, COUNT_REDIRECTED) == redirected + 1);
	as_service(&world, 0);
	friends.accepted = accept_from(listener[0]);
	EXPECT_RESULT(state_of(friends.accepted), WAYBILL_REDIRECTED_BY_SELF);
	EXPECT(records_of(friends.accepted, records) == 184);

	/* The one that they were issued to may. */
	EXPECT_RESULT(set_records(onward, records, size), 0);
	EXPECT(counted(&world, COUNT_RECORDS_SET) == 1);
	as_root(&world);
	world_end(&world);
}
