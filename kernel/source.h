/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sources for redirected connections. They all go to one address and port, so with one source
 * address the ports would end at 28,000, and the kernel would look long for the last of them. So a
 * socket that has not chosen a source is given one of many, and its port is found when it connects.
 */
#ifndef WAYBILL_KERNEL_SOURCE_H
#define WAYBILL_KERNEL_SOURCE_H

#include "ask.h"

/* A sockaddr_in or sockaddr_in6 without a port. */
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

static __always_inline int source_bind(struct bpf_sock_addr *ctx, int v6, struct source *source)
{
	return v6 ? bpf_bind(ctx, (void *)source, sizeof(source->v6)) :
		    bpf_bind(ctx, (void *)source, sizeof(source->v4));
}

static __always_inline int source_is_chosen(struct bpf_sock *sk)
{
	return sk->src_port || sk->src_ip4 || sk->src_ip6[0] || sk->src_ip6[1] || sk->src_ip6[2] ||
	       sk->src_ip6[3];
}

/* Fails where the addresses are not local: then the socket keeps the one that it would have had. */
static __attribute__((noinline)) int source_choose(struct bpf_sock_addr *ctx, int v6,
						   struct bpf_sock *sk, struct connecting *state)
{
	static const __u8 prefix[8] = WAYBILL_FLOW_PREFIX6;
	struct source source = {};
	struct control *settings;
	__u32 number;

	if (source_is_chosen(sk))
		return 0;
	number = state->hop.flow;
	if (v6) {
		source.v6.family = ADDRESS_INET6;
		if (state->target.family == ADDRESS_INET) {
			source.v6.address[2] = bpf_htonl(0xffff);
			source.v6.address[3] = bpf_htonl(SOURCE_ADDRESS4 | (number & SOURCE_MASK4));
		} else {
			settings = control_get();
			if (!settings || settings->sources6 != bpf_get_netns_cookie(ctx))
				return 0;
			__builtin_memcpy(source.v6.address, prefix, sizeof(prefix));
			source.v6.address[2] = bpf_htonl(settings->source6);
			source.v6.address[3] = bpf_htonl(number & SOURCE_MASK6);
		}
	} else {
		source.v4.family = ADDRESS_INET;
		source.v4.address = bpf_htonl(SOURCE_ADDRESS4 | (number & SOURCE_MASK4));
	}
	if (!source_bind(ctx, v6, &source))
		state->source = SOURCE_GIVEN;
	return 0;
}

/* Whether the address that a socket is bound to is one that was given to it. */
static __always_inline int source_is_given(const __u32 address[4])
{
	static const __u8 prefix[8] = WAYBILL_FLOW_PREFIX6;
	const __u32 *want = (const __u32 *)prefix;

	if (address_is_mapped(address))
		return (bpf_ntohl(address[3]) & ~SOURCE_MASK4) == SOURCE_ADDRESS4;
	return address[0] == want[0] && address[1] == want[1] && address[2];
}

/*
 * A socket is used again, maybe for a connection that goes elsewhere: it gives back what it was
 * given, unless the program has bound it since. The kernel then keeps what it chooses for it in its
 * place; only if that is loopback would it be in the way.
 */
static __attribute__((noinline)) int source_leave(struct bpf_sock_addr *ctx, int v6,
						  struct bpf_sock *sk, struct connecting *state)
{
	struct source source = {};
	struct waybill_address local;
	const __u32 *address = (const __u32 *)local.address;

	if (!state->source)
		return 0;
	local_read(ctx, v6, 1, sk, &local);
	if (sk->src_port || !(state->source == SOURCE_GIVEN ? source_is_given(address) :
							      address_is_loopback(address))) {
		if (state->source == SOURCE_GIVEN)
			state->source = SOURCE_OWN;
		return 0;
	}
	state->source = SOURCE_LEFT;
	source.v4.family = v6 ? ADDRESS_INET6 : ADDRESS_INET;
	return source_bind(ctx, v6, &source);
}

#endif
