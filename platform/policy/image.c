// SPDX-License-Identifier: BSD-2-Clause
/*
 * The lines of an image under construction: appended, shared by content, or as the cells of a
 * hash in which the kernel half looks at two places.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image.h"

_Static_assert(sizeof(struct bitmap) == POLICY_LINE, "a result is one line");

#define CELLS (POLICY_LINE / sizeof(struct policy_cell))
#define HASH_CELLS_MAX (POLICY_LINES_MAX * CELLS)
#define SETTLE_STEPS 1000
#define LARGE (4UL << 20)

void *image_array(void *old, size_t count, size_t size)
{
	void *array = reallocarray(old, count, size);
	uintptr_t page = (uintptr_t)array & -(uintptr_t)sysconf(_SC_PAGESIZE);

	if (array && count * size >= LARGE)
		madvise((void *)page, (uintptr_t)array + count * size - page, MADV_HUGEPAGE);
	return array;
}

static int grow_lines(struct image_builder *builder, size_t count)
{
	size_t capacity = builder->capacity ? builder->capacity : 64;
	void *grown;

	if (count > IMAGE_LINES_CEILING || builder->lines + count > IMAGE_LINES_CEILING)
		return -E2BIG;
	while (capacity < builder->lines + count)
		capacity *= 2;
	if (capacity == builder->capacity)
		return 0;
	grown = image_array(builder->line, capacity, POLICY_LINE);
	if (!grown)
		return -ENOMEM;
	builder->line = grown;
	builder->capacity = capacity;
	return 0;
}

int image_append(struct image_builder *builder, size_t count, uint32_t *first)
{
	int error = grow_lines(builder, count);

	if (error)
		return error;
	memset(builder->line[builder->lines], 0, count * POLICY_LINE);
	*first = builder->lines;
	builder->lines += count;
	return 0;
}

/* The multiplications of one lane wait for each other, those of several do not. */
#define LANES 4

