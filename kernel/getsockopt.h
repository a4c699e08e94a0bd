/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * getsockopt: records, context, info and original destination of <waybill/abi.h>, and
 * SO_ORIGINAL_DST for proxies that know no other.
 */
#ifndef WAYBILL_KERNEL_GETSOCKOPT_H
#define WAYBILL_KERNEL_GETSOCKOPT_H

#include "flow_option.h"

/* What is copied into the blob, and into its MAC, in a loop of the kernel's: to the verifier a step. */
struct records_copy {
	void *out, *end;
	const __u64 *from;
	struct record_mac mac;
	int short_of; /* room */
};

static long records_copy_word(__u32 i, struct records_copy *copy)
{
	__u64 *at, word;

	if (i >= (RECORDS_PARTS_MAX - RECORDS_HOP_SIZE) / 8)
		return 1;
	at = copy->out + i * 8;
	if ((void *)(at + 1) > copy->end) {
		copy->short_of = 1;
		return 1;
	}
	word = copy->from[i];
	*at = word;
	record_mac_word(&copy->mac, word);
	return 0;
}

/*
 * The blob: header, the parts of the history, the last hop, the MAC over all of it. It is the
 * same for every query, but that the time of issue is renewed when half of the expiry has gone,
 * so that a service may open its onward socket late in the life of a connection.
 */
static __always_inline int records_get(struct bpf_sockopt *ctx, const struct records_hop *hop,
				       __u32 hop_count, __u64 *issued, const __u64 *earlier,
				       __u32 parts)
{
	void *out = ctx->optval, *end = ctx->optval_end, *at;
	__u32 length, i;
	struct records_header header = {};
	struct records_copy copy = {};
	struct record_mac mac;
	struct record_key secret;
	struct key *key = key_find(0);
	__u64 sum[2], word, now;

	if (parts > RECORDS_PARTS_MAX - RECORDS_HOP_SIZE)
		return sockopt_fail(EBADMSG);
	length = RECORDS_HEADER_SIZE + parts + RECORDS_HOP_SIZE + RECORDS_MAC_SIZE;
	if (out == end)
		return sockopt_answer(ctx, length);
	if (!key)
		return sockopt_fail(EOPNOTSUPP);
	at = out + (length & (2 * WAYBILL_RECORDS_MAX - 1));
	if (at > end)
		return sockopt_fail(ERANGE);
	now = bpf_ktime_get_boot_ns();
	if (now - *issued > records_expire() / 2)
		*issued = now;
	header.magic = RECORDS_MAGIC;
	header.version = RECORDS_VERSION;
	header.hop_count = hop_count;
	header.length = length;
	header.key = key->id;
	header.service = hop->service;
	header.issued = *issued;
	header.flow = hop->flow;
	secret = key->key;
	record_mac_begin(&mac, &secret);
	if (out + RECORDS_HEADER_SIZE > end)
		return sockopt_fail(ERANGE);
	LOOP
	for (i = 0; i < RECORDS_HEADER_SIZE / 8; i++) {
		word = ((__u64 *)&header)[i];
		((__u64 *)out)[i] = word;
		record_mac_word(&mac, word);
	}
	out += RECORDS_HEADER_SIZE;
	if (earlier) {
		copy.out = out;
		copy.end = end;
		copy.from = earlier;
		copy.mac = mac;
		bpf_loop(parts / 8, records_copy_word, &copy, 0);
		if (copy.short_of)
			return sockopt_fail(ERANGE);
		mac = copy.mac;
	}
	out += parts & (WAYBILL_RECORDS_MAX - 1);
	if (out + RECORDS_HOP_SIZE + RECORDS_MAC_SIZE > end)
		return sockopt_fail(ERANGE);
	LOOP
	for (i = 0; i < RECORDS_HOP_SIZE / 8; i++) {
		word = ((const __u64 *)hop)[i];
		((__u64 *)out)[i] = word;
		record_mac_word(&mac, word);
	}
	record_mac_end(&mac, sum);
	((__u64 *)(out + RECORDS_HOP_SIZE))[0] = sum[0];
	((__u64 *)(out + RECORDS_HOP_SIZE))[1] = sum[1];
	return sockopt_answer(ctx, length);
}

/*
 * Which of the hops is the caller's? Sets *state, and returns the context of that hop. A caller
 * that is no service was given an accepted socket by the one that accepted it, and is taken for
 * it; on an onward socket, whose last hop may be another service's, it is told nothing.
 */
