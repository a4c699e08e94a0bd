// SPDX-License-Identifier: BSD-2-Clause
/*
 * Records that are too old are refused with EKEYEXPIRED, counted, and what the socket had before is
 * kept. A query gives the same bytes until half of the expiry has gone, and a fresh blob after it,
 * so a connection can be carried on however old it is.
 */
#include "records_tools.h"

#include <time.h>

#include "../../record/records.h"

static uint64_t boot_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void wait_until(uint64_t time)
{
	struct timespec until = { .tv_sec = time / 1000000000, .tv_nsec = time % 1000000000 };

	clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL);
}

int main(void)
{
	unsigned char first[WAYBILL_RECORDS_MAX], again[WAYBILL_RECORDS_MAX];
	const uint64_t expire = 2000000000, moment = 100000000;
	struct records_header *header = (void *)first, *fresh = (void *)again;
	uint64_t begin, renewed;
	struct world world;
	struct leg leg;
	int listener, onward;
	size_t size;

	world_begin(&world, "records_expire");
	world_up(&world);
	world_server(&world);
	policy_limited(&world, 1, "records_expire: 2s");
	listener = listener_of(&world, 0, V4, false);
	redirect_application(&world, 0, listener, V4, &leg);
	size = records_of(leg.accepted, first);
	begin = header->issued;
	EXPECT(records_of(leg.accepted, again) == size);
	if (boot_now() - begin < expire / 2)
		EXPECT(!memcmp(first, again, size));
	onward = socket_of(V4, 0);
	EXPECT_RESULT(set_records(onward, first, size), 0);

	wait_until(begin + expire / 2 + moment);
	EXPECT(records_of(leg.accepted, again) == size && memcmp(first, again, size));
	renewed = boot_now();
	EXPECT(fresh->issued >= begin + expire / 2 + moment && fresh->issued <= renewed);
	/* Only the time of issue is new, and the MAC. */
	header->issued = fresh->issued;
	EXPECT(!memcmp(first, again, size - RECORDS_MAC_SIZE));
	header->issued = begin;

	wait_until(begin + expire + moment);
	EXPECT_RESULT(set_records(onward, first, size), -EKEYEXPIRED);
	EXPECT(counted(&world, COUNT_RECORDS_EXPIRED) == 1);
	EXPECT_RESULT(state_of(onward), WAYBILL_REDIRECTED_BY_SELF);
	EXPECT_RESULT(waybill_records_set(onward, first, size), -EKEYEXPIRED);
	if (boot_now() < renewed + expire)
		EXPECT_RESULT(set_records(onward, again, size), 0);
	/* What was set in time does not expire on the socket. */
	wait_until(fresh->issued + expire + moment);
	EXPECT_RESULT(set_records(onward, again, size), -EKEYEXPIRED);
	EXPECT_RESULT(connect_socket(onward, V4, SERVER_PORT), 0);
	EXPECT(counted(&world, COUNT_NO_RECORDS) == 0);

	onward = waybill_connect_onward(leg.accepted, 0);
	EXPECT(onward >= 0, "%s", strerror(-onward));
	EXPECT(counted(&world, COUNT_RECORDS_EXPIRED) == 3);
	EXPECT(counted(&world, COUNT_RECORDS_BAD) == 0);
	as_root(&world);
	world_end(&world);
}
