// SPDX-License-Identifier: BSD-2-Clause
/*
 * The hop limit ends a chain that is too long with ELOOP from connect, counted,
 * and only where one more redirection would follow: the last service allowed can reach the server
 * when nobody else wants to see its connection.
 */
#include "records_tools.h"

int main(void)
{
	struct leg leg[2];
	struct world world;
	int listener[3], onward;

	world_begin(&world, "connect_hop_limit");
	world_up(&world);
	world_server(&world);
	policy_limited(&world, 3, "hops: 2");
	for (int i = 0; i < 3; i++)
		listener[i] = listener_of(&world, i, V4, false);
	redirect_chain(&world, 2, listener, V4, leg);
	onward = onward_of(&world, 1, leg[1].accepted);
	EXPECT_RESULT(connect_socket(onward, V4, SERVER_PORT), -ELOOP);
	EXPECT_RESULT(waybill_connect_onward(leg[1].accepted, 0), -ELOOP);
	EXPECT_RESULT(waybill_connect_onward(leg[1].accepted, SOCK_NONBLOCK), -ELOOP);
	EXPECT(counted(&world, COUNT_HOP_LIMIT) == 3);
	EXPECT(counted(&world, COUNT_REDIRECTED) == 2);

	as_root(&world);
	policy_limited(&world, 2, "hops: 2");
	as_service(&world, 1);
	onward = waybill_connect_onward(leg[1].accepted, 0);
	EXPECT(onward >= 0, "%s", result_name(onward));
	echo_check(onward, "the server\n");

	/* The limit of all, which nobody's policy can exceed. */
	as_root(&world);
	EXPECT(world_apply(&world, "version: 1\nlimits: { hops: 17 }\n") == -EINVAL);
	policy_limited(&world, 2, "hops: 1");
	as_service(&world, 0);
	EXPECT_RESULT(waybill_connect_onward(leg[0].accepted, 0), -ELOOP);
	EXPECT(counted(&world, COUNT_HOP_LIMIT) == 4);
	as_root(&world);
	world_end(&world);
}