static __always_inline __u32 context_of_caller(const struct records_hop *last,
					       const struct history *history, int is_accepted,
					       __u32 *state)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	const struct policy_cell *cell;
	__u64 services = header ? services_of_current(image, header, 0) : 0;
	__u32 i, context = 0;

	*state = is_accepted ? WAYBILL_REDIRECTED_BY_SELF : WAYBILL_REDIRECTED_BY_OTHER;
	if (!services)
		return is_accepted ? last->context : 0;
	*state = WAYBILL_REDIRECTED_BY_SELF;
	if (last) {
		cell = policy_hash_find(image, &header->ids, last->service);
		if (cell && services >> (cell->value & 63) & 1)
			return last->context;
	}
	*state = WAYBILL_REDIRECTED_BY_OTHER;
	LOOP
	for (i = 0; history && i < WAYBILL_HOPS_MAX && i < history->summary.hop_count; i++) {
		cell = policy_hash_find(image, &header->ids, history->summary.services[i]);
		if (cell && services >> (cell->value & 63) & 1) {
			*state = !last && i + 1 == history->summary.hop_count ?
					 WAYBILL_REDIRECTED_BY_SELF :
					 WAYBILL_PREVIOUSLY_REDIRECTED_BY_SELF;
			context = history->summary.contexts[i];
		}
	}
	return context;
}

static __always_inline int context_bytes_get(struct bpf_sockopt *ctx, __u32 number)
{
	void *out = ctx->optval, *end = ctx->optval_end, *at;
	struct context *context;
	__u32 i, size;

	context = number ? bpf_map_lookup_elem(&contexts, &number) : 0;
	size = context ? context->size : 0;
	if (!context || !size || size > WAYBILL_CONTEXT_MAX)
		return sockopt_fail(ENODATA);
	if (out == end)
		return sockopt_answer(ctx, size);
	if (out + size > end)
		return sockopt_fail(ERANGE);
	LOOP
	for (i = 0; i < WAYBILL_CONTEXT_MAX / 8 && i < size / 8; i++) {
		at = out + i * 8;
		if (at + 8 > end)
			return sockopt_fail(ERANGE);
		*(__u64 *)at = ((__u64 *)context->bytes)[i];
	}
	LOOP
	for (i = 0; i < size % 8; i++) {
		__u32 offset = ((size & ~7U) + i) & (WAYBILL_CONTEXT_MAX - 1);

		at = out + offset;
		if (at + 1 > end)
			return sockopt_fail(ERANGE);
		*(__u8 *)at = context->bytes[offset];
	}
	return sockopt_answer(ctx, size);
}

static __always_inline int context_get(struct bpf_sockopt *ctx, const struct records_hop *last,
				       const struct history *history, int is_accepted)
{
	__u32 state, number = context_of_caller(last, history, is_accepted, &state);

	if (state == WAYBILL_REDIRECTED_BY_OTHER)
		return sockopt_fail(EACCES);
	return context_bytes_get(ctx, number);
}

/* last: the hop of an accepted socket, or of an onward socket that was redirected; or NULL. */
static __always_inline int info_get(struct bpf_sockopt *ctx, const struct records_hop *last,
				    const struct history *history, int is_accepted, __u32 hop_count)
{
	struct waybill_info *info = ctx->optval;
	const struct records_hop *hop = last;
	struct context *context;
	__u32 state, number, parts = history ? history->length : 0;

	if (ctx->optval == ctx->optval_end)
		return sockopt_answer(ctx, sizeof(*info));
	if ((void *)(info + 1) > ctx->optval_end)
		return sockopt_fail(ERANGE);
	__builtin_memset(info, 0, sizeof(*info));
	number = context_of_caller(last, history, is_accepted, &state);
	if (!hop && history) {
		/* Records that were set, and no hop since: the last of them speaks. */
		__u32 offset = history->summary.last_hop;

		if (offset > sizeof(history->parts) - RECORDS_HOP_SIZE)
			return sockopt_fail(EBADMSG);
		hop = (void *)history->parts + offset;
	}
	if (!hop)
		return sockopt_fail(ENOENT);
	context = number ? bpf_map_lookup_elem(&contexts, &number) : 0;
	info->size = sizeof(*info);
	info->state = state;
	info->hop_count = hop_count;
	info->service = hop->service;
	info->filter = hop->filter;
	info->records_size =
		RECORDS_HEADER_SIZE + parts + RECORDS_MAC_SIZE + (last ? RECORDS_HOP_SIZE : 0);
	info->context_size = context ? context->size : 0;
	info->flow = hop->flow;
	info->time = hop->time;
	info->original_destination = hop->destination;
	info->client = hop->client;
	info->originator = history ? history->originator : hop->client;
	return sockopt_answer(ctx, sizeof(*info));
}

