/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * getpeername in the application: the address that it asked for, not the service's. Only while
 * the socket's peer is the one that the connect hook chose; a later connect may have been direct.
 */
#ifndef WAYBILL_KERNEL_PEERNAME_H
#define WAYBILL_KERNEL_PEERNAME_H

#include "datagram.h"

static __always_inline void peername_restore(struct bpf_sock_addr *ctx, int v6)
{
	struct waybill_address peer;
	struct connecting *state;
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return;
	if (ctx->protocol == IPPROTO_UDP) {
		datagram_receive(ctx, v6);
		return;
	}
	state = bpf_sk_storage_get(&connects, sk, 0, 0);
	if (!state || !state->target.family)
		return;
	remote_read(ctx, v6, &peer);
	if (peer.port == state->target.port && address_equal(peer.address, state->target.address))
		remote_write(ctx, v6, &state->hop.destination);
}

#endif
