/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * setsockopt: records put on an onward socket, or on a flow of datagrams that is about to begin;
 * and the flow of another peer. Who the caller is comes first, then the MAC over every byte
 * beside a walk over the parts; only what passes both is kept.
 */
#ifndef WAYBILL_KERNEL_SETSOCKOPT_H
#define WAYBILL_KERNEL_SETSOCKOPT_H

#include "option.h"

/*
 * Refuses records, counted. Another instance whose records they are may still take them: it sets
 * the return value to 0, and optlen to -1, which keeps the option from the kernel proper.
 */
static __always_inline int records_refuse(int error)
{
	count(error == EACCES      ? COUNT_RECORDS_FOREIGN :
	      error == EKEYEXPIRED ? COUNT_RECORDS_EXPIRED :
				     COUNT_RECORDS_BAD);
	return option_fail(error);
}

/* What a walk over the bytes of a blob has found. */
struct records_checked {
	struct record_mac mac;
	struct records_reading reading;
	__u32 bad;
};

struct records_checking {
	const void *in, *end;
	struct records_checked *checked;
};

static long records_check_word(__u32 i, struct records_checking *checking)
{
	struct records_checked *checked = checking->checked;
	const __u64 *at = checking->in + i * 8;
	__u64 word;

	if (i >= RECORDS_WORDS_MAX || (const void *)(at + 1) > checking->end) {
		checked->bad = 1;
		return 1;
	}
	word = *at;
	record_mac_word(&checked->mac, word);
	if (i >= RECORDS_HEADER_SIZE / 8 &&
	    records_read_word(&checked->reading, i * 8 - RECORDS_HEADER_SIZE, word) ==
		    RECORDS_MALFORMED)
		checked->bad = 1;
	return 0;
}

/* The MAC of so many words of the value, from an offset on, and what the parts in them are. */
GLOBAL int records_walk(struct bpf_sockopt *ctx, __u32 offset, __u32 words,
			struct records_checked *checked)
{
	struct records_checking checking = { .checked = checked };

	if (!checked || offset > WAYBILL_RECORDS_MAX)
		return 0;
	checking.in = ctx->optval + offset;
	checking.end = ctx->optval_end;
	bpf_loop(words, records_check_word, &checking, 0);
	return 0;
}

/* Checks records, offset bytes into the value. Returns 0 or a positive errno. */
static __always_inline int records_check(struct bpf_sockopt *ctx, __u32 offset, __u32 length)
{
	const void *in = ctx->optval + offset, *end = ctx->optval_end;
	const struct records_header *header = in;
	struct records_checked checked = {};
	__u64 sum[2], now, expire;
	const __u64 *claimed;
	struct record_key secret;
	struct key *key;

	if ((const void *)(header + 1) > end || !records_header_valid(header, length))
		return EBADMSG;
	key = header->key ? key_find(header->key) : 0;
	if (!key)
		return EBADMSG;
	secret = key->key;
	record_mac_begin(&checked.mac, &secret);
	records_walk(ctx, offset, (length - RECORDS_MAC_SIZE) / 8, &checked);
	record_mac_end(&checked.mac, sum);
	claimed = in + ((length - RECORDS_MAC_SIZE) & (WAYBILL_RECORDS_MAX - 1));
	if ((const void *)(claimed + 2) > end || ((claimed[0] ^ sum[0]) | (claimed[1] ^ sum[1])) ||
	    checked.bad || !records_reading_ended(&checked.reading, header))
		return EBADMSG;
	now = bpf_ktime_get_boot_ns();
	expire = records_expire();
	/* A retired key is good for as long as records made with it are. */
	if (now - header->issued > expire || (key->retired && now - key->retired > expire))
		return EKEYEXPIRED;
	return header->service && current_is(header->service, 0) ? 0 : EACCES;
}

/* The parts of checked records, on their way into a history. */
struct history_reading {
	const void *in, *end;
	struct history *history;
	struct records_reading *reading;
};

static long history_read_word(__u32 i, struct history_reading *copy)
{
	struct records_reading *reading = copy->reading;
	struct history *history = copy->history;
	const __u64 *at = copy->in + i * 8;
	__u32 hops = reading->hop_count;
	__u64 word;

	if (i >= HISTORY_PARTS_MAX / 8 || (const void *)(at + 1) > copy->end)
		return 1;
	word = *at;
	history->parts[i] = word;
	/* The second word of a hop has its filter, which is 0 if it was presumed. */
	if (hops && i * 8 == reading->last_hop + 8 && !(__u32)word)
		history->presumed |= 1 << ((hops - 1) & (WAYBILL_HOPS_MAX - 1));
	switch (records_read_word(reading, i * 8, word)) {
	case RECORDS_MALFORMED:
		return 1;
	case RECORDS_HOP:
		history->hop[hops & (WAYBILL_HOPS_MAX - 1)] = i * 8;
		break;
	case RECORDS_ORIGINATOR:
		history->originator = i * 8 + 8;
		break;
	case RECORDS_WORD:
		break;
	}
	return 0;
}

