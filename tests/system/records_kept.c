// SPDX-License-Identifier: BSD-2-Clause
/*
 * Nothing is lost by a failure: records that were set stay on the socket when others are refused
 * after them, for whatever reason, and the connection carries the good ones; so it does after a
 * connect that was refused, on the same socket.
 */
#include "records_tools.h"

#include "../../record/records.h"

int main(void)
{
	unsigned char records[2][WAYBILL_RECORDS_MAX], bad[WAYBILL_RECORDS_MAX];
	struct waybill_records decoded;
	struct leg leg[2];
	struct world world;
	int listener[2];
	size_t size[2];

	world_begin(&world, "records_kept");
	world_up(&world);
	world_policy(&world, 2, "    when_down: block\n");
	for (int i = 0; i < 2; i++)
		listener[i] = listener_of(&world, i, V4, false);
	redirect_chain(&world, 2, listener, V4, leg);
	for (int i = 0; i < 2; i++)
		size[i] = records_of(leg[i].accepted, records[i]);
	close(leg[1].client);
	close(leg[1].accepted);

	leg[1].client = onward_of(&world, 0, leg[0].accepted);
	memcpy(bad, records[0], size[0]);
	bad[size[0] - 1] ^= 1;
	EXPECT_RESULT(set_records(leg[1].client, bad, size[0]), -EBADMSG);
	EXPECT_RESULT(set_records(leg[1].client, bad, 0), -EBADMSG);
	EXPECT_RESULT(set_records(leg[1].client, bad, WAYBILL_RECORDS_MAX), -EBADMSG);
	EXPECT_RESULT(set_records(leg[1].client, records[1], size[1]), -EACCES);
	as_application(&world);
	EXPECT_RESULT(set_records(leg[1].client, records[0], size[0]), -EACCES);
	as_service(&world, 0);
	EXPECT_RESULT(state_of(leg[1].client), WAYBILL_REDIRECTED_BY_SELF);

	/* b is down, which blocks; then it is back. */
	close(listener[1]);
	EXPECT_RESULT(connect_socket(leg[1].client, V4, SERVER_PORT), -ECONNREFUSED);
	EXPECT_RESULT(state_of(leg[1].client), WAYBILL_REDIRECTED_BY_SELF);
	listener[1] = listener_of(&world, 1, V4, false);
	as_service(&world, 0);
	EXPECT_RESULT(connect_socket(leg[1].client, V4, SERVER_PORT), 0);

	as_service(&world, 1);
	leg[1].accepted = accept_from(listener[1]);
	size[1] = records_of(leg[1].accepted, records[1]);
	EXPECT_RESULT(waybill_records_decode(records[1], size[1], &decoded), 0);
	EXPECT(decoded.hop_count == 2 && decoded.hops[0].service == waybill_service_id("a"));
	EXPECT(!memcmp(records[1] + RECORDS_HEADER_SIZE, records[0] + RECORDS_HEADER_SIZE,
		       RECORDS_HOP_SIZE));
	EXPECT(counted(&world, COUNT_RECORDS_BAD) == 3);
	EXPECT(counted(&world, COUNT_RECORDS_FOREIGN) == 2);
	EXPECT(counted(&world, COUNT_NO_RECORDS) == 0);
	as_root(&world);
	world_end(&world);
}
