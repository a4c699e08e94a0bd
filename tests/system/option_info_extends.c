// SPDX-License-Identifier: BSD-2-Clause
/*
 * The info is extensible by size: a caller with a larger struct gets the 168 bytes of this version,
 * is told so twice, and keeps the rest of its struct; one with a struct of the version before gets
 * the 152 bytes of that; one with a smaller struct gets ERANGE.
 */
#include "records_tools.h"

struct later_info {
	struct waybill_info now;
	unsigned char later[360];
};

_Static_assert(sizeof(struct waybill_info) == 168, "the second version");

int main(void)
{
	struct later_info info;
	struct world world;
	struct leg leg;
	socklen_t size;
	int listener;

	world_begin(&world, "option_info_extends");
	world_up(&world);
	world_policy(&world, 1, NULL);
	listener = listener_of(&world, 0, V4, false);
	redirect_application(&world, 0, listener, V4, &leg);
	for (size_t room = WAYBILL_INFO_SIZE_1; room <= sizeof(info); room++) {
		size_t wanted = room < sizeof(info.now) ? WAYBILL_INFO_SIZE_1 : sizeof(info.now);

		memset(&info, 0xa5, sizeof(info));
		size = room;
		EXPECT_RESULT(query(leg.accepted, WAYBILL_REDIRECT_INFO, &info, &size), 0);
		EXPECT(size == wanted && info.now.size == wanted, "room %zu", room);
		EXPECT(info.now.reserved == 0 && info.now.client.application == 0);
		for (size_t i = wanted; i < sizeof(info); i++)
			EXPECT(((unsigned char *)&info)[i] == 0xa5, "room %zu, byte %zu", room, i);
	}
	size = 151;
	EXPECT_RESULT(query(leg.accepted, WAYBILL_REDIRECT_INFO, &info, &size), -ERANGE);
	EXPECT(size == 151);
	as_root(&world);
	world_end(&world);
}