/*
 * Fills in a history with the parts of checked records, offset bytes into the value. Returns 0 if
 * they are not what they were. reading is all 0.
 */
GLOBAL int history_read(struct bpf_sockopt *ctx, __u32 offset, __u32 length,
			struct history *history, struct records_reading *reading)
{
	struct history_reading copy = { .history = history, .reading = reading };

	if (!history || !reading || offset > WAYBILL_RECORDS_MAX)
		return 0;
	history_clear(history);
	history->presumed = 0;
	history->used = 0;
	copy.in = ctx->optval + offset;
	copy.end = ctx->optval_end;
	bpf_loop(length / 8, history_read_word, &copy, 0);
	if (reading->next_part != length)
		return 0;
	history->hop_count = reading->hop_count;
	history->length = length;
	return 1;
}

/* A flow is in the share of its originator, whom its records only tell. Returns 0 or an errno. */
static __always_inline int flow_hand_over(struct datagram_flow *flow, __u32 account)
{
	__u32 before = flow->originator.account;

	if (before == account)
		return 0;
	if (!flow_share_take(account) && !(flow_make_room() && flow_share_take(account)))
		return ENOBUFS;
	flow->originator.account = account;
	flow_share_give(before);
	return 0;
}

/* The records of the flow that this socket is about to begin. Returns 0 or an errno. */
static __always_inline int flow_records_set(struct bpf_sockopt *ctx, struct bpf_sock *sk,
					    const struct waybill_address *to, __u32 offset,
					    __u32 length)
{
	struct waybill_address destination = *to;
	struct records_reading reading = {};
	const struct records_hop *first;
	struct datagram_flow *flow;
	struct history *history;
	struct datagrams *own;
	__u32 number;
	int error = 0;

	if (destination.family != ADDRESS_INET && destination.family != ADDRESS_INET6)
		return EINVAL;
	own = datagrams_make(bpf_sk_storage_get(&datagrams, sk, 0, BPF_SK_STORAGE_GET_F_CREATE));
	if (!own)
		return ENOMEM;
	if (flow_find(own->socket, &destination))
		return EISCONN;
	number = flow_make(own->socket, &destination, account_of_current(), 1);
	flow = number ? flow_get(number) : 0;
	history = flow ? bpf_map_lookup_elem(&flow_histories, &number) : 0;
	if (!history)
		return ENOBUFS;
	first = history_read(ctx, offset, length, history, &reading) ? history_hop(history, 0) : 0;
	error = first ? flow_hand_over(flow, history_account(history, first->client.uid)) : EBADMSG;
	if (error) {
		flow_end(number, own->socket);
		return error;
	}
	flow->state = FLOW_RECORDS;
	flow->used = bpf_ktime_get_boot_ns();
	if (flow_publish(own->socket, &destination, number) != number)
		return EISCONN;
	flow_keep(own, number);
	return 0;
}

#define NO_MARK (~0ULL)

/*
 * The originator's mark, and his priority above it; NO_MARK: none to be kept. What he may set in his
 * network namespace means nothing in another.
 */
GLOBAL __u64 mark_find(const struct history *history, __u64 netns)
{
	const struct records_originator *originator;
	const struct records_hop *first;
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	__u64 mark;

	if (!history || !header || header->flags & POLICY_LOSE_MARK)
		return NO_MARK;
	first = history_hop(history, 0);
	if (!first || first->netns != netns)
		return NO_MARK;
	originator = history_originator(history);
	if (!originator)
		return NO_MARK;
	mark = originator->mark;
	return mark | (__u64)originator->priority << 32;
}

/*
 * What is carried on for an originator goes where his own packets would have gone, by rules on marks:
 * those of a VPN keep its own out of its tunnel, and would lead what a service sends for it back. What
 * the service itself has set stays.
 */
static __always_inline void socket_mark(struct bpf_sockopt *ctx, struct bpf_sock *sk,
					const struct history *history)
{
	__u64 found = mark_find(history, bpf_get_netns_cookie(ctx));
	int mark = found, priority = found >> 32;

	if (found == NO_MARK)
		return;
	if (mark && !sk->mark)
		bpf_setsockopt(sk, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	if (priority && !sk->priority)
		bpf_setsockopt(sk, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority));
}

/* The records of a socket's next connection. Returns 0 or an errno. */
static __always_inline int socket_records_set(struct bpf_sockopt *ctx, struct bpf_sock *sk,
					      __u32 offset, __u32 length)
{
	struct records_reading reading = {};
	struct history *history =
		bpf_sk_storage_get(&histories, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!history) {
		count(COUNT_NO_MEMORY);
		return ENOMEM;
	}
	if (!history_read(ctx, offset, length, history, &reading))
		return EBADMSG;
	socket_mark(ctx, sk, history);
	return 0;
}

