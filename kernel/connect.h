/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The connect hook of TCP: asks who sees this connection next, and rewrites the address to the
 * endpoint of that service. One path for IPv4, IPv6 and v4-mapped.
 */
#ifndef WAYBILL_KERNEL_CONNECT_H
#define WAYBILL_KERNEL_CONNECT_H

#include "arbitrate.h"
#include "source.h"

/*
 * A service that has set no records gets some, which say what its identity says: a presumed hop.
 * Else a service below it, that carries records on, would bring the connection back to it.
 */
static __attribute__((noinline)) int history_presume(struct bpf_sock_addr *ctx, __u32 service,
						     const struct waybill_address *destination,
						     __u64 scope, __u32 application)
{
	struct bpf_sock *sk = ctx->sk;
	struct history *history;
	struct records_hop *hop;

	if (!sk || !destination)
		return 0;
	history = socket_storage(&histories, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!history)
		return 0;
	hop = (void *)history->parts;
	hop_presume(ctx, hop, service, destination, scope, application);
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
	return 1;
}

/* Fills in what is handed to the service. The caller then rewrites the address to it. */
static __attribute__((noinline)) int connecting_fill(struct bpf_sock_addr *ctx,
						     struct connecting *state,
						     const struct walk *walk, __u64 scope)
{
	const struct policy_filter *filter;
	const struct policy_service *service;

	if (!state || !walk || !walk->to || !walk->header)
		return 0;
	filter = policy_filter(walk->image, walk->header, walk->filter);
	service = filter ? policy_service(walk->image, walk->header, filter->slot) : 0;
	if (!service)
		return 0;
	hop_fill(ctx, &state->hop, &walk->to->destination, service, filter, flow_id_next(), scope,
		 walk->application);
	state->hop_count = walk->to->hop_count + 1;
	state->context_size = filter->context_size;
	service_endpoint(service, walk->to->destination.family, 0, &state->target);
	return 1;
}

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
	struct place place;
	struct event_subject to;
	struct walk walk;
	struct bpf_sock *sk = ctx->sk;
	__u32 *share;
	int answer;

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
	walk.to = &to;
	state = socket_storage(&connects, sk, 0, 0);
	/* What an earlier connect of this socket left says nothing of this one. */
	if (state) {
		state->target.family = 0;
		source_leave(ctx, v6, state);
	}
	remote_read(ctx, v6, &to.destination);
	remote_resolve(sk, &to.destination);
	/* A socket that was accepted, disconnected, and is a client now: its records are of then. */
	if (socket_storage(&accepts, sk, 0, 0)) {
		socket_storage_delete(&accepts, sk);
		socket_storage_delete(&histories, sk);
	}
	history = history_unused(walk.image, walk.header, socket_storage(&histories, sk, 0, 0));
	walk.onward = 0;
	walk.match.port = 0;
	if (history)
		walk_onward(&walk, &place, history);
	answer = arbitrate(ctx, v6, 1, &walk, &place, 0);
	if (answer != ARBITRATE_REDIRECT)
		return answer == ARBITRATE_ALLOW ? ALLOW : REFUSE;
	filter = policy_filter(walk.image, walk.header, walk.filter);
	service = filter ? policy_service(walk.image, walk.header, filter->slot) : 0;
	if (!service)
		return ALLOW;
	if (has_source_route(sk))
		return refuse(ECONNREFUSED, COUNT_SOURCE_ROUTE, DECISION_SOURCE_ROUTE, service,
			      filter, &to);
	share = share_of((__u32)bpf_get_current_uid_gid());
	if (share && *share >= (history || walk.presumed ? HANDOFF_HISTORY_SHARE : HANDOFF_SHARE))
		return refuse(EAGAIN, COUNT_HANDOFF_FULL, DECISION_FULL, service, filter, &to);
	if (!state)
		state = socket_storage(&connects, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!state || (walk.presumed && !history_presume(ctx, walk.presumed, &to.destination,
							 place.scope, walk.application)))
		return refuse(ENOMEM, COUNT_NO_MEMORY, DECISION_NO_MEMORY, service, filter, &to);
	if (walk.presumed)
		to.hop_count = 1;
	connecting_fill(ctx, state, &walk, place.scope);
	source_choose(ctx, v6, state);
	remote_write(ctx, v6, &state->target);
	count(COUNT_REDIRECTED);
	service_count(service->id, DECISION_REDIRECT);
	event_report(DECISION_REDIRECT, state->hop.flow, service->id, filter->id, &to);
	return ALLOW;
}

#endif
