// SPDX-License-Identifier: BSD-2-Clause
/*
 * Services told by cgroup: a friend in the cgroup of the application to whom a service hands its
 * records, and even a socket of its own to set them on, gets EACCES; on a socket of his own
 * nothing answers there. Either way his connect is redirected as before.
 */
#include "records_tools.h"

int main(void)
{
	unsigned char records[WAYBILL_RECORDS_MAX];
	struct world world;
	struct leg leg, friends;
	int listener, error;
	size_t size;

	world_begin(&world, "records_friend");
	world_up(&world);
	world_policy(&world, 1, NULL);
	listener = listener_of(&world, 0, V4, false);
	redirect_application(&world, 0, listener, V4, &leg);
	size = records_of(leg.accepted, records);

	for (int own = 0; own < 2; own++) {
		if (own)
			as_application(&world);
		friends.client = socket_of(V4, 0);
		as_application(&world);
		error = set_records(friends.client, records, size);
		EXPECT(own ? error == -EOPNOTSUPP || error == -ENOPROTOOPT : error == -EACCES, "%s",
		       result_name(error));
		EXPECT_RESULT(connect_socket(friends.client, V4, SERVER_PORT), 0);
		as_service(&world, 0);
		friends.accepted = accept_from(listener);
		EXPECT_RESULT(state_of(friends.accepted), WAYBILL_REDIRECTED_BY_SELF);
		EXPECT(records_of(friends.accepted, records) == 184);
		close(friends.client);
		close(friends.accepted);
	}
	EXPECT(counted(&world, COUNT_RECORDS_FOREIGN) == 1);
	EXPECT(counted(&world, COUNT_REDIRECTED) == 3);
	as_root(&world);
	world_end(&world);
}
