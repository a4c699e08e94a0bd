/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log line of one connection, as JSON. jansson refuses strings that are not UTF-8, and a
 * process may be called anything: such bytes are written as \xNN.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <waybill/waybill.h>

#include "relay.h"

static json_t *entry_id(uint32_t id)
{
	char text[9];

	snprintf(text, sizeof(text), "%08" PRIx32, id);
	return json_string(text);
}

static json_t *entry_time(const struct timespec *time)
{
	char seconds[32], text[48];
	struct tm tm;

	gmtime_r(&time->tv_sec, &tm);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03ldZ", seconds, time->tv_nsec / 1000000);
	return json_string(text);
}

static json_t *entry_text(const char *text, size_t size)
{
	char escaped[4 * 64 + 1], *out = escaped;
	size_t length = strnlen(text, size), i;
	json_t *string = json_stringn(text, length);

	if (string || length > 64)
		return string;
	for (i = 0; i < length; i++)
		out += sprintf(out, (unsigned char)text[i] < 0x80 ? "%c" : "\\x%02x",
			       (unsigned char)text[i]);
	return json_stringn(escaped, out - escaped);
}

static json_t *entry_address(const struct address *address)
{
	char text[ADDRESS_TEXT_SIZE];

	return address->length ? json_string(address_format(address, text)) : NULL;
}

static json_t *entry_process(const struct waybill_process *process)
{
	return json_pack("{s:I, s:I, s:I, s:o, s:I}", "pid", (json_int_t)process->pid, "uid",
			 (json_int_t)process->uid, "gid", (json_int_t)process->gid, "comm",
			 entry_text(process->comm, sizeof(process->comm)), "cgroup",
			 (json_int_t)process->cgroup);
}

/* As text if it can be read, else in hexadecimal, under a name that says so. */
static void entry_context(json_t *entry, const struct origin *origin)
{
	const unsigned char *bytes = origin->context;
	char hex[2 * WAYBILL_CONTEXT_MAX + 1];
	size_t i;

	for (i = 0; i < origin->context_size; i++)
		if (bytes[i] < ' ' || bytes[i] > '~')
			break;
	if (i == origin->context_size) {
		json_object_set_new(entry, "context", json_stringn((const char *)bytes, i));
		return;
	}
	for (i = 0; i < origin->context_size; i++)
		sprintf(hex + 2 * i, "%02x", bytes[i]);
	json_object_set_new(entry, "context_hex", json_stringn(hex, 2 * i));
}

static json_t *entry_chain(const struct origin *origin)
{
	struct waybill_records records;
	struct address destination;
	json_t *chain, *hop;
	uint32_t i;

	if (waybill_records_decode(origin->records, origin->records_size, &records))
		return NULL;
	chain = json_array();
	for (i = 0; i < records.hop_count; i++) {
		if (waybill_address_to_sockaddr(&records.hops[i].destination, &destination.storage,
						&destination.length))
			destination.length = 0;
		hop = json_pack("{s:o, s:o, s:o*}", "service", entry_id(records.hops[i].service),
				"filter", entry_id(records.hops[i].filter), "destination",
				entry_address(&destination));
		json_array_append_new(chain, hop);
	}
	return chain;
}

static void entry_origin(json_t *entry, const struct origin *origin)
{
	const struct waybill_info *info = &origin->info;
	char flow[17];

	snprintf(flow, sizeof(flow), "%016" PRIx64, (uint64_t)info->flow);
	json_object_set_new(entry, "flow", json_string(flow));
	json_object_set_new(entry, "originator", entry_process(&info->originator));
	if (memcmp(&info->originator, &info->client, sizeof(info->client)))
		json_object_set_new(entry, "client", entry_process(&info->client));
	json_object_set_new(entry, "original_destination", entry_address(&origin->destination));
	json_object_set_new(entry, "chain", entry_chain(origin));
	if (origin->context)
		entry_context(entry, origin);
}

static json_t *entry_begin(const struct relay *relay, const struct timespec *accepted,
			   const char *protocol, const struct address *peer)
{
	json_t *entry = json_object();

	json_object_set_new(entry, "time", entry_time(accepted));
	if (relay->options->service)
		json_object_set_new(entry, "service", json_string(relay->options->service));
	json_object_set_new(entry, "protocol", json_string(protocol));
	json_object_set_new(entry, "peer", entry_address(peer));
	return entry;
}

/* A value that memory did not suffice for is missing from the line; the line is not. */
static void entry_end(struct relay *relay, json_t *entry, int64_t started, const char *reason)
{
	char *line;

	json_object_set_new(entry, "duration_ms", json_integer(relay->now - started));
	json_object_set_new(entry, "end", json_string(reason));
	line = json_dumps(entry, JSON_COMPACT | JSON_PRESERVE_ORDER);
	if (line)
		log_write(&relay->log, line, strlen(line));
	else
		relay->log.lost++;
	free(line);
	json_decref(entry);
}

void log_connection(struct relay *relay, struct connection *connection, const char *reason)
{
	json_t *entry = entry_begin(relay, &connection->accepted, "tcp", &connection->peer);
	const struct sniff *sniff = &connection->sniff;

	if (connection->origin.records)
		entry_origin(entry, &connection->origin);
	else if (connection->destination.length)
		json_object_set_new(entry, "destination", entry_address(&connection->destination));
	if (sniff->state == SNIFF_TLS_SERVER_NAME)
		json_object_set_new(entry, "tls_server_name", json_string(sniff->name));
	if (sniff->state == SNIFF_HTTP_HOST)
		json_object_set_new(entry, "http_host", json_string(sniff->name));
	json_object_set_new(entry, "bytes_up", json_integer(connection->up.bytes));
	json_object_set_new(entry, "bytes_down", json_integer(connection->down.bytes));
	entry_end(relay, entry, connection->started, reason);
}

void log_flow(struct relay *relay, const struct datagram_flow *flow, const char *reason)
{
	json_t *entry = entry_begin(relay, &flow->accepted, "udp", &flow->peer);

	entry_origin(entry, &flow->origin);
	json_object_set_new(entry, "datagrams_up", json_integer(flow->up.datagrams));
	json_object_set_new(entry, "datagrams_down", json_integer(flow->down.datagrams));
	json_object_set_new(entry, "bytes_up", json_integer(flow->up.bytes));
	json_object_set_new(entry, "bytes_down", json_integer(flow->down.bytes));
	entry_end(relay, entry, flow->started, reason);
}
