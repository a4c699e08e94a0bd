// SPDX-License-Identifier: BSD-2-Clause
/*
 * marks: a service knows the mark, the priority and the DSCP of the originator's socket, also at the
 * end of a chain, and its onward socket has mark and priority when it has the records; unless the
 * policy says not to.
 */
#include "records_tools.h"

static struct world world;

static void expect_option(int descriptor, int option, int wanted)
{
	socklen_t size = sizeof(int);
	int value;

	EXPECT(!getsockopt(descriptor, SOL_SOCKET, option, &value, &size));
	EXPECT(value == wanted, "option %d: %#x, not %#x", option, value, wanted);
}

static void expect_info(int accepted)
{
	struct waybill_info info;

	EXPECT_RESULT(waybill_info_query(accepted, &info), 0);
	EXPECT(info.mark == 0x1234 && info.priority == 6 && info.dscp == 46, "%#x %u %u",
	       info.mark, info.priority, info.dscp);
}

static void chain(enum family family, const int listener[2], bool keep)
{
	int client = socket_of(family, 0), mark = 0x1234, priority = 6, tos = 46 << 2, accepted[2],
	    onward;

	as_root(&world);
	EXPECT(!setsockopt(client, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
	EXPECT(!setsockopt(client, family == V6 ? SOL_IPV6 : SOL_IP,
			   family == V6 ? IPV6_TCLASS : IP_TOS, &tos, sizeof(tos)));
	EXPECT(!setsockopt(client, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)));
	as_application(&world);
	EXPECT_RESULT(connect_socket(client, family, SERVER_PORT), 0);
	as_service(&world, 0);
	accepted[0] = accept_from(listener[0]);
	expect_info(accepted[0]);
	onward = onward_of(&world, 0, accepted[0]);
	expect_option(onward, SO_MARK, keep ? 0x1234 : 0);
	expect_option(onward, SO_PRIORITY, keep ? 6 : 0);
	EXPECT_RESULT(connect_socket(onward, family == V6 ? V6 : V4, SERVER_PORT), 0);
	as_service(&world, 1);
	accepted[1] = accept_from(listener[1]);
	expect_info(accepted[1]);
	close(accepted[1]);
	close(onward);
	close(accepted[0]);
	close(client);
}

/* What the service has set itself stays, and where there is nothing to keep nothing is changed. */
static void own_mark(int listener, int client_mark)
{
	int client = socket_of(V4, 0), onward = socket_of(V4, 0), mark = 999, priority = 3, accepted;

	as_root(&world);
	EXPECT(!setsockopt(client, SOL_SOCKET, SO_MARK, &client_mark, sizeof(client_mark)));
	EXPECT(!setsockopt(onward, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
	EXPECT(!setsockopt(onward, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)));
	as_application(&world);
	EXPECT_RESULT(connect_socket(client, V4, SERVER_PORT), 0);
	as_service(&world, 0);
	accepted = accept_from(listener);
	EXPECT_RESULT(waybill_forward(accepted, onward), 0);
	expect_option(onward, SO_MARK, 999);
	expect_option(onward, SO_PRIORITY, 3);
	close(onward);
	close(accepted);
	close(client);
}

int main(void)
{
	int listener[2];

	world_begin(&world, "marks");
	world_up(&world);
	for (int keep = 0; keep < 2; keep++) {
		policy_limited(&world, 2, keep ? "keep_mark: yes" : "keep_mark: no");
		for (int family = 0; family < FAMILIES; family++) {
			for (int i = 0; i < 2; i++)
				listener[i] = listener_of(&world, i, family == V6 ? V6 : V4, false);
			chain(family, listener, keep);
			if (family != V6) {
				own_mark(listener[0], 0);
				own_mark(listener[0], 0x77);
			}
			for (int i = 0; i < 2; i++)
				close(listener[i]);
			as_root(&world);
		}
	}
	world_end(&world);
}
