/* SPDX-License-Identifier: BSD-2-Clause */
/* The tree of a table, made of the results that values have, in order. */
#ifndef WAYBILL_PLATFORM_POLICY_TREE_H
#define WAYBILL_PLATFORM_POLICY_TREE_H

#include "image.h"

/* Values are 128 bits wide here and stand at the left, as in decision/image.h. */
__extension__ typedef unsigned __int128 table_value;

/* From here to the beginning of the next run, or to the end, the result is this entry. */
struct tree_run {
	table_value from;
	uint32_t entry;
} __attribute__((packed, aligned(4)));

/* What a tree may have for n runs at most while it is made: a node, and what comes behind it. */
#define TREE_ROOM(runs) (2 * (runs))

/*
 * Makes the tree of these runs: at least one, the first from 0, all of them leaves. Both arrays
 * have room for TREE_ROOM(runs), and are used up. Returns 0, -ENOMEM or -E2BIG.
 */
int tree_build(struct image_builder *builder, struct tree_run *run, size_t runs,
	       struct tree_run *other, uint32_t *root);

#endif
