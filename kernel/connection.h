/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of redirected connections: who has a number, and whose it was before. Nothing tells us
 * that a connection is over. Its two sockets are asked when its number is wanted again, and by each
 * connect that makes another, so nothing is kept for want of an event.
 */
#ifndef WAYBILL_KERNEL_CONNECTION_H
#define WAYBILL_KERNEL_CONNECTION_H

#include "history.h"

/* Tries to find a number when all are given out, or to make room in a share. */
#define CONNECTION_TRIES 256
#define CONNECTION_NEW_TRIES 8
/*
 * Packets of a client that is gone may be under way yet, as of an answer to a SYN cookie, of which
 * no socket knows. And of half-open connections in other network namespaces we cannot ask: there
 * the kernel has sent another SYN-ACK by then, and nobody has answered.
 */
#define CONNECTION_REST (SECOND / 10)
#define CONNECTION_REST_ELSEWHERE (2 * SECOND)

static const struct connection connection_zero;
static const struct history connection_history_zero;

static __always_inline struct connection *connection_get(__u32 number)
{
	return bpf_map_lookup_elem(&connections, &number);
}

/* Takes a connection for writing if nothing happened to it since its claim was read. */
static __always_inline int connection_busy(struct connection *connection, __u64 claim)
{
	return __sync_val_compare_and_swap(&connection->claim, claim,
					   (claim & ~(__u64)CLAIM_STATE) | CLAIM_BUSY) == claim;
}

static __always_inline struct connection_numbers *connection_numbers_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&connection_numbers, &zero);
}

/* The number that an IPv4 address in network byte order has; 0: it is none's. */
static __always_inline __u32 connection_of_address(__u32 ip4)
{
	__u32 address = bpf_ntohl(ip4);

	return (address & ~CONNECTION_MASK) == CONNECTION_ADDRESS4 ? address & CONNECTION_MASK : 0;
}

static __always_inline __u32 connection_of_key(const struct connection_key *key)
{
	__u32 *number = bpf_map_lookup_elem(&connection_index, key);

	return number ? *number : 0;
}

static __always_inline void connection_key_fill(struct connection_key *key,
						const struct connection *connection)
{
	key->netns = connection->hop.netns;
	__builtin_memcpy(key->client, connection->source, 16);
	__builtin_memcpy(key->server, connection->endpoint.address, 16);
	key->client_port = connection->port;
	key->server_port = bpf_ntohs(connection->endpoint.port);
	key->reserved = 0;
}

static __always_inline __u64 socket_cookie(struct sock *sk)
{
	return KERNEL_READ(sk, __sk_common.skc_cookie.counter);
}

/* Address of the subflow with which an MPTCP socket began. */
static __always_inline __u64 first_subflow(struct sock *sk)
{
	return (__u64)BPF_CORE_READ((struct mptcp_sock *)sk, first);
}

/* Whether a socket still is, and somebody has it. */
static __always_inline int socket_is(__u64 address, __u64 cookie)
{
	struct sock *sk = KERNEL_AT(address, struct sock);

	return socket_cookie(sk) == cookie &&
	       KERNEL_READ(sk, __sk_common.skc_refcnt.refs.counter) > 0;
}

/*
 * Whether a client's socket is connected, and by this connection: one that has bound nothing itself
 * is bound to the number of its last one. It may not be yet: then it is in connect(), and locked.
 */
static __always_inline int client_lives(const struct connection *connection)
{
	struct sock *sk = KERNEL_AT(connection->client_socket, struct sock);

	if (!socket_is(connection->client_socket, connection->client))
		return 0;
	if (!connection->indexed &&
	    KERNEL_READ(sk, __sk_common.skc_rcv_saddr) != *(const __u32 *)(connection->source + 12))
		return 0;
	return KERNEL_READ(sk, sk_lock.owned) ||
	       (KERNEL_READ(sk, __sk_common.skc_state) != BPF_TCP_CLOSE &&
		KERNEL_READ(sk, __sk_common.skc_dport) == connection->endpoint.port);
}

static __always_inline __u16 client_port(const struct connection *connection)
{
	struct sock *sk = KERNEL_AT(connection->client_socket, struct sock);

	return KERNEL_READ(sk, __sk_common.skc_num);
}

