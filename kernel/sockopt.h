/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the two hooks of socket options share. Both look at level and option first, and do not touch
 * what is not ours. The kernel holds the socket's lock meanwhile, so nothing races with connect.
 */
#ifndef WAYBILL_KERNEL_SOCKOPT_H
#define WAYBILL_KERNEL_SOCKOPT_H

#include "identity.h"

#define RECORDS_EXPIRE_DEFAULT (600 * SECOND)

/* clang merges adjacent stores to the context, which the verifier refuses: volatile. */
static __always_inline int sockopt_answer(struct bpf_sockopt *ctx, __u32 length)
{
	volatile struct bpf_sockopt *answer = ctx;

	answer->optlen = length;
	answer->retval = 0;
	return ALLOW;
}

static __always_inline int sockopt_fail(int error)
{
	bpf_set_retval(-error);
	return ALLOW;
}

/*
 * A socket of which we know nothing may be known to another instance, whose programs run on the
 * same call: an error is ours to give only where the kernel's own "no such option" stands.
 */
static __always_inline int sockopt_unknown(struct bpf_sockopt *ctx, int error)
{
	if (ctx->retval == -EOPNOTSUPP || ctx->retval == -ENOPROTOOPT)
		bpf_set_retval(-error);
	return ALLOW;
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

#endif
