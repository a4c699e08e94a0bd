/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From the client's socket to the accepted one. When the SYN leaves, the record is published
 * under the connection's addresses; when the handshake completes, it moves onto the accepted
 * socket; when the client's socket closes without that, it is withdrawn. Nothing lingers.
 */
#ifndef WAYBILL_KERNEL_HANDOFF_H
#define WAYBILL_KERNEL_HANDOFF_H

#include "history.h"

/*
 * The two addresses of a socket, client first. While an ADDRESS_INET6 socket connects to a
 * v4-mapped address, only the kernel's IPv4 fields are set on it, so those are used for mapped
 * addresses.
 */
static __always_inline void handoff_key_fill(struct bpf_sock_ops *event, struct handoff_key *key,
					     int client)
{
	/* The verifier wants every load from the context by itself, as it is written here. */
	volatile struct bpf_sock_ops *ctx = event;
	__u8 *local = client ? key->client : key->server,
	     *remote = client ? key->server : key->client;
	__u32 remote_port = bpf_ntohl(ctx->remote_port);
	__u32 far[4] = { ctx->remote_ip6[0], ctx->remote_ip6[1], ctx->remote_ip6[2],
			 ctx->remote_ip6[3] };

	if (ctx->family == ADDRESS_INET || address_is_mapped(far)) {
		address_map(local, ctx->local_ip4);
		address_map(remote, ctx->remote_ip4);
	} else {
		__u32 near[4] = { ctx->local_ip6[0], ctx->local_ip6[1], ctx->local_ip6[2],
				  ctx->local_ip6[3] };

		__builtin_memcpy(local, near, 16);
		__builtin_memcpy(remote, far, 16);
	}
	key->client_port = client ? ctx->local_port : remote_port;
	key->server_port = client ? remote_port : ctx->local_port;
	key->reserved = 0;
	key->netns = bpf_get_netns_cookie(event);
}

static __always_inline __u32 *port_of(__u32 port)
{
	return bpf_map_lookup_elem(&ports, &port);
}

/* Deletes an entry, and what was counted for it. Returns 0 if somebody else has. */
static __always_inline int handoff_delete(const struct handoff_key *key, __u32 uid, __u32 history)
{
	__u32 *share, *port;

	if (bpf_map_delete_elem(&handoffs, key))
		return 0;
	if (history)
		bpf_map_delete_elem(&handoff_histories, key);
	share = share_of(&shares, uid);
	if (share)
		__sync_fetch_and_add(share, -1);
	port = port_of(key->server_port);
	if (port)
		__sync_fetch_and_add(port, -1);
	return 1;
}

/* The SYN is about to leave. */
static __always_inline void handoff_publish(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
	struct connecting *state = storage_get(&connects, sk, 0, 0);
	struct accepted record = {}, *stale;
	struct handoff_key key;
	struct history *history;
	__u32 *share, *port, limit = HANDOFF_SHARE;

	if (!state || !state->target.family)
		return;
	handoff_key_fill(ctx, &key, 1);
	/* Another program may have sent it elsewhere since: then it is none of ours. */
	if (key.server_port != bpf_ntohs(state->target.port) ||
	    !address_equal(key.server, state->target.address))
		return;
	record.hop = state->hop;
	record.issued = state->hop.time;
	record.hop_count = state->hop_count;
	record.context_size = state->context_size;
	/* A first hop has none: most need not be asked. */
	history = state->hop_count > 1 ? storage_get(&histories, sk, 0, 0) : 0;
	if (history && history->length && !history->used)
		record.history = 1;
	/*
	 * Counted before it is published: connect() may have been asked long before the SYN leaves.
	 */
	if (record.history)
		limit = HANDOFF_HISTORY_SHARE;
	share = share_of(&shares, record.hop.client.uid);
	port = port_of(key.server_port);
	if (!share || !port)
		return;
	__sync_fetch_and_add(port, 1);
	if (__sync_fetch_and_add(share, 1) >= limit)
		goto lost;
	if (record.history && bpf_map_update_elem(&handoff_histories, &key, history, BPF_ANY))
		goto lost;
	if (bpf_map_update_elem(&handoffs, &key, &record, BPF_NOEXIST)) {
		/*
		 * An entry of an earlier connection with these addresses, which never closed for
		 * us.
		 */
		stale = bpf_map_lookup_elem(&handoffs, &key);
		if (stale)
			handoff_delete(&key, stale->hop.client.uid,
				       stale->history && !record.history);
		if (bpf_map_update_elem(&handoffs, &key, &record, BPF_NOEXIST))
			goto lost;
	}
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	return;
lost:
	__sync_fetch_and_add(port, -1);
	__sync_fetch_and_add(share, -1);
	bpf_map_delete_elem(&handoff_histories, &key);
	count(COUNT_HANDOFF_LOST);
}