/* Of MPTCP the record is the parent's, which may outlive the socket that was accepted. */
static __always_inline int server_lives(const struct connection *connection)
{
	struct mptcp_sock *parent = (struct mptcp_sock *)connection->server_parent;

	if (socket_is(connection->server_socket, connection->server))
		return 1;
	return parent && BPF_CORE_READ(parent, local_key) == connection->server_key &&
	       BPF_CORE_READ((struct sock *)parent, __sk_common.skc_refcnt.refs.counter) > 0;
}

/* Whether the server knows of a connection that it has not accepted. */
GLOBAL int connection_is_half_open(struct bpf_sock_addr *ctx, const struct connection *connection)
{
	struct bpf_sock_tuple tuple;
	struct bpf_sock *sk;
	__u32 size, state;

	if (!connection)
		return 0;
	if (address_is_mapped((const __u32 *)connection->source)) {
		tuple.ipv4.saddr = *(const __u32 *)(connection->source + 12);
		tuple.ipv4.daddr = *(const __u32 *)(connection->endpoint.address + 12);
		tuple.ipv4.sport = bpf_htons(connection->port);
		tuple.ipv4.dport = connection->endpoint.port;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, connection->source, 16);
		__builtin_memcpy(tuple.ipv6.daddr, connection->endpoint.address, 16);
		tuple.ipv6.sport = bpf_htons(connection->port);
		tuple.ipv6.dport = connection->endpoint.port;
		size = sizeof(tuple.ipv6);
	}
	sk = bpf_skc_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	state = sk->state;
	bpf_sk_release(sk);
	return state != BPF_TCP_LISTEN;
}

enum over {
	OVER_NOT,
	OVER,
	OVER_UNLESS_HALF_OPEN, /* at its server, in this namespace */
};

/* Whether a connection that was neither free nor busy is over. */
GLOBAL int connection_is_over(struct bpf_sock_addr *ctx, const struct connection *connection)
{
	__u64 age;

	if (!connection || client_lives(connection))
		return OVER_NOT;
	if ((connection->claim & CLAIM_STATE) == CLAIM_TAKEN)
		return server_lives(connection) ? OVER_NOT : OVER;
	/* Its client is another's by now. */
	if (!connection->client)
		return OVER;
	age = bpf_ktime_get_boot_ns() - connection->hop.time;
	if (connection->hop.netns != bpf_get_netns_cookie(ctx))
		return age > CONNECTION_REST_ELSEWHERE ? OVER : OVER_NOT;
	if (age <= CONNECTION_REST)
		return OVER_NOT;
	/* Where its port is not known its server has no half-open one of it: at most a SYN cookie. */
	return connection->port ? OVER_UNLESS_HALF_OPEN : OVER;
}

/* What was counted and kept for a connection. Whoever calls it has made it busy. */
GLOBAL int connection_clear(struct connection *connection)
{
	struct connection_numbers *numbers = connection_numbers_get();
	struct connection_key key;
	__u32 *share, index, number;

	if (!connection || !numbers)
		return 0;
	number = connection->number;
	index = connection->share;
	share = bpf_map_lookup_elem(&shares, &index);
	if (share)
		__sync_fetch_and_add(share, -1);
	__sync_fetch_and_add(&numbers->total, -1);
	if (connection->indexed) {
		__sync_fetch_and_add(&numbers->indexed, -1);
		connection_key_fill(&key, connection);
		if (connection_of_key(&key) == number)
			bpf_map_delete_elem(&connection_index, &key);
	}
	return 1;
}

/*
 * Makes a number ours, if it is nobody's: its element is busy then, and empty of what was before.
 * Returns 0 if it is in use.
 */
static __always_inline int connection_own(struct bpf_sock_addr *ctx, __u32 number,
					  struct connection *connection)
{
	__u64 claim = connection->claim, state = claim & CLAIM_STATE;
	int over;

	if (state == CLAIM_BUSY)
		return 0;
	if (state != CLAIM_FREE) {
		over = connection_is_over(ctx, connection);
		if (over == OVER_NOT ||
		    (over == OVER_UNLESS_HALF_OPEN && connection_is_half_open(ctx, connection)))
			return 0;
	}
	if (!connection_busy(connection, claim))
		return 0;
	/* It was deleted meanwhile, and its memory is another number's: only a new one looks so. */
	if (connection_get(number) != connection) {
		connection->claim = claim;
		return 0;
	}
	if (state != CLAIM_FREE)
		connection_clear(connection);
	return 1;
}

