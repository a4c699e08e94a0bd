// SPDX-License-Identifier: BSD-2-Clause
/*
 * How full the tables are that can fill up, and how near the busiest user is to his share of them.
 * Read in batches of whole buckets, so that what comes and goes meanwhile begins nothing anew.
 */
#include "instance.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>

#define BATCH 512 /* entries read at once: of flow histories that is a megabyte */

static const struct {
	const char *name, *meaning;
	enum instance_map map;
} tables[TABLES] = {
	{ "contexts", "contexts of filters, in force or still referred to", MAP_CONTEXTS },
	{ "connections", "redirected connections", MAP_CONNECTIONS },
	{ "connection_histories", "those of them that have earlier hops",
	  MAP_CONNECTION_HISTORIES },
	{ "connection_index", "those of them whose client had bound its port",
	  MAP_CONNECTION_INDEX },
	{ "flows", "flows of datagrams", MAP_FLOWS },
	{ "flow_index", "destinations of sockets that have flows", MAP_FLOW_INDEX },
	{ "flow_histories", "flows of datagrams that have earlier hops", MAP_FLOW_HISTORIES },
	{ "flow_answers", "flows made for their services, to be asked for", MAP_FLOW_ANSWERS },
	{ "homes", "network namespaces in which a service has bound its port", MAP_HOMES },
	{ "service_counters", "services that are counted", MAP_SERVICE_COUNTERS },
};

static const struct {
	const char *name;
	enum instance_map map;
	uint64_t size; /* 0: half of all connections, since a user leaves as many to others */
} shares[SHARES] = {
	{ "connections", MAP_SHARES, 0 },
	{ "flows", MAP_FLOW_SHARES, FLOW_SHARE },
};

/* Calls each with every batch of values. -ENOENT of the kernel is its word for the end. */
static int batches_each(int map, const struct bpf_map_info *info, size_t value_size,
			void (*each)(void *data, const void *values, uint32_t count), void *data)
{
	/* A place in a hash is a number of 32 bits, in an array a key; both fit. */
	uint64_t place = 0, next = 0;
	uint8_t *keys = malloc((size_t)BATCH * info->key_size);
	uint8_t *values = malloc(BATCH * value_size);
	uint32_t count;
	int error = keys && values ? 0 : -ENOMEM;

	/* Every batch but the last moves on by a bucket at least. */
	for (uint32_t turn = 0; !error && turn <= info->max_entries * 2; turn++) {
		count = BATCH;
		error = bpf_map_lookup_batch(map, turn ? &place : NULL, &next, keys, values, &count,
					     NULL);
		if (!error || error == -ENOENT)
			each(data, values, count);
		place = next;
	}
	free(keys);
	free(values);
	return error == -ENOENT ? 0 : error;
}

static void add_count(void *data, const void *values, uint32_t count)
{
	*(uint64_t *)data += count;
}

static void find_largest(void *data, const void *values, uint32_t count)
{
	const uint32_t *value = values;
	uint64_t *largest = data;

	for (uint32_t i = 0; i < count; i++)
		if (value[i] > *largest)
			*largest = value[i];
}

static int fill(int map, struct table_fill *table,
		void (*each)(void *data, const void *values, uint32_t count))
{
	struct bpf_map_info info = {};
	unsigned int size = sizeof(info);
	size_t value_size;

	if (bpf_obj_get_info_by_fd(map, &info, &size))
		return -errno;
	value_size = info.value_size;
	/* Of each CPU one, in steps of eight bytes. */
	if (info.type == BPF_MAP_TYPE_PERCPU_HASH)
		value_size = (value_size + 7) / 8 * 8 * libbpf_num_possible_cpus();
	table->used = 0;
	if (!table->size)
		table->size = info.max_entries;
	return batches_each(map, &info, value_size, each, &table->used);
}

int instance_tables(struct instance *instance, struct table_fill table[TABLES],
		    struct message *message)
{
	int error = 0;

	for (size_t i = 0; !error && i < TABLES; i++) {
		table[i] = (struct table_fill){ tables[i].name, tables[i].meaning, 0, 0 };
		error = fill(instance->map[tables[i].map], &table[i], add_count);
		if (error)
			fail(message, error, "map %s: %s", tables[i].name, strerror(-error));
	}
	return error;
}

int instance_shares(struct instance *instance, struct table_fill share[SHARES],
		    struct message *message)
{
	int error = 0;

	for (size_t i = 0; !error && i < SHARES; i++) {
		share[i] = (struct table_fill){ shares[i].name, "the fullest share of a user", 0,
						shares[i].size };
		if (!share[i].size)
			share[i].size = instance->control.connections / 2;
		error = fill(instance->map[shares[i].map], &share[i], find_largest);
		if (error)
			fail(message, error, "map of the shares of %s: %s", shares[i].name,
			     strerror(-error));
	}
	return error;
}
