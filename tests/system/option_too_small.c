// SPDX-License-Identifier: BSD-2-Clause
/*
 * A buffer that is too small, by any number of bytes: ERANGE, not a byte of it and not its size is
 * touched, nothing is consumed. The info tells the sizes, and so does a query without a buffer.
 */
#include "records_tools.h"

#define GUARD 0xa5

static unsigned char buffer[4096];

static bool untouched(size_t from)
{
	for (size_t i = from; i < sizeof(buffer); i++)
		if (buffer[i] != GUARD)
			return false;
	return true;
}

/* least: what is not too small, and needed: what there is. */
static void expect_sizes(int accepted, int option, socklen_t least, socklen_t needed)
{
	socklen_t size;
	int result;

	for (socklen_t room = 0; room < least; room++) {
		memset(buffer, GUARD, sizeof(buffer));
		size = room;
		result = query(accepted, option, buffer, &size);
		/* The kernel itself answers for a buffer of no bytes: with EFAULT. */
		EXPECT(result == -ERANGE || (!room && result == -EFAULT), "option %d, room %u: %s",
		       option, room, result_name(result));
		EXPECT(size == room, "option %d, room %u: size %u", option, room, size);
		EXPECT(untouched(0), "option %d, room %u", option, room);
	}
	for (socklen_t room = needed; room <= sizeof(buffer); room += room < needed + 9 ? 1 : 509) {
		memset(buffer, GUARD, sizeof(buffer));
		size = room;
		EXPECT_RESULT(query(accepted, option, buffer, &size), 0);
		EXPECT(size == needed, "option %d, room %u: size %u", option, room, size);
		EXPECT(untouched(needed), "option %d, room %u", option, room);
	}
	for (socklen_t room = 0; room <= sizeof(buffer); room += sizeof(buffer)) {
		size = room;
		EXPECT_RESULT(query(accepted, option, NULL, &size), 0);
		EXPECT(size == needed, "option %d, no buffer, length %u: size %u", option, room,
		       size);
	}
}

static void expect_library_sizes(int accepted, const struct waybill_info *info)
{
	size_t size = info->records_size - 1;

	memset(buffer, GUARD, sizeof(buffer));
	EXPECT_RESULT(waybill_records_query(accepted, buffer, &size), -ERANGE);
	EXPECT(size == info->records_size && untouched(0));
	size = 0;
	EXPECT_RESULT(waybill_records_query(accepted, NULL, &size), -ERANGE);
	EXPECT(size == info->records_size);
	size = info->context_size - 1;
	EXPECT_RESULT(waybill_context_query(accepted, buffer, &size), -ERANGE);
	EXPECT(size == info->context_size && untouched(0));
}

int main(void)
{
	struct waybill_info info;
	struct leg leg[2];
	struct world world;
	int listener[2];
	socklen_t length;

	world_begin(&world, "option_too_small");
	world_up(&world);
	world_policy(&world, 2, NULL);
	for (enum family family = V4; family <= V6; family++) {
		listener[0] = listener_of(&world, 0, family, false);
		listener[1] = listener_of(&world, 1, family, false);
		redirect_chain(&world, 2, listener, family, leg);
		for (int i = 0; i < 2; i++) {
			as_service(&world, i);
			EXPECT_RESULT(waybill_info_query(leg[i].accepted, &info), 0);
			EXPECT(info.records_size == 184U + 112 * i && info.context_size == 5);
			expect_sizes(leg[i].accepted, WAYBILL_REDIRECT_RECORDS, info.records_size,
				     info.records_size);
			expect_sizes(leg[i].accepted, WAYBILL_REDIRECT_CONTEXT, info.context_size,
				     info.context_size);
			expect_sizes(leg[i].accepted, WAYBILL_REDIRECT_INFO, WAYBILL_INFO_SIZE_1,
				     sizeof(info));
			length = family == V4 ? sizeof(struct sockaddr_in) :
						sizeof(struct sockaddr_in6);
			expect_sizes(leg[i].accepted, WAYBILL_ORIGINAL_DESTINATION, length,
				     length);
			expect_library_sizes(leg[i].accepted, &info);
			close(leg[i].client);
			close(leg[i].accepted);
			close(listener[i]);
		}
	}
	as_root(&world);
	world_end(&world);
}
