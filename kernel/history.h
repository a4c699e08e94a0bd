/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Earlier hops, of connections and of flows of datagrams alike: how they are read, copied, made of
 * records that a service gives, and made for one that gives none.
 */
#ifndef WAYBILL_KERNEL_HISTORY_H
#define WAYBILL_KERNEL_HISTORY_H

#include "events.h"

/* A hop; NULL if there are not so many. */
static __always_inline const struct records_hop *history_hop(const struct history *history,
							     __u32 number)
{
	const void *found = 0;
	__u32 offset;

	if (number >= history->hop_count || number >= WAYBILL_HOPS_MAX)
		return 0;
	offset = history->hop[number];
	/* The verifier wants the offset to be added once it is known to be good, */
	if (offset <= HISTORY_PARTS_MAX - RECORDS_HOP_SIZE) {
		barrier_var(offset);
		found = (const __u8 *)history->parts + offset;
	}
	/* and the pointer to be asked whether there is one, not the offset once more. */
	barrier_var(found);
	return found;
}

static __always_inline void history_clear(struct history *history)
{
	history->length = 0;
	history->hop_count = 0;
	history->originator = 0;
}

/* What it says of the originator; NULL: nothing. */
static __always_inline const struct records_originator *
history_originator(const struct history *history)
{
	__u32 offset = history->originator - 8;
	const void *found = 0;

	/* As above. */
	if (offset <= HISTORY_PARTS_MAX - RECORDS_ORIGINATOR_SIZE) {
		barrier_var(offset);
		found = (const __u8 *)history->parts + offset;
	}
	barrier_var(found);
	return found;
}

/* In whose share what carries it on is; that of the originator's user, if it does not say. */
static __always_inline __u32 history_account(const struct history *history, __u32 uid)
{
	const struct records_originator *originator = history_originator(history);

	return originator ? originator->account : uid;
}

/* The service of a hop, by its id. */
static __always_inline __u32 history_service(const struct history *history, __u32 number)
{
	const struct records_hop *hop = history_hop(history, number);

	return hop ? hop->service : 0;
}

/* The slots of the services that are in it. */
static __always_inline __u64 history_seen(const void *image, const struct policy_header *header,
					  const struct history *history)
{
	const struct records_hop *hop;
	__u64 seen = 0;
	__u32 i;

	LOOP
	for (i = 0; i < WAYBILL_HOPS_MAX; i++) {
		hop = history_hop(history, i);
		if (!hop)
			break;
		seen |= services_of_hop(image, header, hop->service, history->presumed >> i & 1);
	}
	return seen;
}

/*
 * The hop that a redirection adds, or that a service which has set no records must have been: then
 * with its id, and no filter.
 */
static __always_inline void hop_fill(struct records_hop *hop, const struct question *question,
				     const struct decision *decision, __u64 flow)
{
	hop->type = RECORDS_PART_HOP;
	hop->length = RECORDS_HOP_SIZE;
	hop->service = decision->service;
	hop->filter = decision->filter;
	hop->context = decision->context;
	hop->time = bpf_ktime_get_boot_ns();
	hop->flow = flow;
	hop->destination = question->to.destination;
	process_current(&hop->client);
	hop->client.application = decision->application;
	hop->cgroup_scope = question->scope;
	hop->netns = question->netns;
}

/*
 * A service that has set no records gets some, which say what its identity says: a presumed hop.
 * Else a service below it, that carries records on, would bring the connection back to it.
 */
static __always_inline void history_presume(struct history *history,
					    const struct question *question,
					    const struct decision *decision,
					    const struct records_originator *originator)
{
	struct records_originator *start = (void *)history->parts;
	struct records_hop *hop = (void *)(start + 1);

	*start = *originator;
	hop_fill(hop, question, decision, 0);
	hop->service = decision->presumed;
	hop->filter = 0;
	hop->context = 0;
	history->hop[0] = RECORDS_ORIGINATOR_SIZE;
	history->hop_count = 1;
	history->presumed = 1;
	history->used = 0;
	history->originator = 8;
	history->length = RECORDS_ORIGINATOR_SIZE + RECORDS_HOP_SIZE;
}

#endif
