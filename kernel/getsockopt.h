/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * getsockopt: records, context, info and original destination of <waybill/abi.h>, of a connection
 * or of a flow of datagrams; and SO_ORIGINAL_DST for proxies that know no other.
 */
#ifndef WAYBILL_KERNEL_GETSOCKOPT_H
#define WAYBILL_KERNEL_GETSOCKOPT_H

#include "option.h"

/* What is asked about: a connection, or a flow. */
struct asked {
	const struct records_hop
		*last; /* the last hop; NULL: an onward socket that was not redirected */
	const struct history *history; /* those before it, or NULL */
	const struct records_originator *originator; /* if there is no history to tell it */
	__u64 *issued;
	__u32 hop_count;
	int accepted; /* the caller is at the end of it: it is told all */
};

/*
 * What is copied into the blob, and into its MAC, in a loop of the kernel's: to the verifier a
 * step.
 */
struct records_copy {
	void *out, *end;
	const __u64 *from;
	struct record_mac mac;
	int short_of; /* room */
};

static long records_copy_word(__u32 i, struct records_copy *copy)
{
	__u64 *at, word;

	if (i >= HISTORY_PARTS_MAX / 8)
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
static __always_inline int records_get(struct bpf_sockopt *ctx, const struct asked *asked)
{
	const struct records_hop *hop = asked->last;
	__u32 length, i, parts = asked->history ? asked->history->length : 0;
	void *out = ctx->optval, *end = ctx->optval_end;
	struct records_header header = {};
	struct records_copy copy = {};
	struct key *key = key_find(0);
	struct record_key secret;
	__u64 sum[2], word, now;

	/* Only what was accepted has records to give. */
	if (!hop || !asked->issued)
		return option_fail(ENOENT);
	if (!asked->history && asked->originator)
		parts = RECORDS_ORIGINATOR_SIZE;
	if (parts > HISTORY_PARTS_MAX)
		return option_fail(EBADMSG);
	length = RECORDS_HEADER_SIZE + parts + RECORDS_HOP_SIZE + RECORDS_MAC_SIZE;
	if (out == end)
		return option_answer(ctx, length);
	if (!key)
		return option_fail(EOPNOTSUPP);
	if (out + (length & (2 * WAYBILL_RECORDS_MAX - 1)) > end)
		return option_fail(ERANGE);
	now = bpf_ktime_get_boot_ns();
	if (now - *asked->issued > records_expire() / 2)
		*asked->issued = now;
	header.magic = RECORDS_MAGIC;
	header.version = RECORDS_VERSION;
	header.hop_count = asked->hop_count;
	header.length = length;
	header.key = key->id;
	header.service = hop->service;
	header.issued = *asked->issued;
	header.flow = hop->flow;
	secret = key->key;
	record_mac_begin(&copy.mac, &secret);
	if (out + RECORDS_HEADER_SIZE > end)
		return option_fail(ERANGE);
	LOOP
	for (i = 0; i < RECORDS_HEADER_SIZE / 8; i++) {
		word = ((__u64 *)&header)[i];
		((__u64 *)out)[i] = word;
		record_mac_word(&copy.mac, word);
	}
	out += RECORDS_HEADER_SIZE;
	if (asked->history) {
		copy.out = out;
		copy.end = end;
		copy.from = asked->history->parts;
		bpf_loop(parts / 8, records_copy_word, &copy, 0);
		if (copy.short_of)
			return option_fail(ERANGE);
	} else if (asked->originator) {
		if (out + RECORDS_ORIGINATOR_SIZE > end)
			return option_fail(ERANGE);
		LOOP
		for (i = 0; i < RECORDS_ORIGINATOR_SIZE / 8; i++) {
			word = ((const __u64 *)asked->originator)[i];
			((__u64 *)out)[i] = word;
			record_mac_word(&copy.mac, word);
		}
	}
	out += parts & (WAYBILL_RECORDS_MAX - 1);
	if (out + RECORDS_HOP_SIZE + RECORDS_MAC_SIZE > end)
		return option_fail(ERANGE);
	LOOP
	for (i = 0; i < RECORDS_HOP_SIZE / 8; i++) {
		word = ((const __u64 *)hop)[i];
		((__u64 *)out)[i] = word;
		record_mac_word(&copy.mac, word);
	}
	record_mac_end(&copy.mac, sum);
	((__u64 *)(out + RECORDS_HOP_SIZE))[0] = sum[0];
	((__u64 *)(out + RECORDS_HOP_SIZE))[1] = sum[1];
	return option_answer(ctx, length);
}

/*
 * Which of the hops is the caller's: the state of its service, and the number of its hop's context.
 */
struct caller {
	__u32 state, context;
};

/*
 * A caller that is no service was given an accepted socket by the one that accepted it, and is
 * taken for it; on an onward socket, whose last hop may be another service's, it is told nothing.
 */
GLOBAL int caller_find(const struct records_hop *last, const struct history *history,
		       __u32 accepted, struct caller *caller)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	const struct records_hop *hop;
	__u64 services;
	__u32 i;

	if (!caller)
		return 0;
	caller->context = accepted && last ? last->context : 0;
	caller->state = accepted ? WAYBILL_REDIRECTED_BY_SELF : WAYBILL_REDIRECTED_BY_OTHER;
	services = header ? services_of_current(image, header, 0) : 0;
	if (!services)
		return 0;
	caller->context = 0;
	caller->state = WAYBILL_REDIRECTED_BY_SELF;
	if (last && services & services_of_hop(image, header, last->service, 0)) {
		caller->context = last->context;
		return 0;
	}
	caller->state = WAYBILL_REDIRECTED_BY_OTHER;
	if (!history)
		return 0;
	LOOP
	for (i = 0; i < WAYBILL_HOPS_MAX; i++) {
		hop = history_hop(history, i);
		if (!hop)
			break;
		if (services & services_of_hop(image, header, hop->service, 0)) {
			caller->state = !last && i + 1 == history->hop_count ?
						WAYBILL_REDIRECTED_BY_SELF :
						WAYBILL_PREVIOUSLY_REDIRECTED_BY_SELF;
			caller->context = hop->context;
		}
	}
	return 0;
}

