/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sources of redirected connections. A client that has bound nothing is bound to the address that
 * is its connection's number, and the kernel chooses the port. All others keep what they have; whose
 * port is not known is bound to one, so that the connection can be found by its addresses.
 */
#ifndef WAYBILL_KERNEL_SOURCE_H
#define WAYBILL_KERNEL_SOURCE_H

#include "ask.h"
#include "connection.h"

/* A sockaddr_in or sockaddr_in6. */
struct source {
	union {
		struct {
			__u16 family, port;
			__u32 address;
			__u8 unused[8];
		} v4;
		struct {
			__u16 family, port;
			__u32 flow;
			__u32 address[4];
			__u32 scope;
		} v6;
	};
};

_Static_assert(sizeof(struct source) == SOCKADDR_IN6_SIZE, "as large as the larger one");

#define SOURCE_PORT_TRIES 1024

/* Binds a socket that has no port. port: host byte order, or 0. Returns 0 or a negative errno. */
GLOBAL int source_bind(struct bpf_sock_addr *ctx, __u32 v6, const struct waybill_address *address,
		       __u32 port)
{
	struct source source = {};
	const __u32 *word;

	if (!address)
		return -EINVAL;
	word = (const __u32 *)address->address;
	if (!v6) {
		source.v4.family = ADDRESS_INET;
		source.v4.port = bpf_htons(port);
		source.v4.address = word[3];
		return bpf_bind(ctx, (void *)&source, sizeof(source.v4));
	}
	source.v6.family = ADDRESS_INET6;
	source.v6.port = bpf_htons(port);
	/* To no address: also not to IPv4 alone. */
	if (!address_is_mapped(word) || word[3])
		__builtin_memcpy(source.v6.address, word, 16);
	return bpf_bind(ctx, (void *)&source, sizeof(source.v6));
}

/* The ports that the kernel would choose from. */
struct source_ports {
	__u32 low, high;
	unsigned long *reserved;
};

static __always_inline void source_ports_of(struct sock *sk, struct source_ports *ports)
{
	struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	struct local_ports___words *words = 0;
	__u32 range;

	if (bpf_core_field_exists(words->range)) {
		words = (void *)&net->ipv4.ip_local_ports;
		ports->low = BPF_CORE_READ(words, range[0]);
		ports->high = BPF_CORE_READ(words, range[1]);
	} else {
		range = BPF_CORE_READ(net, ipv4.ip_local_ports.range);
		ports->low = range & 0xffff;
		ports->high = range >> 16;
	}
	ports->reserved = BPF_CORE_READ(net, ipv4.sysctl_local_reserved_ports);
}

static __always_inline int source_port_is_reserved(const struct source_ports *ports, __u32 port)
{
	unsigned long word = 0;

	if (!ports->reserved ||
	    bpf_probe_read_kernel(&word, sizeof(word), ports->reserved + port / 64))
		return 0;
	return word >> port % 64 & 1;
}

struct source_search {
	struct bpf_sock_addr *ctx;
	const struct waybill_address *address;
	struct source_ports ports;
	__u32 v6, start, found;
};

static long source_try(__u32 i, struct source_search *search)
{
	struct source_ports *ports = &search->ports;
	/* With a stride, since neighbours tend to be taken alike. */
	__u32 port = ports->low + (search->start + i * 7919) % (ports->high - ports->low + 1);

	if (source_port_is_reserved(ports, port) ||
	    source_bind(search->ctx, search->v6, search->address, port))
		return 0;
	search->found = port;
	return 1;
}

/* Binds to a port that is free, at an address. Returns it; 0: none was found. */
GLOBAL __u32 source_bind_port(struct bpf_sock_addr *ctx, __u32 v6,
			      const struct waybill_address *address)
{
	struct source_search search = { .ctx = ctx, .address = address, .v6 = v6 };
	struct bpf_sock *sk = ctx->sk;

	if (!sk || !address)
		return 0;
	source_ports_of(sock_of(sk), &search.ports);
	if (!search.ports.low || search.ports.high < search.ports.low)
		return 0;
	search.start = bpf_get_prandom_u32() & 0xffff;
	bpf_loop(SOURCE_PORT_TRIES, source_try, &search, 0);
	return search.found;
}

static __always_inline int source_is_chosen(const struct waybill_address *local)
{
	return local->port ||
	       (local->family == ADDRESS_INET ? ((const __u32 *)local->address)[3] :
						!address_is_zero((const __u32 *)local->address));
}

/*
 * The number of a connection becomes the client's address. local is what it is bound to, with its
 * port. Returns 0 if that cannot be: then it is found by its addresses.
 */
GLOBAL int source_number(struct bpf_sock_addr *ctx, __u32 v6, const struct waybill_address *local,
			 struct connection *connection)
{
	struct waybill_address source = { .family = ADDRESS_INET };

	if (!connection || !local || connection->endpoint.family != ADDRESS_INET ||
	    source_is_chosen(local))
		return 0;
	address_map(source.address, bpf_htonl(CONNECTION_ADDRESS4 | connection->number));
	if (source_bind(ctx, v6, &source, 0))
		return 0;
	__builtin_memcpy(connection->source, source.address, 16);
	return 1;
}

