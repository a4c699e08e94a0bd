// SPDX-License-Identifier: BSD-2-Clause
/*
 * option_after_disconnect onward|accepted: a socket that was disconnected (connect to AF_UNSPEC)
 * is not connected, and one that then was connected directly was not redirected: ENOTCONN and
 * ENOENT, on a service's onward socket, and on one that it had accepted.
 */
#include "records_tools.h"

#define OTHER_PORT 8100 /* no filter */

static void expect_all(int descriptor, int wanted, const char *what)
{
	unsigned char buffer[WAYBILL_RECORDS_MAX];

	for (int option = 1; option <= 4; option++) {
		socklen_t size = sizeof(buffer);
		int result = query(descriptor, option, buffer, &size);

		EXPECT(result == wanted, "%s, option %d: %s, not %s", what, option,
		       result_name(result), result_name(wanted));
	}
}

int main(int argc, char **argv)
{
	struct leg leg[2];
	struct world world;
	int listener[2];

	world_begin(&world, "option_after_disconnect");
	world_up(&world);
	world_policy(&world, 2, NULL);
	for (int i = 0; i < 2; i++)
		listener[i] = listener_of(&world, i, V4, false);
	as_root(&world);
	server_listener(V4, OTHER_PORT);
	redirect_chain(&world, 2, listener, V4, leg);

	as_service(&world, 0);
	disconnect(leg[1].client);
	if (argc < 2 || !strcmp(argv[1], "onward")) {
		expect_all(leg[1].client, -ENOTCONN, "onward, disconnected");
		EXPECT_RESULT(connect_socket(leg[1].client, V4, OTHER_PORT), 0);
		expect_all(leg[1].client, -ENOENT, "onward, connected anew");
	}
	if (argc < 2 || !strcmp(argv[1], "accepted")) {
		as_service(&world, 1);
		disconnect(leg[1].accepted);
		expect_all(leg[1].accepted, -ENOTCONN, "accepted, disconnected");
		EXPECT_RESULT(connect_socket(leg[1].accepted, V4, OTHER_PORT), 0);
		expect_all(leg[1].accepted, -ENOENT, "accepted, connected anew");
	}
	as_root(&world);
	world_end(&world);
}