static __always_inline int context_get(struct bpf_sockopt *ctx, __u32 number)
{
	void *out = ctx->optval, *end = ctx->optval_end, *at;
	struct context *context;
	__u32 i, size;

	context = number ? bpf_map_lookup_elem(&contexts, &number) : 0;
	size = context ? context->size : 0;
	if (!context || !size || size > WAYBILL_CONTEXT_MAX)
		return option_fail(ENODATA);
	if (out == end)
		return option_answer(ctx, size);
	if (out + size > end)
		return option_fail(ERANGE);
	LOOP
	for (i = 0; i < WAYBILL_CONTEXT_MAX / 8 && i < size / 8; i++) {
		at = out + i * 8;
		if (at + 8 > end)
			return option_fail(ERANGE);
		*(__u64 *)at = ((__u64 *)context->bytes)[i];
	}
	LOOP
	for (i = 0; i < size % 8; i++) {
		__u32 offset = ((size & ~7U) + i) & (WAYBILL_CONTEXT_MAX - 1);

		at = out + offset;
		if (at + 1 > end)
			return option_fail(ERANGE);
		*(__u8 *)at = context->bytes[offset];
	}
	return option_answer(ctx, size);
}

static __always_inline int info_get(struct bpf_sockopt *ctx, const struct asked *asked,
				    const struct caller *caller)
{
	const struct history *history = asked->history;
	const struct records_hop *hop = asked->last, *first = 0;
	__u32 number = caller->context,
	      parts = history           ? history->length :
		      asked->originator ? RECORDS_ORIGINATOR_SIZE :
					  0;
	const struct records_originator *originator;
	struct waybill_info *info = ctx->optval;
	struct context *context;

	if (ctx->optval == ctx->optval_end)
		return option_answer(ctx, sizeof(*info));
	if ((void *)info + WAYBILL_INFO_SIZE_1 > ctx->optval_end)
		return option_fail(ERANGE);
	__builtin_memset(info, 0, WAYBILL_INFO_SIZE_1);
	/* Records that were set, and no hop since: the last of them speaks. */
	if (!hop && history)
		hop = history_hop(history, history->hop_count - 1);
	if (history)
		first = history_hop(history, 0);
	if (!hop || (history && !first))
		return option_fail(ENOENT);
	context = number ? bpf_map_lookup_elem(&contexts, &number) : 0;
	info->size = WAYBILL_INFO_SIZE_1;
	info->state = caller->state;
	info->hop_count = asked->hop_count;
	info->service = hop->service;
	info->filter = hop->filter;
	info->records_size = RECORDS_HEADER_SIZE + parts + RECORDS_MAC_SIZE +
			     (asked->last ? RECORDS_HOP_SIZE : 0);
	info->context_size = context ? context->size : 0;
	info->flow = hop->flow;
	info->time = hop->time;
	info->original_destination = hop->destination;
	info->client = hop->client;
	info->originator = first ? first->client : hop->client;
	if ((void *)(info + 1) > ctx->optval_end)
		return option_answer(ctx, WAYBILL_INFO_SIZE_1);
	originator = history ? history_originator(history) : asked->originator;
	info->size = sizeof(*info);
	info->mark = originator ? originator->mark : 0;
	info->priority = originator ? originator->priority : 0;
	info->dscp = originator ? originator->dscp : 0;
	__builtin_memset(info->reserved2, 0, sizeof(info->reserved2));
	return option_answer(ctx, sizeof(*info));
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
	if (ctx->optval == ctx->optval_end && too_small != EINVAL)
		return option_answer(ctx, as_v6 ? sizeof(*v6) : sizeof(*v4));
	if (as_v6) {
		if ((void *)(v6 + 1) > ctx->optval_end)
			return option_fail(too_small);
		v6->family = ADDRESS_INET6;
		v6->port = destination->port;
		v6->flow = 0;
		__builtin_memcpy(v6->address, destination->address, 16);
		v6->scope_id = destination->scope_id;
		return option_answer(ctx, sizeof(*v6));
	}
	if ((void *)(v4 + 1) > ctx->optval_end)
		return option_fail(too_small);
	v4->family = ADDRESS_INET;
	v4->port = destination->port;
	v4->ip4 = *(const __u32 *)(destination->address + 12);
	__builtin_memset(v4->zero, 0, sizeof(v4->zero));
	return option_answer(ctx, sizeof(*v4));
}

