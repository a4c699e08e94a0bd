// SPDX-License-Identifier: BSD-2-Clause
/*
 * accepted_socket_records: records cannot be put on a socket that was accepted, connected
 * (EISCONN) or disconnected (EISCONN too): no records are ever issued that join the hops of two
 * connections. Used as a client it bears those of neither: its service is who connects.
 */
#include "records_tools.h"

#define OTHER_USER (APPLICATION_UID + 7)

static void redirect_other(struct world *world, int listener, struct leg *leg)
{
	as_application(world);
	EXPECT(!setresuid(0, 0, 0) && !setresgid(OTHER_USER, OTHER_USER, 0) &&
	       !setresuid(OTHER_USER, OTHER_USER, 0));
	leg->client = socket_of(V4, 0);
	EXPECT_RESULT(connect_socket(leg->client, V4, SERVER_PORT), 0);
	as_service(world, 0);
	leg->accepted = accept_from(listener);
}

int main(void)
{
	unsigned char mine[WAYBILL_RECORDS_MAX], others[WAYBILL_RECORDS_MAX];
	struct waybill_records decoded;
	size_t mine_size, others_size;
	struct leg leg, other;
	struct world world;
	int listener[2], accepted;
	socklen_t size;

	world_begin(&world, "accepted_socket_records");
	world_up(&world);
	world_policy(&world, 2, NULL);
	for (int i = 0; i < 2; i++)
		listener[i] = listener_of(&world, i, V4, false);
	redirect_application(&world, 0, listener[0], V4, &leg);
	redirect_other(&world, listener[0], &other);
	mine_size = records_of(leg.accepted, mine);
	others_size = records_of(other.accepted, others);

	EXPECT_RESULT(set_records(leg.accepted, others, others_size), -EISCONN);
	/* That changed nothing. */
	size = sizeof(mine);
	EXPECT_RESULT(query(leg.accepted, WAYBILL_REDIRECT_RECORDS, mine, &size), 0);
	EXPECT(size == mine_size && !waybill_records_decode(mine, size, &decoded));
	EXPECT(decoded.hop_count == 1 && decoded.hops[0].client.uid == APPLICATION_UID);

	disconnect(leg.accepted);
	EXPECT(counted(&world, COUNT_RECORDS_SET) == 0);
	size = sizeof(mine);
	EXPECT_RESULT(query(leg.accepted, WAYBILL_REDIRECT_RECORDS, mine, &size), -ENOTCONN);
	EXPECT_RESULT(state_of(leg.accepted), -ENOTCONN);

	EXPECT_RESULT(connect_socket(leg.accepted, V4, SERVER_PORT), 0);
	size = sizeof(mine);
	EXPECT_RESULT(query(leg.accepted, WAYBILL_REDIRECT_RECORDS, mine, &size), -ENOENT);
	as_service(&world, 1);
	accepted = accept_from(listener[1]);
	size = records_of(accepted, mine);
	EXPECT_RESULT(waybill_records_decode(mine, size, &decoded), 0);
	/* The hop that is presumed of a, and the one to b. */
	EXPECT(decoded.hop_count == 2, "%u", decoded.hop_count);
	for (uint32_t i = 0; i < 2; i++)
		EXPECT(decoded.hops[i].client.uid == SERVICE_UID(0), "hop %u is of user %u", i,
		       decoded.hops[i].client.uid);
	EXPECT(decoded.hops[0].filter == 0 && decoded.hops[1].filter != 0);
	as_root(&world);
	world_end(&world);
}
