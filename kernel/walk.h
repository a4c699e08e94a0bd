/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Arbitration: which service sees a connection next. The filters that match are walked in order of
 * precedence; services that the records name, or that identity says have seen it, are passed by;
 * and a service that is to see it must have a live listener of its own. platform/explain.c walks
 * the same way for people: change both.
 */
#ifndef WAYBILL_KERNEL_WALK_H
#define WAYBILL_KERNEL_WALK_H

#include "events.h"
#include "identity.h"
#include "remote.h"

/*
 * The walk along the filters that match, in order of precedence. The verifier keeps track of eight
 * bytes at a time, so what is known together stands together: another order makes it look at four
 * times as many states.
 */
struct walk {
	struct bpf_sock_addr *ctx;
	const void *image;
	const struct policy_header *header;
	__u32 original, application; /* numbers, of the originator's and of the one that connects */
	struct policy_match match;   /* port NULL: the destination was not asked for yet */
	__u64 seen;                  /* slots of services that are not to see it again */
	__u32 next;                  /* the filter to go on with */
	__u32 decision;              /* of the walk: enum decision */
	__u32 filter;                /* that decided */
	__u32 presumed; /* service that must have seen it, although it set no records; or 0 */
	struct event_subject *to; /* the connection that is asked for */
	__u32 uid, gid;           /* of the originator */
	__u16 onward;             /* there are hops before: seen and the like are known */
	__u16 length;             /* of their parts */
};

__attribute__((noinline)) int service_count(__u32 service, __u32 decision)
{
	struct service_counters *counters = bpf_map_lookup_elem(&service_counters, &service);

	if (!counters)
		return 0;
	if (decision == DECISION_REDIRECT)
		__sync_fetch_and_add(&counters->redirected, 1);
	else if (decision == DECISION_DOWN_PASS)
		__sync_fetch_and_add(&counters->down_passed, 1);
	else if (decision == DECISION_DOWN_BLOCK)
		__sync_fetch_and_add(&counters->down_blocked, 1);
	else if (decision == DECISION_NO_RECORDS)
		__sync_fetch_and_add(&counters->no_records, 1);
	return 1;
}

/*
 * The endpoint of a service for connections of a family. Returns 0 if it has none. Datagrams go
 * to the address of their flow: any of these is as good as another to find who listens there.
 */
static __always_inline int service_endpoint(const struct policy_service *service, __u16 family,
					    int udp, struct waybill_address *endpoint)
{
	if (udp) {
		flow_address(1, family, endpoint);
		endpoint->port = service->udp_port;
		return service->udp_port != 0;
	}
	endpoint->family = family;
	endpoint->port = service->tcp_port;
	endpoint->scope_id = 0;
	if (family == AF_INET)
		address_map(endpoint->address, *(const __u32 *)service->address4);
	else
		__builtin_memcpy(endpoint->address, service->address6, 16);
	return service->tcp_port && (family == AF_INET ? service->has4 : service->has6);
}

/*
 * A socket bound to another device does not reach loopback: it would hang, not fail. Nor do IPv6
 * datagrams where the flows' prefix is not local: they would leave the host.
 */
static __always_inline int reaches_loopback(struct bpf_sock_addr *ctx, __u16 family)
{
	struct bpf_sock *sk = ctx->sk;
	struct control *settings;

	if (!sk || (sk->bound_dev_if && sk->bound_dev_if != LOOPBACK_IFINDEX))
		return 0;
	if (ctx->protocol != IPPROTO_UDP || family == AF_INET)
		return 1;
	settings = control_get();
	return settings && settings->datagrams6 == bpf_get_netns_cookie(ctx);
}

static __always_inline int service_listens(struct walk *walk, const struct policy_service *service,
					   __u32 slot)
{
	__u16 family = walk->to->destination.family;
	struct waybill_address endpoint;

	if (!reaches_loopback(walk->ctx, family))
		return 0;
	return service_endpoint(service, family, walk->ctx->protocol == IPPROTO_UDP, &endpoint) &&
	       services_of_listener(walk->ctx, walk->image, walk->header, &endpoint) >>
			       (slot & 63) &
		       1;
}

/* One service: the first filter of it that matches decides. Returns 1 when the walk is over. */
static long walk_service(__u32 unused, struct walk *walk)
{
	__u32 number = policy_next(walk->header, &walk->match, walk->next);
	const struct policy_service *service;
	const struct policy_filter *filter;
	__u32 decision;

	filter = policy_filter(walk->image, walk->header, number);
	if (!filter)
		return 1;
	service = policy_service(walk->image, walk->header, filter->slot);
	if (!service)
		return 1;
	walk->next = service->first_filter + service->filters;
	if (walk->seen >> (filter->slot & 63) & 1) {
		event_report(DECISION_SEEN, 0, service->id, filter->id, walk->to);
		return 0;
	}
	switch (filter->action) {
	case POLICY_PERMIT:
		count(COUNT_PERMITTED);
		event_report(DECISION_PERMIT, 0, service->id, filter->id, walk->to);
		return 0;
	case POLICY_REDIRECT:
		if (service_listens(walk, service, filter->slot)) {
			decision = DECISION_REDIRECT;
		} else if (service->when_down == POLICY_DOWN_PASS) {
			count(COUNT_DOWN_PASSED);
			service_count(service->id, DECISION_DOWN_PASS);
			event_report(DECISION_DOWN_PASS, 0, service->id, filter->id, walk->to);
			return 0;
		} else {
			decision = DECISION_DOWN_BLOCK;
		}
		break;
	default:
		decision = DECISION_BLOCK;
	}
	walk->decision = decision;
	walk->filter = number;
	return 1;
}

