// SPDX-License-Identifier: BSD-2-Clause
/*
 * Records may be replaced until connect: the last ones set count, be they longer, shorter, or the
 * same again; nothing of those before them is left.
 */
#include "records_tools.h"

#include "../../record/records.h"

/* Two accepted connections of b: one redirected once, to b alone, one by way of a. */
int main(void)
{
	unsigned char shorter[WAYBILL_RECORDS_MAX], longer[WAYBILL_RECORDS_MAX];
	unsigned char records[WAYBILL_RECORDS_MAX];
	struct leg alone, chain[2];
	struct waybill_info info;
	struct world world;
	int listener[3], onward, accepted;
	size_t short_size, long_size;

	world_begin(&world, "records_replaced");
	world_up(&world);
	world_policy(&world, 3, "    when_down: pass\n");
	listener[1] = listener_of(&world, 1, V4, false);
	listener[2] = listener_of(&world, 2, V4, false);
	redirect_application(&world, 1, listener[1], V4, &alone);
	listener[0] = listener_of(&world, 0, V4, false);
	redirect_chain(&world, 2, listener, V4, chain);
	short_size = records_of(alone.accepted, shorter);
	long_size = records_of(chain[1].accepted, longer);
	EXPECT(short_size == 184 && long_size == 296);
	/* a is gone again, so that only c is left to see either of them. */
	close(listener[0]);

	for (int last_is_long = 0; last_is_long < 2; last_is_long++) {
		as_service(&world, 1);
		onward = socket_of(V4, 0);
		EXPECT_RESULT(set_records(onward, last_is_long ? shorter : longer,
					  last_is_long ? short_size : long_size),
			      0);
		for (int again = 0; again < 2; again++)
			EXPECT_RESULT(set_records(onward, last_is_long ? longer : shorter,
						  last_is_long ? long_size : short_size),
				      0);
		EXPECT_RESULT(waybill_info_query(onward, &info), 0);
		EXPECT((int)info.hop_count == 1 + last_is_long);
		EXPECT_RESULT(connect_socket(onward, V4, SERVER_PORT), 0);
		as_service(&world, 2);
		accepted = accept_from(listener[2]);
		EXPECT_RESULT(waybill_info_query(accepted, &info), 0);
		EXPECT((int)info.hop_count == 2 + last_is_long);
		EXPECT(records_of(accepted, records) ==
		       (last_is_long ? long_size : short_size) + RECORDS_HOP_SIZE);
		EXPECT(!memcmp(records + RECORDS_HEADER_SIZE,
			       (last_is_long ? longer : shorter) + RECORDS_HEADER_SIZE,
			       (1 + last_is_long) * RECORDS_HOP_SIZE));
		close(onward);
		close(accepted);
	}
	EXPECT(counted(&world, COUNT_RECORDS_SET) == 1 + 6);
	as_root(&world);
	world_end(&world);
}
