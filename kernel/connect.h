/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The connect hook: who sees this connection next? It asks the policy, skips the services that
 * the socket's records name, and rewrites the address to the endpoint of the first service left
 * whose filter says so and whose listener is alive. One path for IPv4, IPv6 and v4-mapped.
 */
#ifndef WAYBILL_KERNEL_CONNECT_H
#define WAYBILL_KERNEL_CONNECT_H

#include "remote.h"
#include "walk.h"

static __always_inline int refuse(int error)
{
	/* Not the plain refusal, EPERM: kernel clients such as NFS retry that without end. */
	bpf_set_retval(-error);
	return REFUSE;
}

/*
 * A service that has set no records gets some, which say what its identity says: a presumed hop.
 * Else a service below it, that carries records on, would bring the connection back to it.
 */
static __always_inline struct history *history_presume(struct bpf_sock_addr *ctx,
						       struct bpf_sock *sk, __u32 service,
						       const struct waybill_address *destination,
						       __u64 scope)
{
	struct history *history = socket_storage(&histories, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	struct records_hop *hop;

	if (!history)
		return 0;
	hop = (void *)history->parts;
	__builtin_memset(hop, 0, sizeof(*hop));
	hop->type = RECORDS_PART_HOP;
	hop->length = RECORDS_HOP_SIZE;
	hop->service = service;
	hop->time = bpf_ktime_get_boot_ns();
	hop->destination = *destination;
	process_current(&hop->client);
	hop->cgroup_scope = scope;
	hop->netns = bpf_get_netns_cookie(ctx);
	__builtin_memset(&history->summary, 0, sizeof(history->summary));
	history->summary.hop_count = 1;
	history->summary.next_part = RECORDS_HOP_SIZE;
	history->summary.presumed = 1;
	history->summary.services[0] = service;
	history->originator = hop->client;
	history->originator_scope = scope;
	history->used = 0;
	history->presumed = 1;
	history->length = RECORDS_HOP_SIZE;
	return history;
}

/* Fills in what is handed to the service. The caller then rewrites the address to it. */
static __always_inline void connecting_fill(struct bpf_sock_addr *ctx, struct connecting *state,
					    const struct walk *walk,
					    const struct policy_service *service,
					    const struct policy_filter *filter, __u64 scope)
{
	struct records_hop *hop = &state->hop;
	__u32 zero = 0;
	__u64 *last = bpf_map_lookup_elem(&flow_ids, &zero);

	hop->type = RECORDS_PART_HOP;
	hop->length = RECORDS_HOP_SIZE;
	hop->service = service->id;
	hop->filter = filter->id;
	hop->context = filter->context;
	hop->time = bpf_ktime_get_boot_ns();
	hop->flow = last ? __sync_fetch_and_add(last, 1) + 1 : 0;
	hop->destination = walk->to.destination;
	hop->destination.scope_id = scope_of(ctx, &walk->to.destination);
	process_current(&hop->client);
	hop->cgroup_scope = scope;
	hop->netns = bpf_get_netns_cookie(ctx);
	state->hop_count = walk->to.hop_count + 1;
	state->context_size = filter->context_size;
	service_endpoint(service, walk->to.destination.family, &state->target);
}

/*
 * A source route or a routing header takes packets elsewhere, whatever their destination: what is
 * redirected would leave the host instead of reaching the service.
 */
static __always_inline int has_source_route(struct bpf_sock *sk)
{
	struct inet_sock *inet = (struct inet_sock *)bpf_skc_to_tcp_sock(sk);
	struct ip_options_rcu *v4;
	struct ipv6_txoptions *v6;
	struct ipv6_pinfo *pinet6;

	if (!inet)
		return 0;
	v4 = inet->inet_opt;
	if (v4 && v4->opt.srr)
		return 1;
	pinet6 = inet->pinet6;
	if (!pinet6)
		return 0;
	v6 = pinet6->opt;
	return v6 && v6->srcrt;
}

static __always_inline int is_subflow_of_established(struct bpf_sock *sk)
{
	struct mptcp_sock *parent = bpf_skc_to_mptcp_sock(sk);

	return parent && ((struct sock *)parent)->__sk_common.skc_state == BPF_TCP_ESTABLISHED;
}

static __always_inline int connect_redirect(struct bpf_sock_addr *ctx, int v6)
{
	const struct policy_filter *filter;
	const struct policy_service *service;
	struct connecting *state;
	struct history *history;
	struct policy_query query;
	struct place place;
	struct walk walk;
	struct bpf_sock *sk = ctx->sk;
	__u64 services = 0;
	__u32 *share, uid, presumed = 0;

	if (ctx->protocol != IPPROTO_TCP || !sk)
		return ALLOW;
	walk.image = policy_in_force();
	if (!walk.image)
		return ALLOW;
	walk.header = policy_line(walk.image, 0);
	if (!walk.header)
		return ALLOW;
	/* The kernel adds subflows to MPTCP connections that have been decided on. */
	if (is_subflow_of_established(sk))
		return ALLOW;
	remote_read(ctx, v6, &walk.to.destination);
	remote_resolve(sk, &walk.to.destination);
	state = socket_storage(&connects, sk, 0, 0);
	/* What an earlier connect of this socket left says nothing of this one. */
	if (state)
		state->target.family = 0;
	/* A socket that was accepted, disconnected, and is a client now: its records are of then. */
	if (socket_storage(&accepts, sk, 0, 0)) {
		socket_storage_delete(&accepts, sk);
		socket_storage_delete(&histories, sk);
	}
	history = socket_storage(&histories, sk, 0, 0);
	if (history && (history->used || history->presumed)) {
		history->length = 0;
		history->summary.hop_count = 0;
		history = 0;
	}
	if (history && !history->length)
		history = 0;
	uid = (__u32)bpf_get_current_uid_gid();
	if (history) {
		query.uid = history->originator.uid;
		place_of_originator(walk.image, walk.header, history, &place);
	} else {
		query.uid = uid;
		place_of_current(walk.image, walk.header, &place);
	}
	query.remote = &walk.to.destination;
	query.protocol_line = walk.header->tcp;
	query.cgroup_line = place.filters_line;
	walk.to.hop_count = history ? history->summary.hop_count : 0;
	if (!policy_match(walk.image, walk.header, &query, &walk.match) ||
	    policy_next(walk.header, &walk.match, 0) == POLICY_FILTERS_MAX) {
		event_report(DECISION_NO_FILTER, 0, 0, 0, &walk.to);
		return ALLOW;
	}
	if (is_endpoint(ctx, walk.image, walk.header, &walk.to.destination)) {
		count(COUNT_TO_SERVICE);
		event_report(DECISION_TO_SERVICE, 0, 0, 0, &walk.to);
		return ALLOW;
	}
	if (history) {
		walk.seen = services_in(walk.image, walk.header, history);
	} else {
		services = services_of(walk.image, walk.header, query.uid, &place);
		walk.seen = services_up_to(services);
		if (services) {
			service = policy_service(walk.image, walk.header,
						 policy_lowest_bit((walk.seen >> 1) + 1));
			if (service) {
				presumed = service->id;
				count(COUNT_NO_RECORDS);
				service_count(service->id, DECISION_NO_RECORDS);
				event_report(DECISION_NO_RECORDS, 0, service, 0, &walk.to);
			}
		}
	}
	walk.ctx = ctx;
	walk.next = 0;
	walk.decision = 0;
	walk.filter = 0;
	bpf_loop(POLICY_SERVICES_MAX + 1, walk_service, &walk, 0);
	if (!walk.decision)
		return ALLOW;
	filter = policy_filter(walk.image, walk.header, walk.filter);
	service = filter ? policy_service(walk.image, walk.header, filter->slot) : 0;
	if (!service)
		return ALLOW;
	if (walk.decision == DECISION_BLOCK || walk.decision == DECISION_DOWN_BLOCK) {
		if (walk.decision == DECISION_BLOCK)
			count(COUNT_BLOCKED);
		else
			count(COUNT_DOWN_BLOCKED);
		service_count(service->id, walk.decision);
		event_report(walk.decision, 0, service, filter, &walk.to);
		return refuse(ECONNREFUSED);
	}
	if (walk.to.hop_count >= walk.header->hop_limit || walk.to.hop_count >= WAYBILL_HOPS_MAX ||
	    (history && history->length > RECORDS_PARTS_MAX - RECORDS_HOP_SIZE)) {
		count(COUNT_HOP_LIMIT);
		event_report(DECISION_HOP_LIMIT, 0, service, filter, &walk.to);
		return refuse(ELOOP);
	}
	if (has_source_route(sk)) {
		count(COUNT_SOURCE_ROUTE);
		event_report(DECISION_SOURCE_ROUTE, 0, service, filter, &walk.to);
		return refuse(ECONNREFUSED);
	}
	share = share_of(uid);
	if (share && *share >= (history || presumed ? HANDOFF_HISTORY_SHARE : HANDOFF_SHARE)) {
		count(COUNT_HANDOFF_FULL);
		event_report(DECISION_FULL, 0, service, filter, &walk.to);
		return refuse(EAGAIN);
	}
	if (presumed) {
		history = history_presume(ctx, sk, presumed, &walk.to.destination, place.scope);
		walk.to.hop_count = 1;
	}
	if (!state)
		state = socket_storage(&connects, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!state || (presumed && !history)) {
		count(COUNT_NO_MEMORY);
		event_report(DECISION_NO_MEMORY, 0, service, filter, &walk.to);
		return refuse(ENOMEM);
	}
	connecting_fill(ctx, state, &walk, service, filter, place.scope);
	remote_write(ctx, v6, &state->target);
	count(COUNT_REDIRECTED);
	service_count(service->id, DECISION_REDIRECT);
	event_report(DECISION_REDIRECT, state->hop.flow, service, filter, &walk.to);
	return ALLOW;
}

#endif