/* A number that is ours becomes nobody's. */
static __always_inline void connection_free(struct connection *connection)
{
	connection->claim = (connection->claim & ~(__u64)CLAIM_STATE) | CLAIM_FREE;
}

static __always_inline __u32 connections_max(void)
{
	struct control *settings = control_get();
	__u32 max = settings ? settings->connections : 0;

	return max < CONNECTIONS_MAX ? max : CONNECTIONS_MAX;
}

/* So many numbers are enough for the connections that there are, with some to choose from. */
static __always_inline __u32 connections_enough(const struct connection_numbers *numbers, __u32 max)
{
	__u32 enough = numbers->total + numbers->total / 2;

	enough = enough < CONNECTIONS_SPREAD ? CONNECTIONS_SPREAD : enough;
	return enough < max ? enough : max;
}

/*
 * Looks at one number, from the highest down: whether it is over. Beyond those that are enough it
 * goes, and if it is the last one, so does its number.
 */
GLOBAL int connection_sweep(struct bpf_sock_addr *ctx)
{
	struct connection_numbers *numbers = connection_numbers_get();
	struct connection *connection;
	__u32 at, high, last, enough;

	if (!numbers)
		return 0;
	high = numbers->high;
	if (high < 2)
		return 0;
	at = __sync_fetch_and_add(&numbers->sweep, -1);
	if (!at || at >= high) {
		at = high - 1;
		numbers->sweep = at - 1;
	}
	last = at == high - 1;
	enough = connections_enough(numbers, connections_max());
	connection = connection_get(at);
	if (connection) {
		/* Most have been looked at, and wait for their turn. */
		if (at < enough && (connection->claim & CLAIM_STATE) == CLAIM_FREE)
			return 0;
		if (!connection_own(ctx, at, connection))
			return 0;
		if (at < enough) {
			connection_free(connection);
			return 1;
		}
		bpf_map_delete_elem(&connection_histories, &at);
		bpf_map_delete_elem(&connections, &at);
	}
	/* The next one to look at is the last one then. */
	if (last && at >= enough && __sync_val_compare_and_swap(&numbers->high, high, at) == high)
		numbers->sweep = at - 1;
	return 1;
}

struct connection_search {
	struct bpf_sock_addr *ctx;
	__u32 range;
	__u32 found;
};

/* Takes a number, which is ours then, if it is nobody's. */
GLOBAL int connection_take(struct bpf_sock_addr *ctx, __u32 number)
{
	struct connection *connection = connection_get(number);

	if (!connection) {
		bpf_map_update_elem(&connections, &number, &connection_zero, BPF_NOEXIST);
		connection = connection_get(number);
	}
	return connection && connection_own(ctx, number, connection);
}

static long connection_try(__u32 unused, struct connection_search *search)
{
	struct connection_numbers *numbers = connection_numbers_get();
	__u32 number;

	if (!numbers)
		return 1;
	/* Spread over all of them, so that many that live together are not tried together. */
	number = __sync_fetch_and_add(&numbers->next, 1) * 0x9e3779b1U;
	number = (__u64)number * search->range >> 32;
	if (number && connection_take(search->ctx, number))
		search->found = number;
	return search->found != 0;
}

/*
 * Finds a number, which is ours then. 0: there is none. Most connections are short, so one of the
 * last that were given out is likely to be free again; else any; else one more; else, if there are
 * no more, whatever there is.
 */
GLOBAL __u32 connection_find_number(struct bpf_sock_addr *ctx)
{
	struct connection_numbers *numbers = connection_numbers_get();
	struct connection_search search = { .ctx = ctx };
	__u32 max = connections_max(), high, number, i;

	if (!numbers || max < CONNECTIONS_MIN)
		return 0;
	/* 0 is no number. */
	if (!numbers->high)
		__sync_val_compare_and_swap(&numbers->high, 0, 1);
	high = numbers->high;
	if (high > CONNECTIONS_SPREAD) {
		number = high - 1 - numbers->next % CONNECTIONS_SPREAD;
		if (connection_take(ctx, number)) {
			__sync_fetch_and_add(&numbers->next, 1);
			return number;
		}
		search.range = high;
		bpf_loop(1, connection_try, &search, 0);
		if (search.found)
			return search.found;
	}
	/* Another may be faster to take one that is given out: as one of the last. */
	LOOP
	for (i = 0; i < CONNECTION_NEW_TRIES; i++) {
		number = __sync_fetch_and_add(&numbers->high, 1);
		if (number >= max) {
			__sync_fetch_and_add(&numbers->high, -1);
			break;
		}
		if (connection_take(ctx, number))
			return number;
	}
	search.range = numbers->high < max ? numbers->high : max;
	bpf_loop(CONNECTION_TRIES, connection_try, &search, 0);
	return search.found;
}

