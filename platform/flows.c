// SPDX-License-Identifier: BSD-2-Clause
/*
 * Live flows, from the kernel's own sockets: an iterator over the TCP sockets of each network
 * namespace gives the record of each accepted one with its history, so what is shown is what is,
 * and not a log of it. Flows of datagrams, which have no accepted sockets, are in a table.
 */
#include "instance.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "waybill.skel.h"

/* A link, from which an iterator can be made in each namespace. */
static int link_open(struct instance *instance, struct message *message)
{
	char path[PATH_MAX];
	int program, link;

	if (instance->programs) {
		program = fcntl(bpf_program__fd(instance->programs->progs.waybill_flows),
				F_DUPFD_CLOEXEC, 3);
	} else {
		snprintf(path, sizeof(path), "%s/programs/flows", instance->directory);
		program = bpf_obj_get(path);
	}
	if (program < 0)
		return fail(message, -errno, "the flows program: %s (waybill up)", strerror(errno));
	link = bpf_link_create(program, 0, BPF_TRACE_ITER, NULL);
	close(program);
	if (link < 0)
		return fail(message, link, "cannot read the flows: %s", strerror(-link));
	return link;
}

int iterator_read(int iterator, uint8_t **bytes, size_t *size, struct message *message)
{
	size_t room = 0;
	ssize_t count;

	*bytes = NULL;
	*size = 0;
	do {
		if (room - *size < 65536) {
			uint8_t *more = realloc(*bytes, room ? room * 2 : 262144);

			if (!more)
				return fail(message, -ENOMEM, "out of memory");
			*bytes = more;
			room = room ? room * 2 : 262144;
		}
		count = read(iterator, *bytes + *size, room - *size);
		if (count < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (count < 0)
			return fail(message, -errno, "cannot read the flows: %s", strerror(errno));
		*size += count;
	} while (count);
	return 0;
}

/* The hops in the parts of a history, and then the last one. */
static void flow_fill(struct flow *flow, const struct flow_entry *entry)
{
	const uint8_t *parts = (const uint8_t *)(entry + 1);
	struct records_reading reading = {};

	*flow = (struct flow){ .entry = entry };
	for (uint32_t offset = 0; offset + 8 <= entry->history_length; offset += 8) {
		uint64_t word;

		memcpy(&word, parts + offset, sizeof(word));
		if (records_read_word(&reading, offset, word) == RECORDS_HOP &&
		    flow->hops < WAYBILL_HOPS_MAX - 1 &&
		    offset + RECORDS_HOP_SIZE <= entry->history_length)
			flow->hop[flow->hops++] = (const void *)(parts + offset);
	}
	flow->hop[flow->hops++] = &entry->hop;
}

/* A flow of datagrams, as an accepted socket would be shown. */
struct datagram_entry {
	struct flow_entry entry;
	uint8_t parts[sizeof(((struct history *)0)->parts)];
};

static void datagram_fill(struct instance *instance, uint32_t number,
			  const struct datagram_flow *from, struct datagram_entry *to)
{
	static const uint8_t prefix[8] = WAYBILL_FLOW_PREFIX6;
	struct waybill_address *server = &to->entry.server;
	struct history history;

	memset(to, 0, sizeof(*to));
	to->entry.hop = from->hop;
	to->entry.issued = from->issued;
	to->entry.hop_count = from->hop_count;
	to->entry.context_size = from->context_size;
	to->entry.protocol = IPPROTO_UDP;
	to->entry.used = from->used;
	server->family = from->hop.destination.family;
	server->port = from->port;
	if (server->family == AF_INET) {
		server->address[10] = server->address[11] = 0xff;
		number |= WAYBILL_FLOW_ADDRESS4;
	} else {
		memcpy(server->address, prefix, sizeof(prefix));
	}
	for (int i = 0; i < 4; i++)
		server->address[12 + i] = number >> (24 - 8 * i);
	number &= WAYBILL_FLOW_MASK;
	if (from->history &&
	    !bpf_map_lookup_elem(instance->map[MAP_FLOW_HISTORIES], &number, &history) &&
	    history.length <= sizeof(history.parts)) {
		to->entry.history_length = history.length;
		memcpy(to->parts, history.parts, history.length);
	}
}

/* How long a flow may be idle, as the policy in force says. */
static uint64_t datagram_idle(struct instance *instance)
{
	struct policy_image image;
	uint64_t idle = FLOW_IDLE_DEFAULT;

	if (!instance_policy(instance, &image, NULL)) {
		idle = ((const struct policy_header *)image.line)->flow_idle * 1000000ULL;
		free(image.line);
	}
	return idle;
}

static int datagrams_each(struct instance *instance,
			  int (*each)(void *data, const struct flow *flow), void *data)
{
	int map = instance->map[MAP_FLOWS], error = 0;
	uint64_t idle = datagram_idle(instance), now = boot_time();
	uint32_t number, *before = NULL, previous;
	struct datagram_entry entry;
	struct datagram_flow value;
	struct flow flow;

	/* At most once round: what is deleted meanwhile begins it anew. */
	for (size_t turn = 0; !error && turn < 2 * FLOWS_MAX; turn++) {
		if (bpf_map_get_next_key(map, before, &number))
			break;
		previous = number;
		before = &previous;
		if (bpf_map_lookup_elem(map, &number, &value) || value.state != FLOW_REDIRECTED)
			continue;
		if (!value.connected && now > value.used && now - value.used > idle)
			continue;
		datagram_fill(instance, number, &value, &entry);
		flow_fill(&flow, &entry.entry);
		error = each(data, &flow);
	}
	return error;
}

struct reading {
	int link;
	int (*each)(void *data, const struct flow *flow);
	void *data;
};

/* The flows of the namespace that the calling thread is in. */
static int connections_each(void *data, struct message *message)
{
	const struct reading *reading = data;
	int iterator, error;
	uint8_t *bytes;
	size_t size;

	iterator = bpf_iter_create(reading->link);
	if (iterator < 0)
		return fail(message, iterator, "cannot read the flows: %s", strerror(-iterator));
	error = iterator_read(iterator, &bytes, &size, message);
	close(iterator);
	for (size_t at = 0; !error && at + sizeof(struct flow_entry) <= size;) {
		const struct flow_entry *entry = (const void *)(bytes + at);
		struct flow flow;

		at += sizeof(*entry) + entry->history_length;
		if (at > size)
			break;
		flow_fill(&flow, entry);
		error = reading->each(reading->data, &flow);
	}
	free(bytes);
	return error;
}

int instance_flows(struct instance *instance, int (*each)(void *data, const struct flow *flow),
		   void *data, struct message *message)
{
	struct reading reading = { .each = each, .data = data };
	int error;

	reading.link = link_open(instance, message);
	if (reading.link < 0)
		return reading.link;
	error = netns_each(connections_each, &reading, message);
	close(reading.link);
	return error ? error : datagrams_each(instance, each, data);
}