/* The original destination as a struct sockaddr_in or sockaddr_in6. */
static __always_inline int destination_get(struct bpf_sockopt *ctx,
					   const struct waybill_address *destination, int as_v6,
					   int too_small)
{
	struct {
		__u16 family;
		__u16 port;
		__u32 ip4;
		__u8 zero[8];
	} *v4 = ctx->optval;
	struct {
		__u16 family;
		__u16 port;
		__u32 flow;
		__u8 address[16];
		__u32 scope_id;
	} *v6 = ctx->optval;

	/* netfilter's option has no size query. */
	if (as_v6) {
		if (ctx->optval == ctx->optval_end && too_small != EINVAL)
			return sockopt_answer(ctx, sizeof(*v6));
		if ((void *)(v6 + 1) > ctx->optval_end)
			return sockopt_fail(too_small);
		v6->family = AF_INET6;
		v6->port = destination->port;
		v6->flow = 0;
		__builtin_memcpy(v6->address, destination->address, 16);
		v6->scope_id = destination->scope_id;
		return sockopt_answer(ctx, sizeof(*v6));
	}
	if (ctx->optval == ctx->optval_end && too_small != EINVAL)
		return sockopt_answer(ctx, sizeof(*v4));
	if ((void *)(v4 + 1) > ctx->optval_end)
		return sockopt_fail(too_small);
	v4->family = AF_INET;
	v4->port = destination->port;
	v4->ip4 = *(const __u32 *)(destination->address + 12);
	__builtin_memset(v4->zero, 0, sizeof(v4->zero));
	return sockopt_answer(ctx, sizeof(*v4));
}

/* What is known of a flow of datagrams. */
static __always_inline int flow_info_get(struct bpf_sockopt *ctx, const struct datagram_flow *flow,
					 const struct flow_history *history)
{
	struct waybill_info *info = ctx->optval;
	__u32 parts = history ? history->length : 0, first = history ? history->first_hop : 0;

	if (ctx->optval == ctx->optval_end)
		return sockopt_answer(ctx, sizeof(*info));
	if ((void *)(info + 1) > ctx->optval_end)
		return sockopt_fail(ERANGE);
	__builtin_memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->state = WAYBILL_REDIRECTED_BY_SELF;
	info->hop_count = flow->hop_count;
	info->service = flow->hop.service;
	info->filter = flow->hop.filter;
	info->records_size = RECORDS_HEADER_SIZE + parts + RECORDS_HOP_SIZE + RECORDS_MAC_SIZE;
	info->context_size = flow->context_size;
	info->flow = flow->hop.flow;
	info->time = flow->hop.time;
	info->original_destination = flow->hop.destination;
	info->client = flow->hop.client;
	info->originator = flow->hop.client;
	if (history && first <= sizeof(history->parts) - RECORDS_HOP_SIZE)
		info->originator =
			((const struct records_hop *)((const void *)history->parts + first))
				->client;
	return sockopt_answer(ctx, sizeof(*info));
}

/*
 * A flow's number is in the option's. It is told to the socket alone that it goes to. What is too
 * long is left to option_get(), which sees the same call.
 */
static __always_inline int flow_option_get(struct bpf_sockopt *ctx)
{
	__u32 option = (__u32)ctx->optname >> WAYBILL_FLOW_BITS;
	__u32 number = ctx->optname & WAYBILL_FLOW_MASK;
	struct flow_history *history;
	struct datagram_flow *flow;
	struct bpf_sock *sk;

	if (ctx->level != SOL_WAYBILL)
		return ALLOW;
	sk = ctx->sk;
	if (!sk || sk->protocol != IPPROTO_UDP)
		return ALLOW;
	if (ctx->optname == WAYBILL_FLOW_PEER)
		return flow_answer_get(ctx);
	if (!option || option > WAYBILL_FLOW_TAKE)
		return ALLOW;
	flow = flow_of_service(ctx, number);
	if (!flow)
		return sockopt_unknown(ctx, ENOENT);
	switch (option) {
	case WAYBILL_ORIGINAL_DESTINATION:
		return destination_get(ctx, &flow->hop.destination,
				       flow->hop.destination.family == AF_INET6, ERANGE);
	case WAYBILL_FLOW_NEW:
		return flow_take(ctx, flow, 0);
	case WAYBILL_FLOW_TAKE:
		return flow_take(ctx, flow, 1);
	case WAYBILL_REDIRECT_CONTEXT:
		return context_bytes_get(ctx, flow->hop.context);
	}
	history = flow->history ? bpf_map_lookup_elem(&flow_histories, &number) : 0;
	/* Without all of its records it must not pass for one that has fewer. */
	if (flow->history && !history)
		return sockopt_unknown(ctx, ENOENT);
	if (option == WAYBILL_REDIRECT_INFO)
		return flow_info_get(ctx, flow, history);
	if (option == WAYBILL_REDIRECT_RECORDS)
		return records_get(ctx, &flow->hop, flow->hop_count, &flow->issued,
				   history ? history->parts : 0, history ? history->length : 0);
	return ALLOW;
}