static __always_inline int number_get(struct bpf_sockopt *ctx, __u32 number)
{
	__u32 *out = ctx->optval;

	if (ctx->optval == ctx->optval_end)
		return option_answer(ctx, sizeof(*out));
	if ((void *)(out + 1) > ctx->optval_end)
		return option_fail(ERANGE);
	*out = number;
	return option_answer(ctx, sizeof(*out));
}

/*
 * Whether this socket has been told of the flow; from now on it has, if it takes it. A service that
 * was started anew has another socket, and is told again.
 */
static __always_inline int flow_take(struct bpf_sockopt *ctx, struct bpf_sock *sk,
				     struct datagram_flow *flow, int take)
{
	struct datagrams *own;
	__u64 before;

	/* Nothing is taken without room for the answer. */
	if (ctx->optval + sizeof(__u32) > ctx->optval_end)
		return number_get(ctx, 0);
	own = datagrams_make(bpf_sk_storage_get(&datagrams, sk, 0, BPF_SK_STORAGE_GET_F_CREATE));
	if (!own)
		return option_fail(ENOMEM);
	before = flow->taken;
	if (before == own->socket)
		return number_get(ctx, 0);
	if (take && __sync_val_compare_and_swap(&flow->taken, before, own->socket) != before)
		return number_get(ctx, 0);
	return number_get(ctx, 1);
}

/* The flow that the thread's last WAYBILL_FLOW_PEER made. */
static __always_inline int flow_answer_get(struct bpf_sockopt *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 *number = bpf_map_lookup_elem(&flow_answers, &thread);

	return number ? number_get(ctx, *number) : option_unknown(ctx, ENOENT);
}

/* An option, of a connection or a flow. */
static __always_inline int asked_get(struct bpf_sockopt *ctx, const struct asked *asked,
				     __u32 option)
{
	struct caller caller = { .state = WAYBILL_REDIRECTED_BY_SELF };

	if (option == WAYBILL_REDIRECT_RECORDS)
		return records_get(ctx, asked);
	if (option == WAYBILL_ORIGINAL_DESTINATION)
		return destination_get(ctx, &asked->last->destination,
				       asked->last->destination.family == ADDRESS_INET6, ERANGE);
	caller_find(asked->last, asked->history, asked->accepted, &caller);
	if (option == WAYBILL_REDIRECT_INFO)
		return info_get(ctx, asked, &caller);
	if (caller.state == WAYBILL_REDIRECTED_BY_OTHER)
		return option_fail(EACCES);
	return context_get(ctx, caller.context);
}

