/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * getpeername in the application: the address that it asked for, not the service's. Only while
 * the socket's peer is the one that the connect hook chose; a later connect may have been direct.
 */
#ifndef WAYBILL_KERNEL_PEERNAME_H
#define WAYBILL_KERNEL_PEERNAME_H

#include "connection.h"
#include "datagram.h"

/* The number of the connection that a client's socket has, as far as its addresses tell; else 0. */
static __always_inline __u32 peername_number(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					     const struct waybill_address *peer)
{
	__u32 number = connection_of_address(sk->src_ip4);
	struct connection_key key = {};

	if (number)
		return number;
	key.netns = bpf_get_netns_cookie(ctx);
	__builtin_memcpy(key.server, peer->address, 16);
	if (peer->family == ADDRESS_INET) {
		address_map(key.client, sk->src_ip4);
	} else {
		__u32 source[4] = { sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3] };

		__builtin_memcpy(key.client, source, 16);
	}
	key.client_port = sk->src_port;
	key.server_port = bpf_ntohs(peer->port);
	return connection_of_key(&key);
}

static __always_inline void peername_restore(struct bpf_sock_addr *ctx, int v6)
{
	struct connection *connection;
	struct waybill_address peer;
	struct bpf_sock *sk = ctx->sk;
	__u32 number;
	__u64 claim;

	if (!sk)
		return;
	if (ctx->protocol == IPPROTO_UDP) {
		datagram_receive(ctx, v6);
		return;
	}
	remote_read(ctx, v6, &peer);
	number = peername_number(ctx, sk, &peer);
	connection = number ? connection_get(number) : 0;
	if (!connection_is_client(connection, sock_of(sk)) ||
	    peer.port != connection->endpoint.port ||
	    !address_equal(peer.address, connection->endpoint.address))
		return;
	claim = connection->claim;
	peer = connection->hop.destination;
	/* It was this socket's all the time. */
	if (connection_is_client(connection, sock_of(sk)) &&
	    connection->claim >> CLAIM_BITS == claim >> CLAIM_BITS)
		remote_write(ctx, v6, &peer);
}

#endif