/* Where the kernel will say that a client comes from which is bound to local, or to no address. */
static __always_inline void source_expect(__u8 source[16], const struct waybill_address *local,
					  __u16 family)
{
	__u32 *word = (__u32 *)source;

	__builtin_memcpy(word, local->address, 16);
	if (family == ADDRESS_INET) {
		if (!address_is_mapped(word) || !word[3])
			address_map(source, bpf_htonl(ADDRESS_LOOPBACK4));
	} else if (address_is_zero(word)) {
		word[3] = bpf_htonl(1);
	}
}

/*
 * A connection is found by its addresses: its client's address and port become known. Returns the
 * number of another with the same, or 0.
 */
GLOBAL __u32 source_same(struct bpf_sock_addr *ctx, const struct waybill_address *local,
			 struct connection *connection)
{
	struct connection *other;
	struct connection_key key;
	struct bpf_sock *sk = ctx->sk;
	__u32 number;

	if (!connection || !local || !sk)
		return 0;
	source_expect(connection->source, local, connection->endpoint.family);
	connection->port = bpf_ntohs(local->port);
	connection_key_fill(&key, connection);
	number = connection_of_key(&key);
	other = number ? connection_get(number) : 0;
	/* That this socket had before, it has no more. */
	if (other)
		connection_leave(other, number, sock_of(sk));
	return number;
}

/*
 * Another with the same addresses, whose client is gone, but not its accepted socket: that knows its
 * number, so it need not be found any more. Returns whether that is so. It is busy meanwhile, so that
 * nobody else thinks the place in the index his.
 */
GLOBAL int source_displace(__u32 number)
{
	struct connection_numbers *numbers = connection_numbers_get();
	struct connection *connection = connection_get(number);
	struct connection_key key;
	int displaced = 0;
	__u64 claim;

	if (!connection || !numbers)
		return 0;
	claim = connection->claim;
	if ((claim & CLAIM_STATE) != CLAIM_TAKEN || !connection_busy(connection, claim))
		return 0;
	if (connection_get(number) == connection && connection->indexed &&
	    !client_lives(connection)) {
		connection_key_fill(&key, connection);
		if (connection_of_key(&key) == number)
			bpf_map_delete_elem(&connection_index, &key);
		connection->indexed = 0;
		__sync_fetch_and_add(&numbers->indexed, -1);
		displaced = 1;
	}
	connection->claim = claim;
	return displaced;
}

/* From now on it is found. Returns 0 or a positive errno. */
GLOBAL int source_index(struct connection *connection)
{
	struct connection_numbers *numbers = connection_numbers_get();
	struct connection_key key;
	__u32 number;
	int error;

	if (!connection || !numbers)
		return EAGAIN;
	number = connection->number;
	connection_key_fill(&key, connection);
	error = bpf_map_update_elem(&connection_index, &key, &number, BPF_NOEXIST);
	if (error)
		return error == -EEXIST ? EADDRNOTAVAIL : EAGAIN;
	connection->indexed = 1;
	__sync_fetch_and_add(&numbers->indexed, 1);
	return 0;
}

/*
 * The connection is found by its addresses. One with the same that is over gives way; if it lives,
 * or may be accepted yet, the kernel could not connect either. Returns 0 or a positive errno.
 */
static __always_inline int source_find_by(struct bpf_sock_addr *ctx, __u32 v6,
					  struct waybill_address *local,
					  struct connection *connection)
{
	struct connection *other;
	__u32 same;

	if (!local->port)
		local->port = bpf_htons(source_bind_port(ctx, v6, local));
	if (!local->port)
		return EADDRNOTAVAIL;
	same = source_same(ctx, local, connection);
	if (same) {
		if (connection_take(ctx, same)) {
			other = connection_get(same);
			if (other)
				connection_free(other);
		} else if (!source_displace(same)) {
			return EADDRNOTAVAIL;
		}
	}
	return source_index(connection);
}

/*
 * A socket that was bound to a number is used again. Where it goes off this host it gives that back,
 * and is bound to nothing again; within it, a loopback address serves as well as another. What goes
 * to IPv6 may be redirected again; else it cannot go at all.
 */
GLOBAL int source_return(struct bpf_sock_addr *ctx, __u32 v6, const struct waybill_address *to,
			 __u32 number)
{
	struct waybill_address nothing = {};
	struct connection *connection;
	struct bpf_sock *sk = ctx->sk;

	if (!to || !sk)
		return 0;
	connection = connection_get(number);
	if (connection)
		connection_leave(connection, number, sock_of(sk));
	if (to->family == ADDRESS_INET && !address_is_loopback((const __u32 *)to->address))
		source_bind(ctx, v6, &nothing, 0);
	return 1;
}

/* One that has bound its port is: the same addresses may not mean the same connection. */
GLOBAL int source_again(struct bpf_sock_addr *ctx, const struct waybill_address *local,
			const struct waybill_address *to)
{
	struct connection_key key = {};
	struct connection *connection;
	struct bpf_sock *sk = ctx->sk;
	__u32 number;

	if (!sk || !local || !to)
		return 0;
	key.netns = bpf_get_netns_cookie(ctx);
	source_expect(key.client, local, to->family);
	__builtin_memcpy(key.server, to->address, 16);
	key.client_port = sk->src_port;
	key.server_port = bpf_ntohs(to->port);
	number = connection_of_key(&key);
	connection = number ? connection_get(number) : 0;
	if (connection)
		connection_leave(connection, number, sock_of(sk));
	return 1;
}

#endif