static __always_inline int flow_answer(struct bpf_sockopt *ctx, struct bpf_sock *sk,
				       struct datagram_flow *flow, __u32 option, __u32 number)
{
	struct asked asked = { .accepted = 1 };

	if (option == WAYBILL_FLOW_NEW || option == WAYBILL_FLOW_TAKE)
		return flow_take(ctx, sk, flow, option == WAYBILL_FLOW_TAKE);
	asked.originator = &flow->originator;
	asked.last = &flow->hop;
	asked.hop_count = flow->hop_count;
	asked.issued = &flow->issued;
	if (flow->history) {
		asked.history = bpf_map_lookup_elem(&flow_histories, &number);
		/* Without all of its records it must not pass for one that has fewer. */
		if (!asked.history)
			return option_unknown(ctx, ENOENT);
	}
	return asked_get(ctx, &asked, option);
}

/* A flow's number is in the option's. It is told to the socket alone that it goes to. */
static __always_inline int flow_get_option(struct bpf_sockopt *ctx, struct bpf_sock *sk,
					   __u32 option, __u32 number)
{
	__u64 id = flow_of_socket(ctx, number);
	struct datagram_flow *flow = flow_of_id(number, id);

	if (!flow)
		return option_unknown(ctx, ENOENT);
	flow_answer(ctx, sk, flow, option, number);
	return flow_of_id(number, id) ? ALLOW : option_fail(ENOENT);
}

/* The number of the connection that a client's socket has; 0: it has none. */
GLOBAL __u32 number_of_client(struct bpf_sockopt *ctx)
{
	struct connection_key key = {};
	struct bpf_sock *sk = ctx->sk;
	__u32 number;

	if (!sk)
		return 0;
	number = connection_of_address(sk->src_ip4);
	if (number)
		return number;
	key.netns = bpf_get_netns_cookie(ctx);
	__u32 near[4] = { sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3] };
	__u32 far[4] = { sk->dst_ip6[0], sk->dst_ip6[1], sk->dst_ip6[2], sk->dst_ip6[3] };

	if (sk->family == ADDRESS_INET || address_is_mapped(far)) {
		address_map(key.client, sk->src_ip4);
		address_map(key.server, sk->dst_ip4);
	} else {
		__builtin_memcpy(key.client, near, 16);
		__builtin_memcpy(key.server, far, 16);
	}
	key.client_port = sk->src_port;
	key.server_port = bpf_ntohs(sk->dst_port);
	return connection_of_key(&key);
}

/* What netfilter would say. */
static __always_inline int original_get(struct bpf_sockopt *ctx, struct bpf_sock *sk)
{
	__u32 number = number_of_accepted(sk);
	struct connection *connection = number ? connection_get(number) : 0;
	const struct waybill_address *destination;
	int v6 = ctx->level == IPPROTO_IPV6;

	if (!connection_is_server(connection, sock_of(sk)))
		return ALLOW;
	destination = &connection->hop.destination;
	/*
	 * As the kernel does: each level for its family; a v6 socket may also ask for v4. But a
	 * client that asked for IPv6 may come by IPv4: then the answer is longer.
	 */
	if (v6 ? sk->family != ADDRESS_INET6 :
		 destination->family != ADDRESS_INET && sk->family != ADDRESS_INET)
		return ALLOW;
	return destination_get(ctx, destination, destination->family == ADDRESS_INET6 || v6,
			       EINVAL);
}

static __always_inline int accepted_get(struct bpf_sockopt *ctx, struct connection *connection,
					__u32 number, __u32 option)
{
	struct asked asked = { .accepted = 1 };

	if (connection->history) {
		asked.history = bpf_map_lookup_elem(&connection_histories, &number);
		/* Without all of its records it must not pass for one that has fewer. */
		if (!asked.history)
			return option_fail(ENOENT);
	}
	asked.originator = &connection->originator;
	asked.last = &connection->hop;
	asked.hop_count = connection->hop_count;
	asked.issued = &connection->issued;
	return asked_get(ctx, &asked, option);
}

