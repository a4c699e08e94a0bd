/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Look-ups in a policy image: values in its tables, keys in its hashes, services and filters by
 * number. Compiled for the eBPF programs and for user space.
 */
#ifndef WAYBILL_DECISION_FIND_H
#define WAYBILL_DECISION_FIND_H

#include "image.h"

/*
 * Whoever includes this says how to get a line (NULL if there is none of that number), and how
 * to call a step for 0, 1, ... until it returns 1, but at most "steps" times.
 */
static inline const void *policy_line(const void *image, __u32 line);
#ifndef __bpf__
static inline void policy_loop(__u32 steps, long (*step)(__u32, void *), void *data)
{
	for (__u32 i = 0; i < steps; i++)
		if (step(i, data))
			break;
}
#else
#define policy_loop(steps, step, data) bpf_loop(steps, step, data, 0)
#endif

#define POLICY_LINE_BROKEN POLICY_LINES_MAX
#define POLICY_INLINE static inline __attribute__((always_inline))
/* Bounded loops stay loops: unrolled they would be too much for the verifier, or the compiler. */
#define POLICY_LOOP _Pragma("GCC unroll 1")

/* A value to look up, its most significant bit first, at the left of 128 bits. */
struct policy_value {
	__u64 high, low;
};

POLICY_INLINE struct policy_value policy_value32(__u32 value)
{
	return (struct policy_value){ .high = (__u64)value << 32 };
}

/* A port, in host byte order, with its protocol before it: 17 bits. */
POLICY_INLINE struct policy_value policy_value_port(int udp, __u16 port)
{
	return (struct policy_value){ .high = (__u64)(udp != 0) << 63 | (__u64)port << 47 };
}

struct policy_descent {
	const void *image;
	struct policy_value value;
	__u32 entry;
};

static long policy_descend(__u32 level, void *data)
{
	struct policy_descent *descent = data;
	const struct policy_skip *skip;
	__u32 bits = POLICY_STRIDE;
	const __u32 *node;

	if (descent->entry & POLICY_LEAF)
		return 1;
	if (descent->entry & POLICY_SKIP) {
		skip = policy_line(descent->image, (descent->entry & ~POLICY_SKIP) / POLICY_SKIPS);
		if (!skip)
			return 1;
		skip += descent->entry % POLICY_SKIPS;
		bits = skip->bits & POLICY_SKIP_COUNT;
		if ((descent->value.high ^ skip->bits) >> (64 - bits)) {
			descent->entry = skip->other;
			return 1;
		}
		descent->entry = skip->then;
	} else {
		node = policy_line(descent->image, descent->entry);
		if (!node)
			return 1;
		descent->entry = node[descent->value.high >> (64 - POLICY_STRIDE)];
	}
	descent->value.high = descent->value.high << bits | descent->value.low >> (64 - bits);
	descent->value.low <<= bits;
	return 0;
}

/*
 * bits is a constant of the caller: the width of the values in this table. Every step but the last
 * goes on by POLICY_STRIDE bits or more. Returns a line; of a table without leaves, which no
 * compiler makes, one that does not exist.
 */
POLICY_INLINE __u32 policy_table_find_in(struct policy_descent *descent, const void *image,
					 __u32 root, struct policy_value value, int bits)
{
	*descent = (struct policy_descent){ .image = image, .value = value, .entry = root };
	if (!(root & POLICY_LEAF))
		policy_loop((bits + POLICY_STRIDE - 1) / POLICY_STRIDE, policy_descend, descent);
	return descent->entry & POLICY_LEAF ? descent->entry & ~POLICY_LEAF : POLICY_LINE_BROKEN;
}

/* The same, for who has room on his stack. */
POLICY_INLINE __u32 policy_table_find(const void *image, __u32 root, struct policy_value value,
				      int bits)
{
	struct policy_descent descent;

	return policy_table_find_in(&descent, image, root, value, bits);
}

/* The first (0) or second (1) cell of a key; the compiler of the image uses it too. */
POLICY_INLINE __u32 policy_hash_cell(__u64 key, int second, __u32 cells)
{
	__u64 mixed = key * 0x9e3779b97f4a7c15ULL;

	return (__u32)(second ? mixed >> 16 : mixed >> 40) & (cells - 1);
}

