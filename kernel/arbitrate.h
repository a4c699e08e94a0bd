/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The decision on one connection, or one flow of datagrams: it asks the policy, skips the services
 * that the records before it name, and finds the first service left whose filter says so and whose
 * listener is alive. What to do about it is the affair of the hook. platform/explain.c foretells it:
 * change both.
 */
#ifndef WAYBILL_KERNEL_ARBITRATE_H
#define WAYBILL_KERNEL_ARBITRATE_H

#include "application.h"
#include "walk.h"

enum arbitration { ARBITRATE_ALLOW, ARBITRATE_REDIRECT, ARBITRATE_REFUSE };

/* Not with the plain refusal, EPERM: kernel clients such as NFS retry that without end. */
static __always_inline int refuse(int error, __u32 counter, __u32 decision,
				  const struct policy_service *service,
				  const struct policy_filter *filter,
				  const struct event_subject *subject)
{
	count(counter);
	event_report(decision, 0, service ? service->id : 0, filter ? filter->id : 0, subject);
	bpf_set_retval(-error);
	return REFUSE;
}

/*
 * Whether whoever connects is the service that records were issued to: a socket that bears them may
 * have been passed on, or inherited. Those of a service that has left the policy hold for nobody.
 */
static __attribute__((noinline)) int records_are_own(const void *image,
						     const struct policy_header *header,
						     const __u32 *services, __u32 hop_count)
{
	const struct policy_cell *cell;

	if (!header || !services || !hop_count || hop_count > WAYBILL_HOPS_MAX)
		return 0;
	cell = policy_hash_find(image, &header->ids, services[hop_count - 1]);
	if (cell && services_of_current(image, header, 0) >> (cell->value & 63) & 1)
		return 1;
	count(COUNT_RECORDS_FOREIGN);
	return 0;
}

/*
 * The records that a socket bears for its next connection. They are for one; what the connect hook
 * presumed is its own; and they are for their service alone.
 */
static __always_inline struct history *
history_unused(const void *image, const struct policy_header *header, struct history *history)
{
	if (!history || !history->length)
		return 0;
	if (history->used || history->presumed ||
	    !records_are_own(image, header, history->summary.services,
			     history->summary.hop_count)) {
		history->length = 0;
		history->summary.hop_count = 0;
		return 0;
	}
	return history;
}

/* The hop that this redirection adds. */
static __always_inline void hop_fill(struct bpf_sock_addr *ctx, struct records_hop *hop,
				     const struct waybill_address *destination,
				     const struct policy_service *service,
				     const struct policy_filter *filter, __u64 flow, __u64 scope,
				     __u32 application)
{
	hop->type = RECORDS_PART_HOP;
	hop->length = RECORDS_HOP_SIZE;
	hop->service = service->id;
	hop->filter = filter->id;
	hop->context = filter->context;
	hop->time = bpf_ktime_get_boot_ns();
	hop->flow = flow;
	hop->destination = *destination;
	hop->destination.scope_id = scope_of(ctx, destination);
	process_current(&hop->client);
	hop->client.application = application;
	hop->cgroup_scope = scope;
	hop->netns = bpf_get_netns_cookie(ctx);
}

/* The hop that a service which has set no records must have been. */
static __always_inline void hop_presume(struct bpf_sock_addr *ctx, struct records_hop *hop,
					__u32 service, const struct waybill_address *destination,
					__u64 scope, __u32 application)
{
	__builtin_memset(hop, 0, sizeof(*hop));
	hop->type = RECORDS_PART_HOP;
	hop->length = RECORDS_HOP_SIZE;
	hop->service = service;
	hop->time = bpf_ktime_get_boot_ns();
	hop->destination = *destination;
	process_current(&hop->client);
	hop->client.application = application;
	hop->cgroup_scope = scope;
	hop->netns = bpf_get_netns_cookie(ctx);
}

/*
 * Whether a filter can match this destination. Functions of their own for the sake of the stack, this
 * one and the next.
 */
static __attribute__((noinline)) int filters_match_destination(struct walk *walk, int udp)
{
	if (!walk || !walk->header || !walk->to)
		return 0;
	return policy_match_destination(walk->image, walk->header, &walk->to->destination, udp,
					&walk->match);
}

/* And this originator. */
static __attribute__((noinline)) int filters_match_originator(struct walk *walk,
							      const struct place *place)
{
	if (!walk || !place || !walk->header)
		return 0;
	return policy_match_originator(walk->image, walk->header, walk->uid, place->filters_line,
				       &walk->match) &&
	       policy_next(walk->header, &walk->match, 0) != POLICY_FILTERS_MAX;
}

