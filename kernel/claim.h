/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Services' sockets claim the connections that they accept. What the kernel tells of here is a
 * socket of a service, or below a cgroup of one: applications' sockets have nothing of it.
 */
#ifndef WAYBILL_KERNEL_CLAIM_H
#define WAYBILL_KERNEL_CLAIM_H

#include "connection.h"
#include "identity.h"

/*
 * The two addresses of a socket that was accepted, or is about to be: the client is the other end.
 * Those of IPv4 are in fields of their own on all sockets that have them.
 */
static __always_inline void claim_key_fill(struct bpf_sock_ops *event, struct connection_key *key)
{
	/* The verifier wants every load from the context by itself, as it is written here. */
	volatile struct bpf_sock_ops *ctx = event;
	__u32 far[4] = { ctx->remote_ip6[0], ctx->remote_ip6[1], ctx->remote_ip6[2],
			 ctx->remote_ip6[3] };

	if (ctx->family == ADDRESS_INET || address_is_mapped(far)) {
		address_map(key->client, ctx->remote_ip4);
		address_map(key->server, ctx->local_ip4);
	} else {
		__u32 near[4] = { ctx->local_ip6[0], ctx->local_ip6[1], ctx->local_ip6[2],
				  ctx->local_ip6[3] };

		__builtin_memcpy(key->client, far, 16);
		__builtin_memcpy(key->server, near, 16);
	}
	key->client_port = bpf_ntohl(ctx->remote_port);
	key->server_port = ctx->local_port;
	key->reserved = 0;
	key->netns = bpf_get_netns_cookie(event);
}

/*
 * Whether the two addresses may be those of a connection: that of most that are not redirected is no
 * number, and few that are have none.
 */
static __always_inline int claim_may_be(struct bpf_sock_ops *ctx)
{
	struct connection_numbers *numbers;

	if (connection_of_address(ctx->remote_ip4))
		return 1;
	numbers = connection_numbers_get();
	return numbers && numbers->indexed;
}

/* The number that the addresses have. */
static __always_inline __u32 claim_number(const struct connection_key *key)
{
	const __u32 *client = (const __u32 *)key->client;
	__u32 number = address_is_mapped(client) ? connection_of_address(client[3]) : 0;

	return number ? number : connection_of_key(key);
}

/* Whether a connection goes where these addresses say. */
static __always_inline int claim_fits(const struct connection *connection,
				      const struct connection_key *key)
{
	return (connection->claim & CLAIM_STATE) == CLAIM_OPEN &&
	       connection->hop.netns == key->netns &&
	       connection->endpoint.port == bpf_htons(key->server_port) &&
	       address_equal(connection->endpoint.address, key->server);
}

/*
 * A SYN is about to be answered. That it is the client's, only the client can tell, and he may be
 * gone when the handshake is complete: so he is asked now for the port that the kernel has chosen.
 * Whoever else comes from his address and port once he is gone is not he.
 */
static __always_inline void claim_begin(const struct connection_key *key)
{
	__u32 number = claim_number(key);
	struct connection *connection = number ? connection_get(number) : 0;

	if (!connection || !claim_fits(connection, key))
		return;
	if (!client_lives(connection)) {
		connection->heard = 0;
	} else if (client_port(connection) == key->client_port) {
		connection->port = key->client_port;
		connection->heard = 1;
	}
}

/*
 * Whether a socket was accepted by its service: somebody else may have come to listen at the port
 * since it was looked for.
 */
static __always_inline int claim_is_service(struct bpf_sock *sk, __u32 service)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;

	return header && services_of_socket(sk, 0, image, header) &
				 services_of_hop(image, header, service, 0);
}

/* The handshake is complete. */
static __always_inline int claim_end(struct bpf_sock_ops *ctx, const struct connection_key *key,
				     __u32 number)
{
	struct connection *connection = connection_get(number);
	struct accepted accepted = { .number = number };
	struct bpf_sock *sk = ctx->sk;
	struct sock *parent;
	__u64 claim;

	if (!connection || !sk)
		return 0;
	claim = connection->claim;
	if ((claim & CLAIM_STATE) != CLAIM_OPEN || !claim_fits(connection, key))
		return 0;
	if (!(connection->heard && connection->port == key->client_port) &&
	    (!client_lives(connection) || client_port(connection) != key->client_port))
		return 0;
	if (!claim_is_service(sk, connection->hop.service))
		return 0;
	accepted.claim = claim | CLAIM_TAKEN;
	if (connection->indexed &&
	    !storage_get(&accepts, sk, &accepted, BPF_SK_STORAGE_GET_F_CREATE))
		return 0;
	if (!connection_busy(connection, claim))
		return 0;
	parent = sock_parent(sk);
	connection->server = bpf_get_socket_cookie(ctx);
	connection->server_socket = (__u64)sock_of(sk);
	connection->server_parent = (__u64)parent;
	connection->server_key = parent ? BPF_CORE_READ((struct mptcp_sock *)parent, local_key) : 0;
	__sync_lock_test_and_set(&connection->claim, accepted.claim);
	return 1;
}

/* Records are for one connection: a socket that is disconnected and used again has none. */
static __always_inline void records_use(struct bpf_sock *sk)
{
	struct history *history = storage_get(&histories, sk, 0, 0);

	if (!history)
		return;
	if (history->used)
		history_clear(history);
	history->used = 1;
}

static __always_inline void claim_event(struct bpf_sock_ops *ctx)
{
	struct connection_key key;
	struct bpf_sock *sk;
	__u32 number;

	/* The kernel asks and tells a lot; most of it is nothing to us. */
	switch (ctx->op) {
	case BPF_SOCK_OPS_RWND_INIT:
		/* Of a SYN there is no socket yet; one that connects is asked too. */
		if (ctx->is_fullsock || !claim_may_be(ctx))
			break;
		claim_key_fill(ctx, &key);
		claim_begin(&key);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		if (!claim_may_be(ctx))
			break;
		claim_key_fill(ctx, &key);
		number = claim_number(&key);
		if (number)
			count(claim_end(ctx, &key, number) ? COUNT_HANDED_OVER : COUNT_UNCLAIMED);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		sk = ctx->sk;
		if (sk)
			records_use(sk);
		break;
	}
}

#endif
