// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sweeps over the edges of all ranges in order: between two edges the set of members that accept is
 * the same, so the values fall into runs, each with one result line, of which the tree is made. The
 * time is that of sorting the edges; how ranges overlap does not matter.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "../progress.h"

#define VALUE_BITS 128
#define PROGRESS_RUNS 4096

_Static_assert(sizeof(struct tree_run) == sizeof(struct table_edge), "they take turns");

static void add_edge(struct table *table, table_value at, unsigned int member, bool end)
{
	table->edge[table->edges++] = (struct table_edge){ at, member, end };
}

static int reserve(struct table *table, size_t edges)
{
	size_t capacity = table->capacity ? table->capacity : 64;
	void *grown;

	while (capacity < edges)
		capacity *= 2;
	if (capacity == table->capacity)
		return 0;
	grown = image_array(table->edge, capacity, sizeof(*table->edge));
	if (!grown)
		return -ENOMEM;
	table->edge = grown;
	table->capacity = capacity;
	return 0;
}

static int add_range(struct table *table, table_value from, table_value to, int bits,
		     unsigned int member)
{
	table_value last = bits == VALUE_BITS ? ~(table_value)0 : ((table_value)1 << bits) - 1;
	int error = reserve(table, table->edges + 2);

	if (error)
		return error;
	add_edge(table, from << (VALUE_BITS - bits), member, false);
	if (to != last)
		add_edge(table, (to + 1) << (VALUE_BITS - bits), member, true);
	return 0;
}

static int compare_ranges(const void *left, const void *right)
{
	const struct table_range *a = left, *b = right;

	return (a->from > b->from) - (a->from < b->from);
}

/* In order, and none touches another. Returns how many are left. */
static size_t merge(struct table_range *range, size_t ranges)
{
	size_t i, count = 0;

	if (!ranges)
		return 0;
	qsort(range, ranges, sizeof(*range), compare_ranges);
	for (i = 1; i < ranges; i++) {
		if (range[i].from > range[count].to)
			range[++count] = range[i];
		else if (range[i].to > range[count].to)
			range[count].to = range[i].to;
	}
	return count + 1;
}

int table_add(struct table *table, struct table_range *range, size_t ranges,
	      struct table_range *except, size_t exceptions, int bits, unsigned int member)
{
	table_value last = bits == VALUE_BITS ? ~(table_value)0 : ((table_value)1 << bits) - 1;
	struct table_range all = { 0, last };
	size_t i, first = 0, at;
	bool any = false;
	int error = 0;

	if (!ranges && !exceptions) {
		bitmap_set(&table->always, member);
		return 1;
	}
	if (!ranges) {
		range = &all;
		ranges = 1;
	}
	/* Only exceptions need an order: which of its ranges a value is in does not matter. */
	if (exceptions) {
		ranges = merge(range, ranges);
		exceptions = merge(except, exceptions);
	}
	for (i = 0; !error && i < ranges; i++) {
		table_value from = range[i].from, to = range[i].to;
		bool left = true;

		/* Those that end before this range begins end before all that follow, too. */
		while (first < exceptions && except[first].to < from)
			first++;
		for (at = first; left && at < exceptions && except[at].from <= to; at++) {
			if (except[at].from > from) {
				error = add_range(table, from, except[at].from - 1, bits, member);
				any = true;
			}
			if (except[at].to >= to)
				left = false;
			else if (except[at].to >= from)
				from = except[at].to + 1;
		}
		if (!error && left) {
			error = add_range(table, from, to, bits, member);
			any = true;
		}
	}
	return error ? error : any;
}

#define DIGIT_BITS 11
#define DIGITS (1U << DIGIT_BITS)

static unsigned int digit(const struct table_edge *edge, int shift)
{
	return (edge->at >> shift) & (DIGITS - 1);
}

/* One pass of the sort below. */
static void sort_by_digit(const struct table_edge *from, struct table_edge *to, size_t edges,
			  int shift)
{
	size_t count[DIGITS] = { 0 }, i, sum = 0, next;

	for (i = 0; i < edges; i++)
		count[digit(&from[i], shift)]++;
	for (i = 0; i < DIGITS; i++) {
		next = sum + count[i];
		count[i] = sum;
		sum = next;
	}
	for (i = 0; i < edges; i++)
		to[count[digit(&from[i], shift)]++] = from[i];
}

