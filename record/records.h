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
#define RECORDS_PART_ORIGINATOR 2

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
	__u64 cgroup_scope; /* of the originator: the nearest that the policy named; 0 for none */
	__u64 netns;        /* cookie of the client's network namespace */
};

/* What the originator's socket was when it connected. Before the first hop; there is one, or none. */
struct records_originator {
	__u16 type;
	__u16 length;
	__u32 account; /* in whose share its connections are: its user, or its user namespace */
	__u32 mark;
	__u32 priority;
	__u8 dscp;
	__u8 reserved[7]; /* 0 */
};

#define RECORDS_ORIGINATOR_SIZE 24
#define RECORDS_HEADER_SIZE 32
#define RECORDS_HOP_SIZE 112
#define RECORDS_HOP_FLOW 24 /* offset of "flow" in a hop */
#define RECORDS_MAC_SIZE 16
#define RECORDS_PARTS_MAX (WAYBILL_RECORDS_MAX - RECORDS_HEADER_SIZE - RECORDS_MAC_SIZE)
#define RECORDS_WORDS_MAX (WAYBILL_RECORDS_MAX / 8)

_Static_assert(sizeof(struct records_header) == RECORDS_HEADER_SIZE, "header has no padding");
_Static_assert(sizeof(struct records_hop) == RECORDS_HOP_SIZE, "hop has no padding");
_Static_assert(sizeof(struct records_originator) == RECORDS_ORIGINATOR_SIZE, "nor has that");
_Static_assert(__builtin_offsetof(struct records_hop, flow) == RECORDS_HOP_FLOW, "as said");
_Static_assert(RECORDS_ORIGINATOR_SIZE + WAYBILL_HOPS_MAX * RECORDS_HOP_SIZE <= RECORDS_PARTS_MAX,
	       "all hops fit");

/* What a walk over the parts has found so far. Offsets are from the first part. All 0 before it. */
struct records_reading {
	__u32 hop_count;
	__u32 last_hop;  /* offset of the last hop */
	__u32 next_part; /* offset at which the next part begins */
	__u32 service;   /* of the last hop */
	__u64 flow;      /* of the last hop */
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

enum records_word { RECORDS_MALFORMED, RECORDS_WORD, RECORDS_HOP, RECORDS_ORIGINATOR };

/*
 * Takes the parts one word at a time, the first with offset 0. Returns RECORDS_MALFORMED, or
 * RECORDS_HOP or RECORDS_ORIGINATOR for the first word of one, else RECORDS_WORD. After the last word
 * records_reading_ended() has to say yes.
 */
static inline __attribute__((always_inline)) enum records_word
records_read_word(struct records_reading *reading, __u32 offset, __u64 word)
{
	__u32 type = word & 0xffff, length = (word >> 16) & 0xffff;

	if (offset == reading->next_part) {
		if (type == 0 || length < 8 || length % 8)
			return RECORDS_MALFORMED;
		reading->next_part = offset + length;
		if (type == RECORDS_PART_ORIGINATOR)
			return length < RECORDS_ORIGINATOR_SIZE || reading->hop_count ?
				       RECORDS_MALFORMED :
				       RECORDS_ORIGINATOR;
		if (type != RECORDS_PART_HOP)
			return RECORDS_WORD;
		if (length < RECORDS_HOP_SIZE || reading->hop_count >= WAYBILL_HOPS_MAX)
			return RECORDS_MALFORMED;
		reading->last_hop = offset;
		reading->service = word >> 32;
		reading->hop_count++;
		return RECORDS_HOP;
	}
	if (reading->hop_count && offset == reading->last_hop + RECORDS_HOP_FLOW)
		reading->flow = word;
	return RECORDS_WORD;
}

/* Whether the parts were whole, and the header says of them what they are. */
static inline __attribute__((always_inline)) int
records_reading_ended(const struct records_reading *reading, const struct records_header *header)
{
	return reading->next_part ==
		       header->length - RECORDS_HEADER_SIZE - (__u32)RECORDS_MAC_SIZE &&
	       reading->hop_count == header->hop_count && reading->service == header->service &&
	       reading->flow == header->flow;
}

#endif
