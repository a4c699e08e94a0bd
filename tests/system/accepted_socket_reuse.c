// SPDX-License-Identifier: BSD-2-Clause
/*
 * A socket that a service accepted, disconnected (connect to AF_UNSPEC) and uses as a client bears
 * no records: it is a service's connection without records, so it does not come back to the
 * service, and in the hands of somebody else it is redirected like any connection of his.
 */
#include "records_tools.h"

int main(void)
{
	struct leg leg[2];
	struct world world;
	int listener[2], accepted;
	uint64_t redirected;

	world_begin(&world, "accepted_socket_reuse");
	world.by_user = true;
	world_up(&world);
	world_server(&world);
	world_policy(&world, 2, NULL);
	for (int i = 0; i < 2; i++)
		listener[i] = listener_of(&world, i, V4, false);

	redirect_chain(&world, 2, listener, V4, leg);
	disconnect(leg[1].accepted);
	redirected = counted(&world, COUNT_REDIRECTED);
	EXPECT_RESULT(connect_socket(leg[1].accepted, V4, SERVER_PORT), 0);
	EXPECT(counted(&world, COUNT_REDIRECTED) == redirected, "it came back to the service");
	EXPECT(counted(&world, COUNT_NO_RECORDS) == 1);
	echo_check(leg[1].accepted, "the server\n");

	redirect_chain(&world, 2, listener, V4, leg);
	as_application(&world);
	disconnect(leg[1].accepted);
	EXPECT_RESULT(connect_socket(leg[1].accepted, V4, SERVER_PORT), 0);
	as_service(&world, 0);
	accepted = accept_from(listener[0]);
	EXPECT_RESULT(state_of(accepted), WAYBILL_REDIRECTED_BY_SELF);
	as_root(&world);
	world_end(&world);
}