static __always_inline int option_get(struct bpf_sockopt *ctx)
{
	int original =
		(ctx->level == SOL_IP || ctx->level == SOL_IPV6) && ctx->optname == SO_ORIGINAL_DST;
	const struct records_hop *last = 0;
	struct accepted *accepted;
	struct connecting *state;
	struct history *history;
	struct bpf_sock *sk;
	__u32 hop_count;
	int v6;

	if (ctx->level != SOL_WAYBILL && !original) {
		/* Kernels before 6.5 fail with EFAULT if a longer option is left as it is. */
		if (ctx->optlen > 4096)
			ctx->optlen = 0;
		return ALLOW;
	}
	sk = ctx->sk;
	if (!sk || (original && sk->protocol == IPPROTO_UDP) ||
	    (sk->protocol != IPPROTO_TCP && sk->protocol != IPPROTO_MPTCP &&
	     sk->protocol != IPPROTO_UDP))
		return ALLOW;
	accepted = bpf_sk_storage_get(&accepts, sk, 0, 0);
	/* Disconnected; one that the client has reset still knows who that was. */
	if (accepted && sk->state == BPF_TCP_CLOSE && !sk->dst_port) {
		if (original)
			return ALLOW;
		return sockopt_unknown(ctx, ENOTCONN);
	}
	if (original) {
		if (!accepted)
			return ALLOW;
		/* As the kernel does: each level for its family; a v6 socket may also ask for v4. */
		v6 = ctx->level == SOL_IPV6;
		if (v6 ? sk->family != AF_INET6 : accepted->hop.destination.family != AF_INET)
			return ALLOW;
		return destination_get(ctx, &accepted->hop.destination, v6, EINVAL);
	}
	if (ctx->optname < WAYBILL_REDIRECT_RECORDS || ctx->optname > WAYBILL_ORIGINAL_DESTINATION)
		return ALLOW;
	history = bpf_sk_storage_get(&histories, sk, 0, 0);
	if (history &&
	    (!history->length || (!accepted && history->used && sk->state == BPF_TCP_CLOSE)))
		history = 0;
	if (accepted) {
		if (accepted->history && !history)
			return sockopt_fail(ENOENT);
		last = &accepted->hop;
		hop_count = accepted->hop_count;
		if (ctx->optname == WAYBILL_REDIRECT_RECORDS)
			return records_get(ctx, last, hop_count, &accepted->issued,
					   history ? history->parts : 0,
					   history ? history->length : 0);
		if (ctx->optname == WAYBILL_ORIGINAL_DESTINATION)
			return destination_get(ctx, &last->destination,
					       last->destination.family == AF_INET6, ERANGE);
	} else {
		/* An onward socket tells its service how it stands, and nothing more. */
		if (!history || ctx->optname == WAYBILL_REDIRECT_RECORDS ||
		    ctx->optname == WAYBILL_ORIGINAL_DESTINATION)
			return sockopt_unknown(ctx, sk->state == BPF_TCP_LISTEN ||
								    sk->state == BPF_TCP_CLOSE ||
								    sk->state == BPF_TCP_SYN_SENT ?
							    ENOTCONN :
							    ENOENT);
		hop_count = history->summary.hop_count;
		state = bpf_sk_storage_get(&connects, sk, 0, 0);
		if (state && state->target.family) {
			last = &state->hop;
			hop_count = state->hop_count;
		}
	}
	if (ctx->optname == WAYBILL_REDIRECT_CONTEXT)
		return context_get(ctx, last, history, accepted != 0);
	return info_get(ctx, last, history, accepted != 0, hop_count);
}

#endif
