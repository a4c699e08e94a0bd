/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the two hooks of socket options share: how they answer, and whose a flow of datagrams is.
 * Both look at level and option first, and do not touch what is not ours. The kernel holds the
 * socket's lock meanwhile, so nothing races with connect.
 */
#ifndef WAYBILL_KERNEL_OPTION_H
#define WAYBILL_KERNEL_OPTION_H

#include "connection.h"
#include "flow.h"
#include "identity.h"
#include "originator.h"

#define RECORDS_EXPIRE_DEFAULT (600 * SECOND)

/* clang merges adjacent stores to the context, which the verifier refuses: volatile. */
static __always_inline int option_answer(struct bpf_sockopt *ctx, __u32 length)
{
	volatile struct bpf_sockopt *answer = ctx;

	answer->optlen = length;
	answer->retval = 0;
	return ALLOW;
}

static __always_inline int option_fail(int error)
{
	bpf_set_retval(-error);
	return ALLOW;
}

/* The option was set, and the kernel proper is not to see it. */
static __always_inline int option_taken(struct bpf_sockopt *ctx)
{
	bpf_set_retval(0);
	ctx->optlen = -1;
	return ALLOW;
}

/*
 * A socket of which we know nothing may be known to another instance, whose programs run on the
 * same call: an error is ours to give only where the kernel's own "no such option" stands.
 */
static __always_inline int option_unknown(struct bpf_sockopt *ctx, int error)
{
	if (ctx->retval == -EOPNOTSUPP || ctx->retval == -ENOPROTOOPT)
		bpf_set_retval(-error);
	return ALLOW;
}

/* An option that is for nobody here; if it is too long the kernel needs to be told so. */
static __always_inline int option_leave(struct bpf_sockopt *ctx)
{
	/* Kernels before 6.5 fail with EFAULT if a longer option is left as it is. */
	if (ctx->optlen > 4096)
		ctx->optlen = 0;
	return ALLOW;
}

static __always_inline int is_supported(__u32 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP || protocol == IPPROTO_UDP;
}

static __always_inline __u64 records_expire(void)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;

	return header && header->records_expire ? header->records_expire : RECORDS_EXPIRE_DEFAULT;
}

static __always_inline struct key *key_find(__u32 id)
{
	__u32 zero = 0;
	struct key_ring *ring = bpf_map_lookup_elem(&keys, &zero);
	struct key *key;

	if (!ring)
		return 0;
	if (!id)
		id = ring->current;
	key = &ring->keys[id % KEYS];
	return id && key->id == id ? key : 0;
}

/*
 * The id of the flow of this number, if it goes to the caller's socket: the one at its service's
 * port, in its network namespace, made by that service. Whoever holds such a socket was given it.
 * 0: it does not.
 */
static __attribute__((noinline)) __u64 flow_of_socket(struct bpf_sockopt *ctx, __u32 number)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	struct datagram_flow *flow = flow_get(number);
	struct bpf_sock *sk = ctx->sk;

	if (!sk || !header || !flow || flow->state != FLOW_REDIRECTED ||
	    flow->port != bpf_htons(sk->src_port) || flow->hop.netns != bpf_get_netns_cookie(ctx) ||
	    !(services_of_socket(sk, 1, image, header) &
	      services_of_hop(image, header, flow->hop.service, 0)))
		return 0;
	return flow->hop.flow;
}

/*
 * A flow may end at any time, and its memory is another's at once. So whoever answers out of it
 * asks again, after the answer is written and before it is given, whether the number still has the
 * flow of this id: then it had it all the time, since no id is given twice.
 */
static __always_inline struct datagram_flow *flow_of_id(__u32 number, __u64 id)
{
	struct datagram_flow *flow = id ? flow_get(number) : 0;

	return flow && flow->hop.flow == id ? flow : 0;
}

/* The number of the connection that a socket has accepted; 0: of none. */
static __always_inline __u32 number_of_accepted(struct bpf_sock *sk)
{
	struct accepted *accepted;
	__u32 number;

	/* Disconnected; one that the client has reset still knows who that was. */
	if (!sk->dst_port)
		return 0;
	number = connection_of_address(sk->dst_ip4);
	if (number)
		return number;
	accepted = bpf_sk_storage_get(&accepts, sk, 0, 0);
	return accepted ? accepted->number : 0;
}

#endif
