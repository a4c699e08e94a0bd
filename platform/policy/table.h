/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One dimension of the classifier being built: which members (filters, or services) accept which
 * ranges of a value.
 */
#ifndef WAYBILL_PLATFORM_POLICY_TABLE_H
#define WAYBILL_PLATFORM_POLICY_TABLE_H

#include "tree.h"

/* There are millions of them, so they are packed. */
struct table_edge {
	table_value at;
	uint32_t member : 31;
	uint32_t end : 1; /* the range ended just before */
} __attribute__((packed, aligned(4)));

struct table {
	struct bitmap always; /* members that accept every value */
	struct table_edge *edge;
	size_t edges, capacity;
};

struct table_range {
	table_value from, to; /* both belong to it */
};

/*
 * Adds for a member the values, of so many bits, that are in one of the ranges (none given: all)
 * and in none of the exceptions. Puts both arrays in order. Returns whether any value is left (0 or
 * 1), or -ENOMEM.
 */
int table_add(struct table *table, struct table_range *range, size_t ranges,
	      struct table_range *except, size_t exceptions, int bits, unsigned int member);

/* The steps of table_build(), for a phase of progress.h: it sorts, sweeps, and makes the tree. */
enum { TABLE_BEGUN, TABLE_SORTED, TABLE_SWEPT, TABLE_STEPS };

/* Builds the tree; *root is as in an entry. Returns 0, -ENOMEM or -E2BIG. */
int table_build(struct table *table, struct image_builder *builder, uint32_t *root);
void table_release(struct table *table);

#endif