/*
 * A service that has set no records: it, and every service before it in the order of weights,
 * counts as having seen the connection. Of services that share an identity, the last one counts.
 */
static __always_inline __u64 services_up_to(__u64 services)
{
	services |= services >> 1;
	services |= services >> 2;
	services |= services >> 4;
	services |= services >> 8;
	services |= services >> 16;
	services |= services >> 32;
	return services;
}

/* The services that the hops before name. */
struct hops_walk {
	const void *image;
	const struct policy_header *header;
	const __u32 *services;
	__u32 hop_count, presumed;
	__u64 seen;
};

static long hops_walk_one(__u32 i, struct hops_walk *walk)
{
	const struct policy_cell *cell;

	if (i >= WAYBILL_HOPS_MAX || i >= walk->hop_count)
		return 1;
	cell = policy_hash_find(walk->image, &walk->header->ids, walk->services[i]);
	if (!cell)
		return 0;
	if (walk->presumed >> i & 1)
		walk->seen |= services_up_to(1ULL << (cell->value & 63));
	else
		walk->seen |= 1ULL << (cell->value & 63);
	return 0;
}

/*
 * The connection comes from a service with records: whom they name, and where it began. Not
 * inlined, for the sake of the stack.
 */
static __attribute__((noinline)) int walk_onward(struct walk *walk, struct place *place,
						 const struct history *history)
{
	struct hops_walk hops = {};

	if (!walk || !place || !history || !walk->header || !walk->to)
		return 0;
	hops.image = walk->image;
	hops.header = walk->header;
	hops.services = history->summary.services;
	hops.hop_count = history->summary.hop_count;
	hops.presumed = history->summary.presumed;
	bpf_loop(WAYBILL_HOPS_MAX, hops_walk_one, &hops, 0);
	walk->seen = hops.seen;
	walk->to->hop_count = history->summary.hop_count;
	walk->length = history->length;
	walk->uid = history->originator.uid;
	walk->gid = history->originator.gid;
	walk->original = history->originator.application;
	walk->onward = 1;
	place_of_originator(walk->image, walk->header, history->originator.cgroup,
			    history->originator_scope, place);
	return 1;
}

/* The number of the application of a flow's originator. */
static __always_inline __u32 flow_history_original(const struct flow_history *history)
{
	const struct records_hop *hop;
	__u32 offset = history->first_hop;

	if (offset > sizeof(history->parts) - sizeof(*hop))
		return 0;
	hop = (const void *)((const __u8 *)history->parts + offset);
	return hop->client.application;
}

/* The same for a flow of datagrams. */
static __attribute__((noinline)) int walk_onward_flow(struct walk *walk, struct place *place,
						      const struct flow_history *history)
{
	struct hops_walk hops = {};

	if (!walk || !place || !history || !walk->header || !walk->to)
		return 0;
	hops.image = walk->image;
	hops.header = walk->header;
	hops.services = history->services;
	hops.hop_count = history->hop_count;
	hops.presumed = history->presumed;
	bpf_loop(WAYBILL_HOPS_MAX, hops_walk_one, &hops, 0);
	walk->seen = hops.seen;
	walk->to->hop_count = history->hop_count;
	walk->length = history->length;
	walk->uid = history->uid;
	walk->gid = history->gid;
	walk->original = flow_history_original(history);
	walk->onward = 1;
	place_of_originator(walk->image, walk->header, history->cgroup, history->scope, place);
	return 1;
}

/*
 * Whether the destination is where a service itself listens. Only on loopback: a listener on every
 * address is found for any destination, be it another host's.
 */
static __always_inline int is_endpoint(struct bpf_sock_addr *ctx, const void *image,
				       const struct policy_header *header,
				       const struct waybill_address *remote)
{
	int udp = ctx->protocol == IPPROTO_UDP;
	const struct policy_cell *cell;

	cell = policy_hash_find(image, &header->endpoints,
				policy_endpoint_key(udp, bpf_ntohs(remote->port)));
	if (!cell || !(address_is_loopback((const __u32 *)remote->address) ||
		       (udp && flow_of_address(remote))))
		return 0;
	return services_of_listener(ctx, image, header, remote) >> (cell->value & 63) & 1;
}

#endif
