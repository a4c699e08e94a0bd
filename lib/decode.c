// SPDX-License-Identifier: BSD-2-Clause
/*
 * Records for people: takes a blob apart without trusting it. The walk is the one that the
 * kernel half does (record/records.h), so what decodes here is what it would accept, were the
 * MAC right.
 */
#include <string.h>
#include <waybill/waybill.h>

#include "verify.h"

static struct waybill_hop hop_decode(const void *part)
{
	struct records_hop hop;
	struct waybill_hop out;

	memcpy(&hop, part, sizeof(hop));
	out = (struct waybill_hop){
		.service = hop.service,
		.filter = hop.filter,
		.time = hop.time,
		.flow = hop.flow,
		.destination = hop.destination,
		.client = hop.client,
		.netns = hop.netns,
		.cgroup_scope = hop.cgroup_scope,
	};
	out.client.comm[sizeof(out.client.comm) - 1] = '\0';
	return out;
}

static void originator_decode(const void *part, struct waybill_records *out)
{
	struct records_originator originator;

	memcpy(&originator, part, sizeof(originator));
	out->has_originator = 1;
	out->mark = originator.mark;
	out->priority = originator.priority;
	out->dscp = originator.dscp;
}

/* Only for a blob that records_walk() has approved: lengths add up, hops are whole and few. */
static void parts_decode(const char *parts, size_t length, struct waybill_records *out)
{
	for (size_t offset = 0; offset < length;) {
		__u64 word = records_word(parts, offset);

		if ((word & 0xffff) == RECORDS_PART_HOP)
			out->hops[out->hop_count++] = hop_decode(parts + offset);
		else if ((word & 0xffff) == RECORDS_PART_ORIGINATOR)
			originator_decode(parts + offset, out);
		else
			out->other_parts++;
		offset += word >> 16 & 0xffff;
	}
}

int waybill_records_decode(const void *records, size_t size, struct waybill_records *out)
{
	struct records_hops hops;
	struct records_header header;
	int result;

	memset(out, 0, sizeof(*out));
	result = records_walk(records, size, &header, &hops);
	if (result)
		return result;
	out->version = header.version;
	out->key = header.key;
	out->service = header.service;
	out->issued = header.issued;
	out->flow = header.flow;
	parts_decode((const char *)records + RECORDS_HEADER_SIZE,
		     size - RECORDS_HEADER_SIZE - RECORDS_MAC_SIZE, out);
	return 0;
}