/* And what few policies ask for. */
static __attribute__((noinline)) int filters_match_more(struct bpf_sock_addr *ctx, int v6,
							int connecting, struct walk *walk)
{
	struct policy_query_more query = {};
	const struct policy_more *more;
	struct waybill_address local;
	struct bpf_sock *sk = ctx->sk;

	if (!walk || !walk->header || !walk->to || !sk)
		return 0;
	local_read(ctx, v6, connecting, &local);
	local_for(&walk->to->destination, &local);
	query.local = &local;
	query.gid = walk->gid;
	query.interface = sk->bound_dev_if;
	more = policy_line(walk->image, walk->header->more);
	if (more && more->executables.first)
		executable_of_current(&query.executable);
	query.netns = bpf_get_netns_cookie(ctx);
	query.original = walk->original;
	query.onward = walk->onward;
	if (!policy_match_more(walk->image, walk->header, &query, &walk->match))
		return 0;
	walk->application = query.application;
	return policy_next(walk->header, &walk->match, 0) != POLICY_FILTERS_MAX;
}

/*
 * walk->image, ->header and ->to with its destination are the caller's; if there are hops before,
 * walk_onward() has told of them; walk->match.port is NULL, or filters_match_destination() said
 * yes. Fills in the rest.
 */
static __always_inline int arbitrate(struct bpf_sock_addr *ctx, int v6, int connecting,
				     struct walk *walk, struct place *place, int udp)
{
	const struct policy_service *service;
	const struct policy_filter *filter;
	__u64 services, ids;

	if (!walk->onward) {
		walk->to->hop_count = 0;
		walk->length = 0;
	}
	walk->presumed = 0;
	walk->filter = 0;
	walk->application = 0;
	/* What rules out most comes first. */
	if (!walk->match.port && !filters_match_destination(walk, udp)) {
		event_report(DECISION_NO_FILTER, 0, 0, 0, walk->to);
		return ARBITRATE_ALLOW;
	}
	if (!walk->onward) {
		ids = bpf_get_current_uid_gid();
		walk->uid = (__u32)ids;
		walk->gid = ids >> 32;
		walk->original = 0;
		place_of_current(walk->image, walk->header, place);
	}
	if (!filters_match_originator(walk, place) ||
	    (walk->header->more && !filters_match_more(ctx, v6, connecting, walk))) {
		event_report(DECISION_NO_FILTER, 0, 0, 0, walk->to);
		return ARBITRATE_ALLOW;
	}
	if (is_endpoint(ctx, walk->image, walk->header, &walk->to->destination)) {
		count(COUNT_TO_SERVICE);
		event_report(DECISION_TO_SERVICE, 0, 0, 0, walk->to);
		return ARBITRATE_ALLOW;
	}
	if (!walk->onward) {
		services = services_of(walk->image, walk->header, walk->uid, place, 0);
		walk->seen = services_up_to(services);
		if (services) {
			service = policy_service(walk->image, walk->header,
						 policy_lowest_bit((walk->seen >> 1) + 1));
			if (service) {
				walk->presumed = service->id;
				count(COUNT_NO_RECORDS);
				service_count(service->id, DECISION_NO_RECORDS);
				event_report(DECISION_NO_RECORDS, 0, service->id, 0, walk->to);
			}
		}
	}
	walk->ctx = ctx;
	walk->next = 0;
	walk->decision = 0;
	bpf_loop(POLICY_SERVICES_MAX + 1, walk_service, walk, 0);
	if (!walk->decision)
		return ARBITRATE_ALLOW;
	filter = policy_filter(walk->image, walk->header, walk->filter);
	service = filter ? policy_service(walk->image, walk->header, filter->slot) : 0;
	if (!service)
		return ARBITRATE_ALLOW;
	if (walk->decision == DECISION_BLOCK || walk->decision == DECISION_DOWN_BLOCK) {
		service_count(service->id, walk->decision);
		refuse(ECONNREFUSED,
		       walk->decision == DECISION_BLOCK ? COUNT_BLOCKED : COUNT_DOWN_BLOCKED,
		       walk->decision, service, filter, walk->to);
		return ARBITRATE_REFUSE;
	}
	if (walk->to->hop_count >= walk->header->hop_limit ||
	    walk->to->hop_count >= WAYBILL_HOPS_MAX ||
	    walk->length > RECORDS_PARTS_MAX - RECORDS_HOP_SIZE) {
		refuse(ELOOP, COUNT_HOP_LIMIT, DECISION_HOP_LIMIT, service, filter, walk->to);
		return ARBITRATE_REFUSE;
	}
	return ARBITRATE_REDIRECT;
}

#endif
