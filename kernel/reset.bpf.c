// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ends flows that live. An object of its own, loaded when somebody asks for it, over the maps of the
 * instance: so an older kernel, which cannot do it, takes all the rest. A connection is known by its
 * flow id, which both of its sockets bear and no other connection ever has; a flow of datagrams
 * by its number and its client's.
 */
/* What makes flows is not needed here. */
#pragma clang diagnostic ignored "-Wunused-function"

#include "flow.h"

/* From 6.5 on. Called with the socket's lock held, which the iterator takes. */
extern int bpf_sock_destroy(struct sock_common *sk) __ksym __weak;

/* The ids of flows to end -> how many sockets of it could not be. Written by platform/ and here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RESET_MAX);
	__type(key, __u64);
	__type(value, __u32);
} resets SEC(".maps");

static __always_inline __u32 *reset_of(const struct records_hop *hop)
{
	__u64 flow = hop->flow;

	return bpf_map_lookup_elem(&resets, &flow);
}

SEC("iter/tcp")
int waybill_reset(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct connecting *connecting;
	struct accepted *accepted;
	struct sock *sk, *owner;
	struct socket *socket;
	__u32 *failed = 0;

	if (!common)
		return 0;
	sk = (struct sock *)bpf_skc_to_tcp_sock(common);
	if (!sk)
		return 0;
	/* Of an MPTCP connection every subflow is ended; the record is its parent's. */
	socket = sk->sk_socket;
	owner = socket && socket->sk ? socket->sk : sk;
	accepted = bpf_sk_storage_get(&accepts, owner, 0, 0);
	if (accepted)
		failed = reset_of(&accepted->hop);
	connecting = bpf_sk_storage_get(&connects, owner, 0, 0);
	/* What an earlier connect of this socket left says nothing of this one. */
	if (!failed && connecting && connecting->target.family)
		failed = reset_of(&connecting->hop);
	if (failed && bpf_sock_destroy && bpf_sock_destroy(common))
		__sync_fetch_and_add(failed, 1);
	return 0;
}

SEC("syscall")
int waybill_reset_datagrams(struct reset_datagrams *ctx)
{
	struct datagram_flow *flow = flow_get(ctx->number);

	/* The number may be another flow's by now. */
	if (flow && flow->hop.flow == ctx->flow)
		flow_end(ctx->number, flow->socket);
	return 0;
}

const char LICENSE[] SEC("license") = "Dual BSD/GPL";