static __always_inline int connections_left(const __u32 *share,
					    const struct connection_numbers *numbers, __u32 max)
{
	__u32 total = numbers->total;

	return total < max && *share < max - total;
}

static long connection_sweep_one(__u32 unused, struct bpf_sock_addr **ctx)
{
	connection_sweep(*ctx);
	return 0;
}

/*
 * Looks whether others are over, and whether there is room in a share. A user may have as many connections as are left for the others,
 * so whoever has none finds room. What is over counts until it is found.
 */
GLOBAL int connection_room(struct bpf_sock_addr *ctx, __u32 account)
{
	struct connection_numbers *numbers = connection_numbers_get();
	__u32 *share, max = connections_max();

	share = share_of(&shares, account);
	if (!numbers || !share)
		return 0;
	/* Few numbers are all tried in turn, and looked at thereby. Of many it is one besides. */
	if (numbers->high > CONNECTIONS_SPREAD + 1)
		connection_sweep(ctx);
	if (connections_left(share, numbers, max))
		return 1;
	bpf_loop(CONNECTION_TRIES, connection_sweep_one, &ctx, 0);
	return connections_left(share, numbers, max);
}

/* A number that is ours is counted in a share. */
GLOBAL int connection_count(struct connection *connection, __u32 number, __u32 account)
{
	struct connection_numbers *numbers = connection_numbers_get();
	__u32 index = share_index(account), *share = bpf_map_lookup_elem(&shares, &index);

	if (!connection || !numbers || !share)
		return 0;
	__sync_fetch_and_add(share, 1);
	__sync_fetch_and_add(&numbers->total, 1);
	/* Before anything else of the connection is: what it was before is nobody's any more. */
	connection->client = 0;
	connection->client_socket = 0;
	connection->client_parent = 0;
	connection->server = 0;
	connection->server_socket = 0;
	connection->server_parent = 0;
	connection->number = number;
	connection->share = index;
	connection->history = 0;
	connection->indexed = 0;
	connection->port = 0;
	connection->heard = 0;
	return 1;
}

/* A number that was ours to fill in is nobody's after all. */
static __always_inline void connection_abandon(struct connection *connection)
{
	connection_clear(connection);
	connection_free(connection);
}

/*
 * Whether a number is that of the connection that a socket has made, or has accepted. As long as it
 * is there nobody else has its number: what is busy is so for a moment, and none of this changes.
 */
static __always_inline int connection_is_client(const struct connection *connection,
						struct sock *sk)
{
	if (!connection || (connection->claim & CLAIM_STATE) == CLAIM_FREE)
		return 0;
	if (connection->client_socket == (__u64)sk)
		return connection->client == socket_cookie(sk);
	/* Its memory may be another's by now: so the subflow is asked for that it began with. */
	return connection->client_parent && connection->client_parent == (__u64)sk &&
	       first_subflow(sk) == connection->client_socket &&
	       socket_cookie(KERNEL_AT(connection->client_socket, struct sock)) ==
		       connection->client;
}

static __always_inline int connection_is_server(const struct connection *connection,
						struct sock *sk)
{
	if (!connection || (connection->claim & CLAIM_STATE) == CLAIM_FREE)
		return 0;
	if (connection->server_socket == (__u64)sk)
		return connection->server == socket_cookie(sk);
	return connection->server_parent && connection->server_parent == (__u64)sk &&
	       connection->server_key == BPF_CORE_READ((struct mptcp_sock *)sk, local_key);
}

/*
 * A client's socket is used again: the connection that it had is its no more. It is busy meanwhile,
 * since another may have found it over just now, and be about to fill it in for somebody else.
 */
static __always_inline void connection_leave(struct connection *connection, __u32 number,
					     struct sock *sk)
{
	__u64 claim = connection->claim;

	if ((claim & CLAIM_STATE) <= CLAIM_BUSY || !connection_is_client(connection, sk) ||
	    !connection_busy(connection, claim))
		return;
	if (connection_get(number) == connection) {
		connection->client = 0;
		connection->client_socket = 0;
		connection->client_parent = 0;
	}
	connection->claim = claim;
}

#endif
