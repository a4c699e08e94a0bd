// SPDX-License-Identifier: BSD-2-Clause
/*
 * Records are set before connect: EISCONN on a socket that is connected, connecting, listening or
 * half closed, and on the accepted socket itself. What the connection bears is not changed by it.
 */
#include "records_tools.h"

int main(void)
{
	unsigned char records[WAYBILL_RECORDS_MAX];
	int listener, onward, full;
	struct world world;
	struct leg leg;
	size_t size;

	world_begin(&world, "records_after_connect");
	world_up(&world);
	/* Servers that never close: a connection that has ended at both ends is another matter. */
	for (enum family family = V4; family <= V6; family++)
		server_listener(family, SERVER_PORT);
	world_policy(&world, 1, NULL);
	listener = listener_of(&world, 0, V4, false);
	redirect_application(&world, 0, listener, V4, &leg);
	size = records_of(leg.accepted, records);

	for (enum family family = V4; family < FAMILIES; family++) {
		onward = socket_of(family, 0);
		EXPECT_RESULT(set_records(onward, records, size), 0);
		EXPECT_RESULT(connect_socket(onward, family, SERVER_PORT), 0);
		EXPECT_RESULT(set_records(onward, records, size), -EISCONN);
		EXPECT_RESULT(set_records(onward, "nonsense", 8), -EISCONN);
		EXPECT_RESULT(waybill_records_set(onward, records, size), -EISCONN);
		EXPECT_RESULT(state_of(onward), WAYBILL_REDIRECTED_BY_SELF);
		EXPECT(!shutdown(onward, SHUT_WR));
		EXPECT_RESULT(set_records(onward, records, size), -EISCONN);
		close(onward);
	}
	EXPECT_RESULT(set_records(leg.accepted, records, size), -EISCONN);
	EXPECT_RESULT(set_records(listener, records, size), -EISCONN);

	/* Nobody answers its SYN, because the queue of the listener is full. */
	full = server_listener(V4, 8001);
	EXPECT(!listen(full, 0));
	EXPECT(connect_to(V4, 8001) >= 0);
	onward = socket_of(V4, SOCK_NONBLOCK);
	EXPECT_RESULT(connect_socket(onward, V4, 8001), -EINPROGRESS);
	EXPECT_RESULT(set_records(onward, records, size), -EISCONN);
	EXPECT_RESULT(state_of(onward), -ENOTCONN);

	EXPECT(counted(&world, COUNT_RECORDS_SET) == FAMILIES);
	EXPECT(counted(&world, COUNT_RECORDS_BAD) == 0);
	as_root(&world);
	world_end(&world);
}