/* What a service tells: the peer by which its client is to hear it. */
static __always_inline int flow_peer_set(struct bpf_sockopt *ctx)
{
	struct waybill_flow_peer *peer = ctx->optval;
	__u64 thread = bpf_get_current_pid_tgid(), id, of, socket;
	struct waybill_address address;
	struct datagram_flow *flow, *made;
	struct history *history;
	__u32 number;

	if ((void *)(peer + 1) > ctx->optval_end || ctx->optlen != sizeof(*peer))
		return option_fail(EINVAL);
	of = flow_of_socket(ctx, peer->flow);
	flow = flow_of_id(peer->flow, of);
	if (!flow)
		return bpf_get_retval() < 0 ? ALLOW : option_fail(ENOENT);
	socket = flow->socket;
	address = peer->peer;
	if (address.family != flow->hop.destination.family || !address.port || flow->connected ||
	    (address.family == ADDRESS_INET && !address_is_mapped((const __u32 *)address.address)))
		return option_fail(EINVAL);
	number = flow_find(socket, &address);
	if (!number) {
		number = flow_make(socket, &address, flow->originator.account, flow->history);
		made = number ? flow_get(number) : 0;
		if (!made) {
			count(COUNT_FLOW_FULL);
			return option_fail(ENOBUFS);
		}
		history = flow->history ? bpf_map_lookup_elem(&flow_histories, &peer->flow) : 0;
		if (flow->history && (!history || !flow_history_copy(number, history))) {
			flow_end(number, socket);
			return option_fail(ENOBUFS);
		}
		id = made->hop.flow;
		made->originator = flow->originator;
		made->hop = flow->hop;
		made->hop.flow = id;
		made->hop.destination = address;
		made->hop.time = made->issued = made->used = bpf_ktime_get_boot_ns();
		made->hop_count = flow->hop_count;
		made->context_size = flow->context_size;
		made->port = flow->port;
		made->taken = flow->taken;
		flow_is_whole();
		made->state = FLOW_REDIRECTED;
		/* What was copied was that flow's, and not of whoever has its memory since. */
		if (!flow_of_id(peer->flow, of)) {
			flow_end(number, socket);
			return option_fail(ENOENT);
		}
		number = flow_publish(socket, &address, number);
	}
	if (!number || bpf_map_update_elem(&flow_answers, &thread, &number, BPF_ANY))
		return option_fail(ENOBUFS);
	return option_taken(ctx);
}

static __always_inline int option_set(struct bpf_sockopt *ctx)
{
	struct waybill_flow_records *given = ctx->optval;
	__u32 length = ctx->optlen, offset = 0, number;
	void *end = ctx->optval_end;
	struct bpf_sock *sk;
	int of_flow, error;

	if (ctx->level != SOL_WAYBILL ||
	    (ctx->optname != WAYBILL_REDIRECT_RECORDS && ctx->optname != WAYBILL_FLOW_RECORDS &&
	     ctx->optname != WAYBILL_FLOW_PEER))
		return option_leave(ctx);
	/* Another instance has taken them. */
	if (ctx->optlen < 0)
		return ALLOW;
	of_flow = ctx->optname != WAYBILL_REDIRECT_RECORDS;
	sk = ctx->sk;
	if (!sk || !policy_in_force() || !is_supported(sk->protocol) ||
	    (of_flow && sk->protocol != IPPROTO_UDP))
		return ALLOW;
	if (ctx->optname == WAYBILL_FLOW_PEER)
		return flow_peer_set(ctx);
	/* Nobody here; but another instance may know the caller, and what it says stands. */
	if (!current_is(0, 0))
		return bpf_get_retval() < 0 ? ALLOW : records_refuse(EACCES);
	/* An accepted socket keeps its own records, also when its client has reset it. */
	number = number_of_accepted(sk);
	if (!of_flow && (sk->state != BPF_TCP_CLOSE ||
			 (number && connection_is_server(connection_get(number),
							 sock_of(sk)))))
		return option_fail(EISCONN);
	if (of_flow) {
		if (length < sizeof(*given) || (void *)(given + 1) > end)
			return records_refuse(EBADMSG);
		offset = sizeof(*given);
		length -= sizeof(*given);
	}
	if (length > WAYBILL_RECORDS_MAX)
		return records_refuse(EBADMSG);
	error = records_check(ctx, offset, length);
	if (error)
		return records_refuse(error);
	length -= RECORDS_HEADER_SIZE + RECORDS_MAC_SIZE;
	offset += RECORDS_HEADER_SIZE;
	/* With one more hop they would be too long. The kernel half gives no such records. */
	if (length > HISTORY_PARTS_MAX)
		return option_fail(ELOOP);
	error = of_flow ? flow_records_set(ctx, sk, &given->destination, offset, length) :
			  socket_records_set(ctx, sk, offset, length);
	if (error == ENOBUFS)
		count(COUNT_FLOW_FULL);
	if (error)
		return error == EBADMSG ? records_refuse(error) : option_fail(error);
	count(COUNT_RECORDS_SET);
	return option_taken(ctx);
}

#endif
