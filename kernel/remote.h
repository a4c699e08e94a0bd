/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The address in the context of a connect, sendmsg, recvmsg, getpeername or bind hook, in the one form
 * that everything here works with: IPv4 as ::ffff:a.b.c.d, whatever the family of the socket.
 */
#ifndef WAYBILL_KERNEL_REMOTE_H
#define WAYBILL_KERNEL_REMOTE_H

#include "core.h"

static __always_inline void remote_read(struct bpf_sock_addr *ctx, int v6,
					struct waybill_address *remote)
{
	__u32 *word = (__u32 *)remote->address;

	remote->port = ctx->user_port;
	remote->scope_id = 0;
	if (v6) {
		word[0] = ctx->user_ip6[0];
		word[1] = ctx->user_ip6[1];
		word[2] = ctx->user_ip6[2];
		word[3] = ctx->user_ip6[3];
		remote->family = address_is_mapped(word) ? AF_INET : AF_INET6;
	} else {
		address_map(remote->address, ctx->user_ip4);
		remote->family = AF_INET;
	}
}

/*
 * The kernel takes the unspecified address for this host: for the address the socket is bound to,
 * or for loopback. It must not be a way around filters for those.
 */
static __always_inline void remote_resolve(struct bpf_sock *sk, struct waybill_address *remote)
{
	__u32 *word = (__u32 *)remote->address;

	if (remote->family == AF_INET && !word[3]) {
		word[3] = sk->src_ip4 ? sk->src_ip4 : bpf_htonl(0x7f000001);
	} else if (remote->family == AF_INET6 && !word[0] && !word[1] && !word[2] && !word[3]) {
		__u32 bound[4] = { sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3] };

		if (address_is_mapped(bound)) {
			address_map(remote->address, bpf_htonl(0x7f000001));
			remote->family = AF_INET;
		} else {
			word[3] = bpf_htonl(1);
		}
	}
}

/* The address that a socket is bound to, or a datagram leaves from, as far as that is chosen: else 0. */
static __always_inline void local_read(struct bpf_sock_addr *context, int v6, int connecting,
				       struct waybill_address *local)
{
	/* The verifier wants every load from the context by itself, as it is written here. */
	volatile struct bpf_sock_addr *ctx = context;
	struct bpf_sock *sk = context->sk;
	__u32 *word = (__u32 *)local->address, bound4;

	local->family = AF_INET;
	local->port = 0;
	local->scope_id = 0;
	address_map(local->address, 0);
	if (!sk)
		return;
	if (!v6) {
		bound4 = connecting ? sk->src_ip4 : ctx->msg_src_ip4;
		/* Nor may the compiler make one load of this and of those below. */
		barrier_var(bound4);
		word[3] = bound4;
		return;
	}
	if (connecting) {
		__u32 bound[4] = { sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3] };

		__builtin_memcpy(word, bound, sizeof(bound));
	} else {
		__u32 chosen[4] = { ctx->msg_src_ip6[0], ctx->msg_src_ip6[1], ctx->msg_src_ip6[2],
				    ctx->msg_src_ip6[3] };

		__builtin_memcpy(word, chosen, sizeof(chosen));
	}
	if (!address_is_mapped(word))
		local->family = AF_INET6;
}

/* A socket of IPv6 that is bound to nothing is so for IPv4 as well, if it is there that it goes. */
static __always_inline void local_for(const struct waybill_address *remote,
				      struct waybill_address *local)
{
	const __u32 *word = (const __u32 *)local->address;

	if (remote->family == AF_INET && !word[0] && !word[1] && !word[2] && !word[3]) {
		local->family = AF_INET;
		address_map(local->address, 0);
	}
}

/* The number of the flow of datagrams whose address this is, 0 if it is none's. */
static __always_inline __u32 flow_of_address(const struct waybill_address *address)
{
	static const __u8 prefix[8] = WAYBILL_FLOW_PREFIX6;
	const __u32 *word = (const __u32 *)address->address, *want = (const __u32 *)prefix;
	__u32 low = bpf_ntohl(word[3]);

	if (address->family == AF_INET)
		return (low & ~WAYBILL_FLOW_MASK) == WAYBILL_FLOW_ADDRESS4 ?
			       low & WAYBILL_FLOW_MASK :
			       0;
	return word[0] == want[0] && word[1] == want[1] && !word[2] && low <= WAYBILL_FLOW_MASK ?
		       low :
		       0;
}

/* The address of a flow. The caller sets the port. */
static __always_inline void flow_address(__u32 flow, __u16 family, struct waybill_address *address)
{
	static const __u8 prefix[8] = WAYBILL_FLOW_PREFIX6;
	__u32 *word = (__u32 *)address->address;

	address->family = family;
	address->scope_id = 0;
	if (family == AF_INET) {
		address_map(address->address, bpf_htonl(WAYBILL_FLOW_ADDRESS4 | flow));
		return;
	}
	__builtin_memcpy(address->address, prefix, sizeof(prefix));
	word[2] = 0;
	word[3] = bpf_htonl(flow);
}

static __always_inline void remote_write(struct bpf_sock_addr *ctx, int v6,
					 const struct waybill_address *remote)
{
	const __u32 *word = (const __u32 *)remote->address;

	ctx->user_port = remote->port;
	if (v6) {
		ctx->user_ip6[0] = word[0];
		ctx->user_ip6[1] = word[1];
		ctx->user_ip6[2] = word[2];
		ctx->user_ip6[3] = word[3];
	} else {
		ctx->user_ip4 = word[3];
	}
}

/*
 * The interface of a link-local address, without which nobody can connect to it. The context does
 * not have it, so it is read from the kernel's own; else it is that of the device the socket is
 * bound to.
 */
static __always_inline __u32 scope_of(struct bpf_sock_addr *ctx,
				      const struct waybill_address *address)
{
	struct bpf_sock_addr_kern *kernel = 0;
	struct sockaddr_in6 *given;
	__u32 scope = 0;

	if ((*(const __u32 *)address->address & bpf_htonl(0xffc00000)) != bpf_htonl(0xfe800000))
		return 0;
	/* The length first: what a short address does not have is left over from something else. */
	if (bpf_cast_to_kern_ctx && bpf_core_field_exists(kernel->uaddrlen)) {
		kernel = bpf_cast_to_kern_ctx(ctx);
		given = kernel->uaddr;
		if (kernel->uaddrlen >= SOCKADDR_IN6_SIZE)
			bpf_core_read(&scope, sizeof(scope), &given->sin6_scope_id);
	}
	if (!scope && ctx->sk)
		scope = ctx->sk->bound_dev_if;
	return scope;
}

#endif