static uint32_t hash_line(const void *content)
{
	uint64_t word[POLICY_LINE / 8 / LANES][LANES], lane[LANES] = { 1, 2, 3, 4 }, hash = 0;
	size_t i, j;

	memcpy(word, content, sizeof(word));
	for (i = 0; i < POLICY_LINE / 8 / LANES; i++)
		for (j = 0; j < LANES; j++) {
			lane[j] = (lane[j] ^ word[i][j]) * 0x9e3779b97f4a7c15ULL;
			lane[j] ^= lane[j] >> 29;
		}
	for (j = 0; j < LANES; j++) {
		hash = (hash ^ lane[j]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 29;
	}
	return hash;
}

static uint32_t hash_skip(const struct policy_skip *skip)
{
	uint64_t hash = skip->bits * 0x9e3779b97f4a7c15ULL;

	hash ^= hash >> 29;
	hash = (hash ^ skip->then ^ (uint64_t)skip->other << 32) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

/*
 * Where the piece with this content is in its table, or the free slot for it. Pieces are far apart
 * in memory: the hash beside the number tells nearly all others without a look at them.
 */
static struct image_slot *find_slot(const struct image_builder *builder,
				    const struct image_table *table, const void *content,
				    size_t size, uint32_t hash)
{
	size_t at = hash & (table->slots - 1);

	while (table->slot[at].number &&
	       (table->slot[at].hash != hash ||
		memcmp((uint8_t *)builder->line + table->slot[at].number * size, content, size)))
		at = (at + 1) & (table->slots - 1);
	return &table->slot[at];
}

static int grow_table(struct image_table *table)
{
	struct image_table grown = *table;
	size_t i, at;

	if (table->used * 2 < table->slots)
		return 0;
	grown.slots = table->slots ? table->slots * 2 : 256;
	grown.slot = image_array(NULL, grown.slots, sizeof(*grown.slot));
	if (!grown.slot)
		return -ENOMEM;
	memset(grown.slot, 0, grown.slots * sizeof(*grown.slot));
	for (i = 0; i < table->slots; i++) {
		if (!table->slot[i].number)
			continue;
		/* No two are the same: the next free one is its. */
		at = table->slot[i].hash & (grown.slots - 1);
		while (grown.slot[at].number)
			at = (at + 1) & (grown.slots - 1);
		grown.slot[at] = table->slot[i];
	}
	free(table->slot);
	*table = grown;
	return 0;
}

static int share(struct image_builder *builder, const void *content, uint32_t hash,
		 uint32_t *number)
{
	static const uint8_t zero[POLICY_LINE];
	struct image_slot *slot;
	int error;

	*number = 0;
	if (!memcmp(content, zero, POLICY_LINE))
		return 0;
	error = grow_table(&builder->shared);
	if (error)
		return error;
	slot = find_slot(builder, &builder->shared, content, POLICY_LINE, hash);
	if (!slot->number) {
		error = grow_lines(builder, 1);
		if (error)
			return error;
		memcpy(builder->line[builder->lines], content, POLICY_LINE);
		*slot = (struct image_slot){ builder->lines++, hash };
		builder->shared.used++;
	}
	*number = slot->number;
	return 0;
}

int image_share_skip(struct image_builder *builder, const struct policy_skip *skip,
		     uint32_t *number)
{
	uint32_t hash = hash_skip(skip), line;
	struct image_slot *slot;
	int error = grow_table(&builder->skips);

	if (error)
		return error;
	slot = find_slot(builder, &builder->skips, skip, sizeof(*skip), hash);
	if (!slot->number) {
		if (builder->next_skip % POLICY_SKIPS == 0) {
			error = image_append(builder, 1, &line);
			if (error)
				return error;
			builder->next_skip = line * POLICY_SKIPS;
		}
		memcpy((uint8_t *)builder->line + builder->next_skip * sizeof(*skip), skip,
		       sizeof(*skip));
		*slot = (struct image_slot){ builder->next_skip++, hash };
		builder->skips.used++;
	}
	*number = slot->number;
	return 0;
}

int image_share(struct image_builder *builder, const void *content, uint32_t *number)
{
	return share(builder, content, hash_line(content), number);
}

/* The line that is likely the one, if its slot has come by now. */
static void fetch_line(const struct image_builder *builder, uint32_t hash)
{
	const struct image_table *table = &builder->shared;
	const struct image_slot *slot = &table->slot[hash & (table->slots - 1)];

	if (slot->hash == hash) {
		__builtin_prefetch(builder->line[slot->number]);
		__builtin_prefetch(builder->line[slot->number] + POLICY_LINE / 2);
	}
}

static int take_out(struct image_builder *builder, struct image_queue *queue)
{
	struct image_waiting *first = &queue->waiting[queue->first++ % IMAGE_QUEUE];

	return share(builder, first->content, first->hash, first->number);
}

int image_share_later(struct image_builder *builder, struct image_queue *queue, const void *content,
		      uint32_t *number)
{
	struct image_waiting *waiting;
	int error = 0;

	if (queue->last - queue->first == IMAGE_QUEUE)
		error = take_out(builder, queue);
	waiting = &queue->waiting[queue->last++ % IMAGE_QUEUE];
	memcpy(waiting->content, content, POLICY_LINE);
	waiting->hash = hash_line(content);
	waiting->number = number;
	if (!builder->shared.slots)
		return error;
	__builtin_prefetch(&builder->shared.slot[waiting->hash & (builder->shared.slots - 1)]);
	if (queue->last - queue->first > IMAGE_QUEUE / 2)
		fetch_line(builder,
			   queue->waiting[(queue->last - IMAGE_QUEUE / 2) % IMAGE_QUEUE].hash);
	return error;
}

int image_share_end(struct image_builder *builder, struct image_queue *queue)
{
	int error = 0;

	while (!error && queue->first != queue->last)
		error = take_out(builder, queue);
	return error;
}

/*
 * Puts a key into one of its two cells, and whoever was there into its other one, and so on. The
 * walk is over when it is longer than any that ends is likely to be. Returns false then.
 */
static bool settle(struct policy_cell *table, uint32_t cells, struct policy_cell cell)
{
	uint32_t at = policy_hash_cell(cell.key, 0, cells), first;
	struct policy_cell evicted;
	int steps;

	for (steps = 0; steps < SETTLE_STEPS; steps++) {
		evicted = table[at];
		table[at] = cell;
		if (!evicted.key)
			return true;
		cell = evicted;
		first = policy_hash_cell(cell.key, 0, cells);
		at = at == first ? policy_hash_cell(cell.key, 1, cells) : first;
	}
	return false;
}

static bool settle_all(struct policy_cell *table, uint32_t cells, const struct policy_cell *cell,
		       size_t count)
{
	size_t i;

	memset(table, 0, cells * sizeof(*table));
	for (i = 0; i < count; i++)
		if (!settle(table, cells, cell[i]))
			return false;
	return true;
}

int image_hash(struct image_builder *builder, const struct policy_cell *cell, size_t count,
	       struct policy_hash *hash)
{
	struct policy_cell *table = NULL;
	uint32_t cells = CELLS;
	int error = -E2BIG;

	*hash = (struct policy_hash){ 0 };
	if (!count)
		return 0;
	/* Two cells for each key are on the verge of failing; with three it hardly ever does. */
	while (cells < count * 3 && cells < HASH_CELLS_MAX)
		cells *= 2;
	for (; cells <= HASH_CELLS_MAX; cells *= 2) {
		free(table);
		table = malloc(cells * sizeof(*table));
		if (!table)
			return -ENOMEM;
		if (!settle_all(table, cells, cell, count))
			continue;
		error = image_append(builder, cells / CELLS, &hash->first);
		if (error)
			break;
		memcpy(builder->line[hash->first], table, cells * sizeof(*table));
		hash->cells = cells;
		break;
	}
	free(table);
	return error;
}

void image_release(struct image_builder *builder)
{
	free(builder->line);
	free(builder->shared.slot);
	free(builder->skips.slot);
	*builder = (struct image_builder){ 0 };
}