/*
 * Millions of edges are common, so they are sorted by their digits, the last first, and only by the
 * bits in which any two differ. The two arrays may change places.
 */
static void sort_edges(struct table *table, struct table_edge **other)
{
	table_value differ = 0;
	size_t i;
	int shift = 0;

	for (i = 1; i < table->edges; i++)
		differ |= table->edge[i].at ^ table->edge[0].at;
	while (shift < VALUE_BITS && differ >> shift) {
		if (differ >> shift & 1) {
			struct table_edge *from = table->edge;

			sort_by_digit(from, *other, table->edges, shift);
			table->edge = *other;
			*other = from;
			shift += DIGIT_BITS;
		} else {
			shift++;
		}
	}
}

/* Which members accept the values that the sweep has come to. */
struct sweep {
	uint32_t open[POLICY_FILTERS_MAX]; /* how many ranges of a member */
	size_t members;                    /* with any open range */
	struct bitmap accepting;           /* they, and those that accept every value */
	const struct bitmap *always;
	uint32_t plain; /* line of the latter alone, which stands between most ranges */
	bool plain_known;
};

/*
 * Ranges of one member may overlap, so it accepts while any of them is open. A range begins at a
 * smaller value than it ends, so the order of edges at the same value does not matter.
 */
static void pass_edge(const struct table_edge *edge, struct sweep *sweep)
{
	if (!edge->end && !sweep->open[edge->member]++) {
		bitmap_set(&sweep->accepting, edge->member);
		sweep->members++;
	}
	if (edge->end && !--sweep->open[edge->member]) {
		if (!(sweep->always->word[edge->member / 64] >> edge->member % 64 & 1))
			bitmap_clear(&sweep->accepting, edge->member);
		sweep->members--;
	}
}

/* The run that begins here. Its line may come later, so equal neighbours are joined only then. */
static int add_run(struct image_builder *builder, struct image_queue *queue, struct sweep *sweep,
		   struct tree_run *run)
{
	int error = 0;

	if (sweep->members)
		return image_share_later(builder, queue, &sweep->accepting, &run->entry);
	if (!sweep->plain_known)
		error = image_share(builder, &sweep->accepting, &sweep->plain);
	sweep->plain_known = true;
	run->entry = sweep->plain;
	return error;
}

/* Makes leaves of lines. Returns how many runs are left. */
static size_t join(struct tree_run *run, size_t runs)
{
	size_t i, count = 0;

	for (i = 0; i < runs; i++) {
		run[i].entry |= POLICY_LEAF;
		if (!count || run[i].entry != run[count - 1].entry)
			run[count++] = run[i];
	}
	return count;
}

static int runs_make(const struct table *table, struct image_builder *builder, struct tree_run *run,
		     size_t *runs)
{
	struct sweep sweep = { .accepting = table->always, .always = &table->always };
	struct image_queue queue = { .first = 0 };
	table_value at = 0;
	size_t i = 0;
	int error;

	*runs = 0;
	do {
		for (; i < table->edges && table->edge[i].at == at; i++)
			pass_edge(&table->edge[i], &sweep);
		if (*runs % PROGRESS_RUNS == 0)
			progress_at(i, table->edges);
		run[*runs].from = at;
		error = add_run(builder, &queue, &sweep, &run[(*runs)++]);
		if (i < table->edges)
			at = table->edge[i].at;
	} while (!error && i < table->edges);
	if (!error)
		error = image_share_end(builder, &queue);
	*runs = join(run, *runs);
	return error;
}

int table_build(struct table *table, struct image_builder *builder, uint32_t *root)
{
	struct table_edge *other;
	struct tree_run *run;
	size_t runs;
	int error = reserve(table, TREE_ROOM(table->edges + 1));

	if (error)
		return error;
	other = image_array(NULL, table->capacity, sizeof(*other));
	if (!other)
		return -ENOMEM;
	sort_edges(table, &other);
	progress_step(TABLE_SORTED);
	run = (struct tree_run *)other;
	error = runs_make(table, builder, run, &runs);
	progress_step(TABLE_SWEPT);
	/* From here on the edges are only memory. */
	if (!error)
		error = tree_build(builder, run, runs, (struct tree_run *)table->edge, root);
	free(other);
	return error;
}

void table_release(struct table *table)
{
	free(table->edge);
	*table = (struct table){ 0 };
}