/*
 * The handshake completed on the service's side. An entry's memory may be used anew as soon as it
 * is deleted, which the client's end may do at this very moment: so it is copied, and the copy
 * counts only if it is we who delete it.
 */
static __always_inline void handoff_take(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
	struct history *history = 0;
	struct accepted *record, copy;
	struct handoff_key key;

	handoff_key_fill(ctx, &key, 0);
	record = bpf_map_lookup_elem(&handoffs, &key);
	if (!record)
		return;
	copy = *record;
	/* Without all of its records it must not pass for one that has fewer. */
	if (copy.history) {
		history = bpf_map_lookup_elem(&handoff_histories, &key);
		if (history)
			history = storage_get(&histories, sk, history, BPF_SK_STORAGE_GET_F_CREATE);
	}
	if (handoff_delete(&key, copy.hop.client.uid, copy.history) && (history || !copy.history) &&
	    storage_get(&accepts, sk, &copy, BPF_SK_STORAGE_GET_F_CREATE)) {
		count(COUNT_HANDED_OVER);
		return;
	}
	count(COUNT_HANDOFF_LOST);
	if (history)
		storage_delete(&histories, sk);
}

/* The client's socket is closed: nothing can complete the handshake any more. */
static __always_inline void handoff_withdraw(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
	struct connecting *state = storage_get(&connects, sk, 0, 0);
	struct accepted *record;
	struct handoff_key key;

	if (!state)
		return;
	handoff_key_fill(ctx, &key, 1);
	record = bpf_map_lookup_elem(&handoffs, &key);
	if (record && record->hop.flow == state->hop.flow)
		handoff_delete(&key, record->hop.client.uid, record->history);
}

/* Records are for one connection: a socket that is disconnected and used again has none. */
static __always_inline void records_use(struct bpf_sock *sk)
{
	struct history *history = storage_get(&histories, sk, 0, 0);

	if (history)
		history->used = 1;
}

/* Whether both ends are on this host, as with every redirected connection. */
static __always_inline int is_loopback(struct bpf_sock_ops *ctx)
{
	return (ctx->local_ip4 & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000) ||
	       (ctx->family == ADDRESS_INET6 && !ctx->local_ip6[0] && !ctx->local_ip6[1] &&
		!ctx->local_ip6[2] && ctx->local_ip6[3] == bpf_htonl(1));
}

static __always_inline void handoff_event(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk;
	__u32 *port;

	/* The kernel asks and tells a lot; most of it is nothing to us. */
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		sk = ctx->sk;
		if (sk)
			handoff_publish(ctx, sk);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		sk = ctx->sk;
		if (sk)
			records_use(sk);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		port = port_of(ctx->local_port);
		if (!port || !*port)
			break;
		sk = ctx->sk;
		if (sk && is_loopback(ctx))
			handoff_take(ctx, sk);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] != BPF_TCP_CLOSE)
			break;
		sk = ctx->sk;
		if (sk)
			handoff_withdraw(ctx, sk);
		break;
	}
}

#endif
