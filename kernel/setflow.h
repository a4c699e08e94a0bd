/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * setsockopt about flows of datagrams: the records of one that is about to begin, and the flow of
 * another peer.
 */
#ifndef WAYBILL_KERNEL_SETFLOW_H
#define WAYBILL_KERNEL_SETFLOW_H

#include "flow_option.h"
#include "setsockopt.h"

struct flow_parts_walk {
	struct records_summary summary;
	struct flow_history *history;
	__u32 bad;
};

static long flow_parts_walk_word(__u32 i, struct flow_parts_walk *walk)
{
	if (i >= sizeof(walk->history->parts) / 8)
		return 1;
	if (records_read_word(&walk->summary, i * 8, walk->history->parts[i]))
		return 0;
	walk->bad = 1;
	return 1;
}

/* As records_store(), for a flow of datagrams. */
static __always_inline int flow_records_store(struct bpf_sockopt *ctx, struct flow_history *history,
					      __u32 parts, __u32 hop_count)
{
	struct flow_parts_walk walk = { .history = history };
	const struct records_hop *first;
	void *in = ctx->optval + sizeof(struct waybill_flow_records) + RECORDS_HEADER_SIZE,
	     *end = ctx->optval_end, *at;
	__u32 i;

	/* With one more hop they would be too long: connect would say ELOOP, and so do we. */
	if (parts > sizeof(history->parts))
		return ELOOP;
	LOOP
	for (i = 0; i < sizeof(history->parts) / 8 && i * 8 < parts; i++) {
		at = in + i * 8;
		if (at + 8 > end)
			return EBADMSG;
		history->parts[i] = *(__u64 *)at;
	}
	bpf_loop(parts / 8, flow_parts_walk_word, &walk, 0);
	if (walk.bad || walk.summary.next_part != parts || !hop_count ||
	    walk.summary.hop_count != hop_count ||
	    walk.summary.first_hop > sizeof(history->parts) - RECORDS_HOP_SIZE)
		return EBADMSG;
	first = (void *)history->parts + walk.summary.first_hop;
	history->uid = first->client.uid;
	history->gid = first->client.gid;
	history->cgroup = first->client.cgroup;
	history->scope = first->cgroup_scope;
	history->length = parts;
	history->hop_count = hop_count;
	history->first_hop = walk.summary.first_hop;
	history->presumed = walk.summary.presumed;
	__builtin_memcpy(history->services, walk.summary.services, sizeof(history->services));
	return 0;
}

/* A flow is in the share of its originator, whom its records only tell. Returns 0 or an errno. */
static __always_inline int flow_hand_over(struct datagram_flow *flow, __u32 uid)
{
	__u32 *from = flow_share_of(flow->originator), *to = flow_share_of(uid);

	if (!from || !to)
		return ENOBUFS;
	if (from == to)
		return 0;
	if (__sync_fetch_and_add(to, 1) >= FLOW_SHARE) {
		__sync_fetch_and_add(to, -1);
		flow_make_room();
		if (__sync_fetch_and_add(to, 1) >= FLOW_SHARE) {
			__sync_fetch_and_add(to, -1);
			return ENOBUFS;
		}
	}
	__sync_fetch_and_add(from, -1);
	flow->originator = uid;
	return 0;
}

/* The records of the flow that this socket is about to begin. */
static __always_inline int flow_records_set(struct bpf_sockopt *ctx,
					    const struct waybill_address *to, __u32 parts,
					    __u32 hop_count)
{
	struct waybill_address destination = *to;
	struct flow_history *history;
	struct datagram_flow *flow;
	struct datagrams *own;
	struct bpf_sock *sk = ctx->sk;
	__u32 number;
	int error;

	if (!sk)
		return EINVAL;
	if (destination.family != AF_INET && destination.family != AF_INET6)
		return EINVAL;
	own = datagrams_make(bpf_sk_storage_get(&datagrams, sk, 0, BPF_SK_STORAGE_GET_F_CREATE));
	if (!own)
		return ENOMEM;
	number = flow_find(own->socket, &destination);
	if (number)
		return EISCONN;
	number = flow_make(own, &destination, (__u32)bpf_get_current_uid_gid(), 1);
	flow = number ? flow_get(number) : 0;
	history = flow ? bpf_map_lookup_elem(&flow_histories, &number) : 0;
	if (!history)
		return ENOBUFS;
	error = flow_records_store(ctx, history, parts, hop_count);
	if (!error)
		error = flow_hand_over(flow, history->uid);
	if (error) {
		flow_end(number, own->socket);
		return error;
	}
	flow->state = FLOW_RECORDS;
	flow->used = bpf_ktime_get_boot_ns();
	return flow_publish(own, &destination, number) == number ? 0 : EISCONN;
}

static __always_inline int flow_option_set(struct bpf_sockopt *ctx)
{
	struct waybill_flow_records *given;
	struct waybill_address to;
	const struct policy_header *policy;
	const struct policy_cell *cell;
	struct records_header *header;
	struct bpf_sock *sk;
	__u32 length = ctx->optlen;
	const void *image;
	__u64 services;
	int error;

	if (ctx->level != SOL_WAYBILL ||
	    (ctx->optname != WAYBILL_FLOW_RECORDS && ctx->optname != WAYBILL_FLOW_PEER))
		return option_leave(ctx);
	if (ctx->optlen < 0)
		return ALLOW;
	sk = ctx->sk;
	image = policy_in_force();
	policy = image ? policy_line(image, 0) : 0;
	if (!sk || !policy || sk->protocol != IPPROTO_UDP)
		return ALLOW;
	if (ctx->optname == WAYBILL_FLOW_PEER)
		return flow_peer_set(ctx);
	services = services_of_current(image, policy, 0);
	if (!services)
		return bpf_get_retval() < 0 ? ALLOW : records_refuse(EACCES);
	if (length < sizeof(*given) || length > sizeof(*given) + WAYBILL_RECORDS_MAX)
		return records_refuse(EBADMSG);
	length -= sizeof(*given);
	given = ctx->optval;
	if ((void *)(given + 1) > ctx->optval_end)
		return records_refuse(EBADMSG);
	to = given->destination;
	error = records_check(ctx, sizeof(*given), length);
	if (error)
		return records_refuse(error);
	header = ctx->optval + sizeof(*given);
	if ((void *)(header + 1) > ctx->optval_end)
		return records_refuse(EBADMSG);
	cell = policy_hash_find(image, &policy->ids, header->service);
	if (!cell || !(services >> (cell->value & 63) & 1))
		return records_refuse(EACCES);
	error = flow_records_set(ctx, &to, length - RECORDS_HEADER_SIZE - RECORDS_MAC_SIZE,
				 header->hop_count);
	if (error == ENOBUFS)
		count(COUNT_FLOW_FULL);
	if (error)
		return error == EBADMSG ? records_refuse(error) : sockopt_fail(error);
	count(COUNT_RECORDS_SET);
	return option_taken(ctx);
}

#endif
