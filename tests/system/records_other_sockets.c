// SPDX-License-Identifier: BSD-2-Clause
/*
 * Records belong on TCP and UDP sockets. On UDP-Lite, UNIX and netlink sockets the answer to any
 * of the options is the one that the kernel gives without Waybill, and nothing is counted.
 */
#include "records_tools.h"

#include <linux/netlink.h>

static const struct {
	const char *name;
	int family, type, protocol;
} kinds[] = {
	{ "udplite", AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE },
	{ "unix stream", AF_UNIX, SOCK_STREAM, 0 },
	{ "unix datagram", AF_UNIX, SOCK_DGRAM, 0 },
	{ "unix packets", AF_UNIX, SOCK_SEQPACKET, 0 },
	{ "netlink", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE },
};

#define KINDS (sizeof(kinds) / sizeof(*kinds))

struct answer {
	int get[6], set[6];
	bool tried;
};

static void ask(const void *records, size_t size, struct answer *answers)
{
	unsigned char buffer[WAYBILL_RECORDS_MAX];

	for (size_t kind = 0; kind < KINDS; kind++) {
		int descriptor = socket(kinds[kind].family, kinds[kind].type | SOCK_CLOEXEC,
					kinds[kind].protocol);

		if (descriptor < 0)
			continue;
		answers[kind].tried = true;
		for (int option = 0; option < 6; option++) {
			socklen_t room = sizeof(buffer);

			answers[kind].get[option] = query(descriptor, option, buffer, &room);
			answers[kind].set[option] =
				setsockopt(descriptor, SOL_WAYBILL, option, records, size) ?
					-errno :
					0;
		}
		close(descriptor);
	}
}

int main(void)
{
	struct answer without[KINDS] = {}, with[KINDS] = {};
	unsigned char records[WAYBILL_RECORDS_MAX];
	struct world world;
	struct leg leg;
	int listener;
	size_t size;

	world_begin(&world, "records_other_sockets");
	ask(records, 160, without);
	world_up(&world);
	world_policy(&world, 1, NULL);
	listener = listener_of(&world, 0, V4, false);
	redirect_application(&world, 0, listener, V4, &leg);
	size = records_of(leg.accepted, records);
	ask(records, size, with);
	for (size_t kind = 0; kind < KINDS; kind++)
		for (int option = 0; option < 6; option++) {
			EXPECT(with[kind].get[option] == without[kind].get[option], "%s %d: %s",
			       kinds[kind].name, option, result_name(with[kind].get[option]));
			EXPECT(with[kind].set[option] == without[kind].set[option], "%s %d: %s",
			       kinds[kind].name, option, result_name(with[kind].set[option]));
			EXPECT(!with[kind].tried || with[kind].set[option] < 0);
		}
	EXPECT(with[1].tried && with[2].tried && with[4].tried);
	EXPECT(counted(&world, COUNT_RECORDS_BAD) + counted(&world, COUNT_RECORDS_FOREIGN) +
		       counted(&world, COUNT_RECORDS_SET) ==
	       0);
	as_root(&world);
	world_end(&world);
}
