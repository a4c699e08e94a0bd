/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Socket options about flows of datagrams: who may ask, who is told first, a flow's records set
 * before its first datagram, and the flow of another peer.
 */
#ifndef WAYBILL_KERNEL_FLOW_OPTION_H
#define WAYBILL_KERNEL_FLOW_OPTION_H

#include "flow.h"
#include "sockopt.h"

/*
 * The flow of this number, if it goes to the caller's socket: the one at its service's port, in
 * its network namespace, made by that service. Whoever holds such a socket was given it.
 */
static __always_inline struct datagram_flow *flow_of_service(struct bpf_sockopt *ctx, __u32 number)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	const struct policy_cell *cell;
	struct datagram_flow *flow;
	struct bpf_sock *sk = ctx->sk;

	if (!header || !sk)
		return 0;
	flow = flow_get(number);
	if (!flow || flow->state != FLOW_REDIRECTED || flow->port != bpf_htons(sk->src_port) ||
	    flow->hop.netns != bpf_get_netns_cookie(ctx))
		return 0;
	cell = policy_hash_find(image, &header->ids, flow->hop.service);
	if (!cell || !(services_of_udp(image, header, sk) >> (cell->value & 63) & 1))
		return 0;
	return flow;
}

static __always_inline int answer_number(struct bpf_sockopt *ctx, __u32 number)
{
	__u32 *out = ctx->optval;

	if (ctx->optval == ctx->optval_end)
		return sockopt_answer(ctx, sizeof(*out));
	if ((void *)(out + 1) > ctx->optval_end)
		return sockopt_fail(ERANGE);
	*out = number;
	return sockopt_answer(ctx, sizeof(*out));
}

/*
 * Whether this socket has been told of the flow; from now on it has, if it takes it. A service that
 * was started anew has another socket, and is told again.
 */
static __always_inline int flow_take(struct bpf_sockopt *ctx, struct datagram_flow *flow, int take)
{
	struct datagrams *own;
	__u64 before;
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return ALLOW;
	/* Nothing is taken without room for the answer. */
	if (ctx->optval + sizeof(__u32) > ctx->optval_end)
		return answer_number(ctx, 0);
	own = datagrams_make(bpf_sk_storage_get(&datagrams, sk, 0, BPF_SK_STORAGE_GET_F_CREATE));
	if (!own)
		return sockopt_fail(ENOMEM);
	before = flow->taken;
	if (before == own->socket)
		return answer_number(ctx, 0);
	if (take && __sync_val_compare_and_swap(&flow->taken, before, own->socket) != before)
		return answer_number(ctx, 0);
	return answer_number(ctx, 1);
}

static __always_inline int flow_answer_get(struct bpf_sockopt *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 *number = bpf_map_lookup_elem(&flow_answers, &thread);

	return number ? answer_number(ctx, *number) : sockopt_unknown(ctx, ENOENT);
}

/* What a service tells: the peer by which its client is to hear it. */
static __always_inline int flow_peer_set(struct bpf_sockopt *ctx)
{
	struct waybill_flow_peer *peer = ctx->optval;
	__u64 thread = bpf_get_current_pid_tgid();
	struct waybill_address address;
	struct flow_history *history, *copy;
	struct datagram_flow *flow, *made;
	struct datagrams own = {};
	__u32 number, first;

	if ((void *)(peer + 1) > ctx->optval_end || ctx->optlen != sizeof(*peer))
		return sockopt_fail(EINVAL);
	flow = flow_of_service(ctx, peer->flow);
	if (!flow)
		return bpf_get_retval() < 0 ? ALLOW : sockopt_fail(ENOENT);
	address = peer->peer;
	if (address.family != flow->hop.destination.family || !address.port || flow->connected ||
	    (address.family == AF_INET && !address_is_mapped((const __u32 *)address.address)))
		return sockopt_fail(EINVAL);
	number = flow_find(flow->socket, &address);
	if (!number) {
		own.socket = flow->socket;
		number = flow_make(&own, &address, flow->originator, flow->history);
		made = number ? flow_get(number) : 0;
		if (!made) {
			count(COUNT_FLOW_FULL);
			return sockopt_fail(ENOBUFS);
		}
		if (flow->history) {
			history = bpf_map_lookup_elem(&flow_histories, &peer->flow);
			copy = bpf_map_lookup_elem(&flow_histories, &number);
			if (!history || !copy ||
			    bpf_probe_read_kernel(copy, sizeof(*copy), history)) {
				flow_end(number, own.socket);
				return sockopt_fail(ENOBUFS);
			}
		}
		own.socket = made->hop.flow;
		made->hop = flow->hop;
		made->hop.flow = own.socket;
		made->hop.destination = address;
		made->hop.time = bpf_ktime_get_boot_ns();
		made->hop_count = flow->hop_count;
		made->context_size = flow->context_size;
		made->port = flow->port;
		made->taken = flow->taken;
		made->issued = made->hop.time;
		made->state = FLOW_REDIRECTED;
		own.socket = flow->socket;
		made->used = made->hop.time;
		first = flow_publish(&own, &address, number);
		number = first;
	}
	if (!number || bpf_map_update_elem(&flow_answers, &thread, &number, BPF_ANY))
		return sockopt_fail(ENOBUFS);
	bpf_set_retval(0);
	ctx->optlen = -1;
	return ALLOW;
}

#endif
