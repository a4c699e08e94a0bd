/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The record blob: a header, parts, a MAC. docs/records.md is the normative text; this header
 * is its only implementation, compiled for the eBPF programs and for user space.
 *
 * The blob is read one 64-bit word at a time (records_read_word), because that is what an eBPF
 * program can do with a buffer from user space: every offset is checked, every loop is bounded.
 */
#ifndef WAYBILL_RECORD_RECORDS_H
#define WAYBILL_RECORD_RECORDS_H

#include <waybill/abi.h>

#include "mac.h"

#define RECORDS_MAGIC 0x4c425957U /* "WYBL" */
#define RECORDS_VERSION 1

/*
 * Types of parts. 0x0001-0x3fff belong to the specification, 0x4000-0x7fff are assigned to
 * other implementers on request, 0x8000-0xffff are for private use. Parts of unknown type are
 * covered by the MAC, carried on in their place, and otherwise ignored.
 */
#define RECORDS_PART_HOP 1

struct records_header {
	__u32 magic;
	__u8 version;
	__u8 hop_count;
	__u16 length;  /* of the whole blob with its MAC, in bytes; a multiple of 8 */
	__u32 key;     /* id of the key that the MAC was made with */
	__u32 service; /* whom the records were issued to: the service of the last hop */
	__u64 issued;  /* nanoseconds of CLOCK_BOOTTIME of the issuing host */
	__u64 flow;    /* of the last hop */
};

/*
 * One redirection. A hop with filter 0 was presumed: its service connected onward without records,
 * so it, and every service before it in the order of weights, counts as having seen the connection.
 * The first word holds type, length and service, the second filter and context.
 */
struct records_hop {
	__u16 type;
	__u16 length; /* of the part with these four bytes; a multiple of 8 */
	__u32 service;
	__u32 filter;
	__u32 context; /* the engine's number for the context bytes, 0 for none */
	__u64 time;    /* nanoseconds of CLOCK_BOOTTIME */
	__u64 flow;
	struct waybill_address destination; /* what this hop's client asked for */
	struct waybill_process client;      /* who asked; in the first hop the originator */
	__u64 cgroup_scope; /* the nearest cgroup, itself or above, that the policy names; 0 for none */
	__u64 netns;        /* cookie of the client's network namespace */
};

#define RECORDS_HEADER_SIZE 32
#define RECORDS_HOP_SIZE 112
#define RECORDS_MAC_SIZE 16
#define RECORDS_PARTS_MAX (WAYBILL_RECORDS_MAX - RECORDS_HEADER_SIZE - RECORDS_MAC_SIZE)
#define RECORDS_WORDS_MAX (WAYBILL_RECORDS_MAX / 8)

_Static_assert(sizeof(struct records_header) == RECORDS_HEADER_SIZE, "header has no padding");
_Static_assert(sizeof(struct records_hop) == RECORDS_HOP_SIZE, "hop has no padding");
_Static_assert(WAYBILL_HOPS_MAX *RECORDS_HOP_SIZE <= RECORDS_PARTS_MAX, "all hops fit");

/* What a walk over the parts finds. Offsets are from the first part. */
struct records_summary {
	__u32 hop_count;
	__u32 first_hop; /* offset of the first hop */
	__u32 last_hop;  /* offset of the last one */
	__u32 next_part; /* offset at which the next part begins */
	__u32 presumed;  /* bit n: hop n was presumed */
	__u32 reserved;
	__u32 services[WAYBILL_HOPS_MAX];
	__u32 contexts[WAYBILL_HOPS_MAX];
};

/*
 * Checks what can be checked of a header before its MAC. length is what the caller passed.
 * Returns 1 if the header is well-formed.
 */
static inline __attribute__((always_inline)) int
records_header_valid(const struct records_header *h, __u32 length)
{
	return h->magic == RECORDS_MAGIC && h->version == RECORDS_VERSION && h->length == length &&
	       length % 8 == 0 && length <= WAYBILL_RECORDS_MAX &&
	       length >= RECORDS_HEADER_SIZE + RECORDS_HOP_SIZE + RECORDS_MAC_SIZE &&
	       h->hop_count > 0 && h->hop_count <= WAYBILL_HOPS_MAX;
}

/*
 * Takes the parts one word at a time, the first with offset 0. Returns 1, or 0 if a part is
 * malformed; after the last word the walk is whole if next_part equals the length of the parts.
 */
static inline __attribute__((always_inline)) int records_read_word(struct records_summary *s,
								   __u32 offset, __u64 word)
{
	__u32 type = word & 0xffff, length = (word >> 16) & 0xffff;

	if (offset == s->next_part) {
		if (type == 0 || length < 8 || length % 8)
			return 0;
		s->next_part = offset + length;
		if (type != RECORDS_PART_HOP)
			return 1;
		if (length < RECORDS_HOP_SIZE || s->hop_count >= WAYBILL_HOPS_MAX)
			return 0;
		if (s->hop_count == 0)
			s->first_hop = offset;
		s->last_hop = offset;
		s->services[s->hop_count % WAYBILL_HOPS_MAX] = word >> 32;
		s->hop_count++;
	} else if (s->hop_count && offset == s->last_hop + 8) {
		s->contexts[(s->hop_count - 1) % WAYBILL_HOPS_MAX] = word >> 32;
		if (!(__u32)word)
			s->presumed |= 1U << (s->hop_count - 1) % WAYBILL_HOPS_MAX;
	}
	return 1;
}

#endif
