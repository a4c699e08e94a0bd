// SPDX-License-Identifier: BSD-2-Clause
/*
 * Cuts a tree out of sorted runs, from its leaves to its root: at each depth every block of values
 * that a run ends within becomes a node, and so a run of its own. What is in a node does not depend
 * on others of its depth, so many can be looked for in the image at the same time.
 */
#include "tree.h"
#include "../progress.h"

#define VALUE_BITS 128

struct folding {
	struct image_builder *builder;
	struct image_queue queue;
	struct tree_run *run, *other;
	size_t runs;
};

/* The entries of the node for the block at this value; moves *run to the last that is in it. */
static void fill_node(const struct folding *folding, table_value at, int depth, size_t *run,
		      uint32_t node[POLICY_FANOUT])
{
	int shift = VALUE_BITS - POLICY_STRIDE * (depth + 1);
	table_value i, child;

	for (i = 0; i < POLICY_FANOUT; i++) {
		/* Of the last five bits of 128 only three are there; the others are zero. */
		child = at + (shift >= 0 ? i << shift : i >> -shift);
		while (*run + 1 < folding->runs && folding->run[*run + 1].from <= child)
			++*run;
		node[i] = folding->run[*run].entry;
	}
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
			fill_node(folding, at, depth, &run, node);
			out[count].from = at;
			error = image_share_later(folding->builder, &folding->queue, node,
						  &out[count++].entry);
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
	*root = folding.run[0].entry;
	return error;
}
