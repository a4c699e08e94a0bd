/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A policy image being built: lines that are equal are kept once, whatever they mean, so a tree
 * of a hundred thousand prefixes with few distinct results folds into a graph that is far smaller.
 */
#ifndef WAYBILL_PLATFORM_POLICY_IMAGE_H
#define WAYBILL_PLATFORM_POLICY_IMAGE_H

#include "policy.h"

/*
 * Lines are counted on beyond POLICY_LINES_MAX, so that an error can say by how many there are too
 * many, but not without end.
 */
#define IMAGE_LINES_CEILING ((size_t)2 * POLICY_LINES_MAX)

_Static_assert(IMAGE_LINES_CEILING <= POLICY_SKIP / POLICY_SKIPS, "numbers and flags are apart");

/* A set of filters, or of services in the first word. */
struct bitmap {
	uint64_t word[POLICY_WORDS];
};

struct image_slot {
	uint32_t number; /* in pieces of its table's size from the image's beginning; 0: empty */
	uint32_t hash;   /* of its content */
};

/* Finds what the image has already, by content: hash table of the pieces of one size. */
struct image_table {
	struct image_slot *slot;
	size_t slots, used;
};

#define IMAGE_QUEUE 16

/* Lines to be shared wait here while the memory that each needs is fetched. Begins as zeroes. */
struct image_queue {
	struct image_waiting {
		uint64_t content[POLICY_LINE / 8];
		uint32_t hash;
		uint32_t *number;
	} waiting[IMAGE_QUEUE];
	size_t first, last; /* ever taken out, and put in */
};

struct image_builder {
	uint8_t (*line)[POLICY_LINE];
	size_t lines, capacity;
	struct image_table shared, skips; /* lines, and skips */
	uint32_t next_skip;               /* its number, if its line has room for it */
};

/*
 * As reallocarray(). Large arrays ask for large pages: without them more than a quarter of the time
 * of a large policy goes into page faults and misses of the TLB.
 */
void *image_array(void *old, size_t count, size_t size);

/* All others return 0, -ENOMEM, or -E2BIG at the ceiling. */

/* Appends zeroed lines that stand together; the first one's number. */
int image_append(struct image_builder *builder, size_t count, uint32_t *first);
/* The number of a line with this content, which is appended if there is none; 0 if it is zero. */
int image_share(struct image_builder *builder, const void *content, uint32_t *number);
/* The same, but *number is there only after image_share_end(). For many: see struct image_queue. */
int image_share_later(struct image_builder *builder, struct image_queue *queue, const void *content,
		      uint32_t *number);
int image_share_end(struct image_builder *builder, struct image_queue *queue);
/* The number of a skip that is equal to this one. */
int image_share_skip(struct image_builder *builder, const struct policy_skip *skip,
		     uint32_t *number);
/* Keys are different and not 0. Also -E2BIG if no number of cells gives each of them a place. */
int image_hash(struct image_builder *builder, const struct policy_cell *cell, size_t count,
	       struct policy_hash *hash);
void image_release(struct image_builder *builder);

static inline void bitmap_set(struct bitmap *bitmap, unsigned int bit)
{
	bitmap->word[bit / 64] |= 1ULL << bit % 64;
}

static inline void bitmap_clear(struct bitmap *bitmap, unsigned int bit)
{
	bitmap->word[bit / 64] &= ~(1ULL << bit % 64);
}

#endif
