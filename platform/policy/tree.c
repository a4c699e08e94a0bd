// SPDX-License-Identifier: BSD-2-Clause
/*
 * Cuts a tree out of sorted runs, from its leaves to its root: at each depth every block of values
 * that a run ends within becomes a node or a skip, and so a run of its own. What is in a node does
 * not depend on others of its depth, so many can be looked for in the image at the same time.
 *
 * A block with one result but for a part of it becomes a skip. The block around it may lengthen that,
 * and so on: so a skip gets into the image only with the node, or other skip, that refers to it.
 */
#include <errno.h>
#include <stdlib.h>

#include "tree.h"
#include "../progress.h"

#define VALUE_BITS 128

struct folding {
	struct image_builder *builder;
	struct image_queue queue;
	struct tree_run *run, *other;
	size_t runs;
	struct policy_skip *skip; /* those not yet in the image: runs' entries have their places */
	size_t skips, capacity;
};

/* The part of a block that is not as all else in it. */
struct part {
	table_value from, size;
	uint32_t entry, other;
};

/* What an entry of a run is in the image. */
static int settle(const struct folding *folding, uint32_t entry, uint32_t *settled)
{
	int error = 0;

	*settled = entry;
	if (entry & POLICY_SKIP) {
		error = image_share_skip(folding->builder, &folding->skip[entry & ~POLICY_SKIP],
					 settled);
		*settled |= POLICY_SKIP;
	}
	return error;
}

/* The entries of the node for the block at this value; moves *run to the last that is in it. */
static int fill_node(const struct folding *folding, table_value at, int depth, size_t *run,
		     uint32_t node[POLICY_FANOUT])
{
	int shift = VALUE_BITS - POLICY_STRIDE * (depth + 1), error = 0;
	table_value i, child;

	for (i = 0; !error && i < POLICY_FANOUT; i++) {
		/* Of the last five bits of 128 only three are there; the others are zero. */
		child = at + (shift >= 0 ? i << shift : i >> -shift);
		while (*run + 1 < folding->runs && folding->run[*run + 1].from <= child)
			++*run;
		error = settle(folding, folding->run[*run].entry, &node[i]);
	}
	return error;
}

/* Whether its values are those that begin with the same bits. */
static bool is_prefix(const struct part *part)
{
	return !(part->size & (part->size - 1)) && !(part->from & (part->size - 1));
}

/*
 * Whether the block has one result but for a part of it that a skip can tell. Moves *run as above if
 * so. A run that is not a leaf is a block of the next depth: if the part is one, a skip may go on
 * with it, and all else, which is half of this block or more, cannot be one.
 */
static bool find_part(const struct folding *folding, table_value at, table_value rest, size_t *run,
		      struct part *part)
{
	const struct tree_run *in = &folding->run[*run];
	size_t left = folding->runs - *run, inside = 1;
	table_value last = at + rest;

	while (inside < left && inside < 4 && in[inside].from <= last)
		inside++;
	if (inside > 3 || (inside == 3 && in[0].entry != in[2].entry))
		return false;
	*part = (struct part){ in[1].from, (inside == 3 ? in[2].from : last + 1) - in[1].from,
			       in[1].entry, in[0].entry };
	if (!is_prefix(part) && inside == 2)
		*part = (struct part){ at, in[1].from - at, in[0].entry, in[1].entry };
	if (!is_prefix(part))
		return false;
	*run += inside - 1;
	return true;
}

static int width_of(table_value size)
{
	return size >> 64 ? 64 + __builtin_ctzll(size >> 64) : __builtin_ctzll(size);
}

/* The entry for a block of this width that has such a part. */
static int add_skip(struct folding *folding, int width, const struct part *part, uint32_t *entry)
{
	unsigned int count = width - width_of(part->size);
	struct policy_skip skip = { .other = part->other }, *below;
	uint64_t below_count;
	void *grown;
	int error;

	skip.bits = (uint64_t)(part->from << (VALUE_BITS - width) >> 64) & ~0ULL << (64 - count);
	if (part->entry & POLICY_SKIP) {
		below = &folding->skip[part->entry & ~POLICY_SKIP];
		below_count = below->bits & POLICY_SKIP_COUNT;
		if (below->other == part->other && below_count + count <= POLICY_SKIP_BITS) {
			below->bits = skip.bits |
				      (below->bits & ~(uint64_t)POLICY_SKIP_COUNT) >> count |
				      (below_count + count);
			*entry = part->entry;
			return 0;
		}
	}
	skip.bits |= count;
	error = settle(folding, part->entry, &skip.then);
	if (error)
		return error;
	if (folding->skips == folding->capacity) {
		folding->capacity = folding->capacity ? folding->capacity * 2 : 256;
		grown = image_array(folding->skip, folding->capacity, sizeof(skip));
		if (!grown)
			return -ENOMEM;
		folding->skip = grown;
	}
	*entry = POLICY_SKIP | folding->skips;
	folding->skip[folding->skips++] = skip;
	return 0;
}

/*
 * Runs begin at multiples of the children's size before this, and of the blocks' after it. "Rest"
 * has the bits that differ within a block.
 */
static int fold(struct folding *folding, int depth, table_value rest)
{
	struct tree_run *in = folding->run, *out = folding->other;
	uint32_t node[POLICY_FANOUT];
	size_t run = 0, count = 0;
	struct part part;
	table_value at = 0;
	int error = 0;

	do {
		bool last = run + 1 == folding->runs;
		table_value end = last ? 0 : in[run + 1].from;

		/* The blocks that this run covers as a whole, if there are any. */
		if (last || (end & ~rest) != at)
			out[count++] = (struct tree_run){ at, in[run].entry };
		if (last)
			break;
		at = end & ~rest;
		if (end != at) {
			out[count].from = at;
			if (find_part(folding, at, rest, &run, &part))
				error = add_skip(folding, VALUE_BITS - POLICY_STRIDE * depth, &part,
						 &out[count].entry);
			else
				error = fill_node(folding, at, depth, &run, node) ?:
						image_share_later(folding->builder, &folding->queue,
								  node, &out[count].entry);
			count++;
			at += rest + 1; /* 0 behind the last block */
		}
		if (run + 1 < folding->runs && in[run + 1].from == at)
			run++;
	} while (!error && at);
	if (!error)
		error = image_share_end(folding->builder, &folding->queue);
	folding->run = out;
	folding->other = in;
	folding->runs = count;
	return error;
}

int tree_build(struct image_builder *builder, struct tree_run *run, size_t runs,
	       struct tree_run *other, uint32_t *root)
{
	struct folding folding = {
		.builder = builder,
		.run = run,
		.other = other,
		.runs = runs,
	};
	int depth = (VALUE_BITS - 1) / POLICY_STRIDE, deepest = -1, error = 0;
	table_value bits = 0, rest;
	size_t i;

	for (i = 0; i < runs; i++)
		bits |= run[i].from;
	for (; !error && depth >= 0; depth--) {
		rest = depth ? ((table_value)1 << (VALUE_BITS - POLICY_STRIDE * depth)) - 1 :
			       ~(table_value)0;
		if (!(bits & rest))
			continue;
		if (deepest < depth)
			deepest = depth;
		progress_at(deepest - depth, deepest + 1);
		error = fold(&folding, depth, rest);
	}
	if (!error)
		error = settle(&folding, folding.run[0].entry, root);
	free(folding.skip);
	return error;
}