POLICY_INLINE const struct policy_cell *policy_hash_find(const void *image,
							 const struct policy_hash *hash, __u64 key)
{
	const struct policy_cell *line;
	__u32 cell;

	/* An empty cell has key 0. */
	if (!hash->first || !key)
		return 0;
	cell = policy_hash_cell(key, 0, hash->cells);
	line = policy_line(image, hash->first + cell / 8);
	if (line && line[cell % 8].key == key)
		return &line[cell % 8];
	cell = policy_hash_cell(key, 1, hash->cells);
	line = policy_line(image, hash->first + cell / 8);
	if (line && line[cell % 8].key == key)
		return &line[cell % 8];
	return 0;
}

/* A key for header->endpoints; the port is in host byte order. */
POLICY_INLINE __u64 policy_endpoint_key(int udp, __u16 port)
{
	return 1 + port + ((__u64)(udp != 0) << 16);
}

/* A key for policy_more.executables; whoever finds a line by it compares the executable itself. */
POLICY_INLINE __u64 policy_executable_key(const struct policy_executable *executable)
{
	__u64 key = executable->inode * 0xff51afd7ed558ccdULL ^
		    ((__u64)executable->device << 32 | executable->generation);

	return key ? key : 1;
}

/*
 * The place of the lowest bit of a word that is not 0. eBPF has no instruction for it: de Bruijn's.
 */
POLICY_INLINE __u32 policy_lowest_bit(__u64 word)
{
	static const __u8 place[64] = {
		0,  1,  48, 2,  57, 49, 28, 3,  61, 58, 50, 42, 38, 29, 17, 4,
		62, 55, 59, 36, 53, 51, 43, 22, 45, 39, 33, 30, 24, 18, 12, 5,
		63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21, 44, 32, 23, 11,
		46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9,  13, 8,  7,  6,
	};

	return place[((word & -word) * 0x03f79d71b4cb0a89ULL) >> 58];
}

/* The result line of an address, in tables for both families; 0: no filter. */
POLICY_INLINE __u32 policy_address_find(const void *image, const struct waybill_address *address,
					__u32 root4, __u32 root6)
{
	const __u8 *a = address->address;
	struct policy_value value;

	if (address->family == 2) {
		value = policy_value32((__u32)a[12] << 24 | a[13] << 16 | a[14] << 8 | a[15]);
		return policy_table_find(image, root4, value, 32);
	}
	value.high = __builtin_bswap64(*(const __u64 *)a);
	value.low = __builtin_bswap64(*(const __u64 *)(a + 8));
	return policy_table_find(image, root6, value, 128);
}

/* The result line of a number, or that of numbers which are not in the hash. */
POLICY_INLINE __u32 policy_number_find(const void *image, const struct policy_hash *hash,
				       __u64 number, __u32 none)
{
	const struct policy_cell *cell = number ? policy_hash_find(image, hash, number) : 0;

	return cell ? cell->value : none;
}

/* The line of the application that an executable is; 0 if the policy does not name it. */
POLICY_INLINE __u32 policy_application_find(const void *image, const struct policy_more *more,
					    const struct policy_executable *executable)
{
	const struct policy_application *application;
	const struct policy_cell *cell;

	if (!more->executables.first || !executable->inode)
		return 0;
	cell = policy_hash_find(image, &more->executables, policy_executable_key(executable));
	application = cell ? policy_line(image, cell->value) : 0;
	return application && application->executable.inode == executable->inode &&
			       application->executable.device == executable->device &&
			       application->executable.generation == executable->generation ?
		       cell->value :
		       0;
}

/*
 * The services that a user's line and a cgroup's agree on. makers: also those whose listener may be
 * made by such a user in such a cgroup. A service may always make its own.
 */
POLICY_INLINE __u64 policy_services(const __u64 *by_user, const __u64 *by_cgroup, int makers)
{
	__u64 services = by_user[POLICY_SERVICE] & by_cgroup[POLICY_SERVICE];

	return makers ? services | (by_user[POLICY_LISTENER] & by_cgroup[POLICY_LISTENER]) :
			services;
}

POLICY_INLINE const struct policy_filter *
policy_filter(const void *image, const struct policy_header *header, __u32 filter)
{
	const struct policy_filter *two;

	if (filter >= header->filters)
		return 0;
	two = policy_line(image, header->filter_line + filter / 2);
	return two ? two + filter % 2 : 0;
}

POLICY_INLINE const struct policy_service *
policy_service(const void *image, const struct policy_header *header, __u32 slot)
{
	return slot < header->services ? policy_line(image, header->service_line + slot) : 0;
}

#endif