/* An onward socket tells its service how it stands, and nothing more. */
static __always_inline int onward_get(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u32 option)
{
	struct history *history = bpf_sk_storage_get(&histories, sk, 0, 0);
	struct connection *connection;
	struct asked asked = {};
	__u32 number;
	__u64 flow;

	if (!history || !history->length ||
	    (history->used && (sk->state == BPF_TCP_CLOSE || sk->state == BPF_TCP_SYN_SENT)) ||
	    option == WAYBILL_REDIRECT_RECORDS || option == WAYBILL_ORIGINAL_DESTINATION) {
		if (sk->state == BPF_TCP_LISTEN || sk->state == BPF_TCP_CLOSE ||
		    sk->state == BPF_TCP_SYN_SENT)
			return option_unknown(ctx, ENOTCONN);
		count(COUNT_ASKED_IN_VAIN);
		return option_unknown(ctx, ENOENT);
	}
	asked.history = history;
	asked.hop_count = history->hop_count;
	number = number_of_client(ctx);
	connection = number ? connection_get(number) : 0;
	if (!connection_is_client(connection, sock_of(sk)))
		return asked_get(ctx, &asked, option);
	asked.last = &connection->hop;
	asked.hop_count = connection->hop_count;
	flow = connection->claim >> CLAIM_BITS;
	asked_get(ctx, &asked, option);
	/* It may have been disconnected, and its number be another's by now. */
	connection = connection_get(number);
	return connection_is_client(connection, sock_of(sk)) &&
			       connection->claim >> CLAIM_BITS == flow ?
		       ALLOW :
		       option_fail(ENOENT);
}

/*
 * Whether a socket of MPTCP is about to claim a connection: its program may have it before the kernel
 * tells us that the handshake is complete, which is the subflow's affair. Its addresses are the
 * connection's, its port was heard of, and its maker is the service; and the connection is not over
 * while its subflow is there.
 */
GLOBAL int is_about_to_claim(struct bpf_sockopt *ctx, const struct connection *connection)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	struct bpf_sock *sk = ctx->sk;

	return sk && header && connection && sk->protocol == IPPROTO_MPTCP &&
	       (connection->claim & CLAIM_STATE) != CLAIM_FREE && connection->heard &&
	       connection->port == bpf_ntohs(sk->dst_port) &&
	       connection->endpoint.port == bpf_htons(sk->src_port) &&
	       connection->hop.netns == bpf_get_netns_cookie(ctx) &&
	       services_of_socket(sk, 1, image, header) &
		       services_of_hop(image, header, connection->hop.service, 0);
}

static __always_inline int socket_get(struct bpf_sockopt *ctx, struct bpf_sock *sk, __u32 option)
{
	__u32 number = number_of_accepted(sk);
	struct connection *connection = number ? connection_get(number) : 0;

	/* As long as the socket is open nobody else has its number. */
	if (connection && (connection_is_server(connection, sock_of(sk)) ||
			   is_about_to_claim(ctx, connection)))
		return accepted_get(ctx, connection, number, option);
	return onward_get(ctx, sk, option);
}

static __always_inline int option_get(struct bpf_sockopt *ctx)
{
	int original = (ctx->level == IPPROTO_IP || ctx->level == IPPROTO_IPV6) &&
		       ctx->optname == SO_ORIGINAL_DST;
	__u32 option = (__u32)ctx->optname >> WAYBILL_FLOW_BITS, number;
	struct bpf_sock *sk;

	if (ctx->level != SOL_WAYBILL && !original)
		return option_leave(ctx);
	sk = ctx->sk;
	if (!sk || !is_supported(sk->protocol))
		return ALLOW;
	if (sk->protocol == IPPROTO_UDP) {
		if (original)
			return ALLOW;
		if (ctx->optname == WAYBILL_FLOW_PEER)
			return flow_answer_get(ctx);
		number = ctx->optname & WAYBILL_FLOW_MASK;
		if (option && option <= WAYBILL_FLOW_TAKE)
			return flow_get_option(ctx, sk, option, number);
	}
	if (original)
		return original_get(ctx, sk);
	if (ctx->optname < WAYBILL_REDIRECT_RECORDS || ctx->optname > WAYBILL_ORIGINAL_DESTINATION)
		return ALLOW;
	return socket_get(ctx, sk, ctx->optname);
}

#endif
