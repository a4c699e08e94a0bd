/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The connect hook of TCP: asks who sees this connection next, and rewrites the address to the
 * endpoint of that service. One path for IPv4, IPv6 and v4-mapped.
 */
#ifndef WAYBILL_KERNEL_CONNECT_H
#define WAYBILL_KERNEL_CONNECT_H

#include "arbitrate.h"
#include "source.h"

static __always_inline int is_subflow_of_established(struct bpf_sock *sk)
{
	struct sock *parent = sock_parent(sk);

	return parent && parent->__sk_common.skc_state == BPF_TCP_ESTABLISHED;
}

/*
 * The records that a socket bears for its next connection. They are for one; and what the connect
 * hook presumed is its own.
 */
static __always_inline struct history *history_of(struct bpf_sock *sk)
{
	struct history *history = storage_get(&histories, sk, 0, 0);

	if (!history || !history->length)
		return 0;
	if (!history->used && !history->made)
		return history;
	history_clear(history);
	return 0;
}

/* What is handed to the service. */
static __always_inline void connecting_fill(struct connecting *state,
					    const struct question *question,
					    const struct decision *decision)
{
	hop_fill(&state->hop, question, decision, flow_id_next());
	state->hop_count = question->to.hop_count + 1;
	state->context_size = decision->context_size;
	state->target = decision->endpoint;
}

static __always_inline int connect_redirect(struct bpf_sock_addr *ctx, int v6)
{
	struct question question = {};
	struct decision decision = {};
	struct connecting *state;
	struct history *history;
	struct bpf_sock *sk = ctx->sk;
	__u32 *share;
	int answer;

	if (ctx->protocol != IPPROTO_TCP || !policy_in_force())
		return ALLOW;
	if (!sk)
		return refuse(ECONNREFUSED, DECISION_BROKEN, &question, &decision);
	/* The kernel adds subflows to MPTCP connections that have been decided on. */
	if (is_subflow_of_established(sk))
		return ALLOW;
	state = storage_get(&connects, sk, 0, 0);
	/* What an earlier connect of this socket left says nothing of this one. */
	if (state) {
		state->target.family = 0;
		source_leave(ctx, v6, sk, state);
	}
	/*
	 * A socket that was accepted, disconnected, and is a client now: its records are of then.
	 */
	if (storage_get(&accepts, sk, 0, 0)) {
		storage_delete(&accepts, sk);
		storage_delete(&histories, sk);
	}
	history = history_of(sk);
	ask_addresses(ctx, v6, 1, sk, &question);
	if (!decide_destination(&question.to, &decision)) {
		event_report(DECISION_NO_FILTER, 0, 0, 0, &question.to);
		return ALLOW;
	}
	ask_socket(ctx, sk, &question);
	answer = arbitrate(ctx, &question, &decision, history);
	if (history && question.foreign)
		history_clear(history);
	if (answer != ARBITRATE_REDIRECT)
		return answer == ALLOW ? ALLOW : REFUSE;
	if (has_source_route(sk))
		return refuse(ECONNREFUSED, DECISION_SOURCE_ROUTE, &question, &decision);
	share = share_of(&shares, (__u32)bpf_get_current_uid_gid());
	if (!share ||
	    *share >= (question.to.hop_count || decision.presumed ? HANDOFF_HISTORY_SHARE :
								    HANDOFF_SHARE))
		return refuse(EAGAIN, DECISION_FULL, &question, &decision);
	if (!state)
		state = storage_get(&connects, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (state && decision.presumed) {
		history = storage_get(&histories, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (history)
			history_presume(history, &question, &decision);
		question.to.hop_count = 1;
	}
	if (!state || (decision.presumed && !history))
		return refuse(ENOMEM, DECISION_NO_MEMORY, &question, &decision);
	connecting_fill(state, &question, &decision);
	source_choose(ctx, v6, sk, state);
	remote_write(ctx, v6, &state->target);
	report(DECISION_REDIRECT, state->hop.flow, decision.service, decision.filter, &question.to);
	return ALLOW;
}

#endif
