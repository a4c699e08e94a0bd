// SPDX-License-Identifier: BSD-2-Clause
/*
 * Records of impossible sizes, with good ones at their front: none at all, less than a header,
 * more than the largest, more than a page, negative. No memory: EFAULT. The socket keeps what
 * it had.
 */
#include "records_tools.h"

#include <sys/mman.h>

int main(void)
{
	static const socklen_t sizes[] = { 2047, 2048, 2049, 2056,  4095,  4096,
					   4097, 4104, 8192, 65535, 65536, 1 << 20 };
	unsigned char *large = calloc(1, 1 << 20), *edge;
	struct world world;
	struct leg leg;
	int listener, onward;
	uint64_t bad = 0;
	size_t size;

	world_begin(&world, "records_oversized");
	world_up(&world);
	world_policy(&world, 1, NULL);
	listener = listener_of(&world, 0, V4, false);
	redirect_application(&world, 0, listener, V4, &leg);
	size = records_of(leg.accepted, large);
	onward = onward_of(&world, 0, leg.accepted);

	for (socklen_t length = 0; length < 32; length++, bad++)
		EXPECT(set_records(onward, large, length) == -EBADMSG, "%u bytes", length);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++, bad++)
		EXPECT(set_records(onward, large, sizes[i]) == -EBADMSG, "%u bytes: %s", sizes[i],
		       strerror(errno));
	EXPECT_RESULT(waybill_records_set(onward, large, 2049), -EBADMSG);
	EXPECT_RESULT(waybill_records_set(onward, large, (size_t)1 << 32 | size), -EBADMSG);
	EXPECT_RESULT(set_records(onward, large, (socklen_t)-1), -EINVAL);
	EXPECT_RESULT(set_records(onward, large, 0x80000000U), -EINVAL);
	EXPECT_RESULT(set_records(onward, NULL, size), -EFAULT);
	/* The memory ends within the records. */
	edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT(edge != MAP_FAILED && !munmap(edge + 4096, 4096));
	memcpy(edge + 4096 - 80, large, 80);
	EXPECT_RESULT(set_records(onward, edge + 4096 - 80, size), -EFAULT);

	EXPECT(counted(&world, COUNT_RECORDS_BAD) == bad);
	EXPECT_RESULT(state_of(onward), WAYBILL_REDIRECTED_BY_SELF);
	EXPECT_RESULT(set_records(onward, large, size), 0);
	as_root(&world);
	world_end(&world);
}
