/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who somebody is to the policy: which filters his cgroup admits and which services he may be.
 * Asked of the current process, of an originator named by records, and of a listener, whose
 * socket remembers the user and the cgroup that made it, so no bookkeeping can go stale.
 */
#ifndef WAYBILL_KERNEL_IDENTITY_H
#define WAYBILL_KERNEL_IDENTITY_H

#include "maps.h"

#define CGROUP_LEVELS 32

/* What the policy says of a cgroup, by the nearest one that it names. */
struct place {
	__u64 scope; /* id of that one, 0 for none */
	__u32 filters_line, services_line;
};

static __always_inline void place_none(const struct policy_header *header, struct place *place)
{
	place->scope = 0;
	place->filters_line = header->cgroup_none;
	place->services_line = header->cgroup_none_services;
}

static __always_inline int place_try(const void *image, const struct policy_header *header,
				     __u64 cgroup, struct place *place)
{
	const struct policy_cell *cell;

	if (!cgroup)
		return 0;
	cell = policy_hash_find(image, &header->cgroups, cgroup);
	if (!cell)
		return 0;
	place->scope = cgroup;
	place->filters_line = cell->value;
	place->services_line = cell->value2;
	return 1;
}

/*
 * A walk from the root of cgroup2 down: the last place that the policy names counts. The header is
 * looked for again and again, since the stack is short.
 */
struct place_walk {
	const void *image;
	struct place place;
	struct cgroup *cgroup; /* of a socket; NULL: that of the current process */
	__u32 level;           /* of that cgroup: how far it is from the root */
	__u32 levels;          /* bit n: ask for the ancestor n levels below the root; not 0 */
};

static long place_of_level(__u32 unused, struct place_walk *walk)
{
	__u32 level = policy_lowest_bit(walk->levels) & (CGROUP_LEVELS - 1);
	const struct policy_header *header = policy_line(walk->image, 0);
	struct cgroup *cgroup = walk->cgroup, *ancestor;
	__u64 id = 0;

	walk->levels &= walk->levels - 1;
	if (!cgroup) {
		id = bpf_get_current_ancestor_cgroup_id(level);
	} else if (level == walk->level) {
		/* A service's listener is mostly in the very cgroup that the policy names. */
		id = BPF_CORE_READ(cgroup, kn, id);
	} else if (!bpf_core_read(&ancestor, sizeof(ancestor), &cgroup->ancestors[level])) {
		id = BPF_CORE_READ(ancestor, kn, id);
	}
	if (!header)
		return 1;
	place_try(walk->image, header, id, &walk->place);
	return !walk->levels;
}

static __always_inline void place_of_cgroup(const void *image, const struct policy_header *header,
					    struct cgroup *cgroup, __u32 level,
					    struct place_walk *walk)
{
	walk->image = image;
	walk->cgroup = cgroup;
	walk->level = level;
	walk->levels = header->cgroup_levels;
	place_none(header, &walk->place);
	/* A socket's cgroup has only so many ancestors to read. */
	if (cgroup && level < CGROUP_LEVELS - 1)
		walk->levels &= (2ULL << (level & 31)) - 1;
	if (walk->levels)
		bpf_loop(CGROUP_LEVELS, place_of_level, walk, 0);
}

/* Not inlined, for the sake of the stack; nor is the next but one. */
static __attribute__((noinline)) int
place_of_current(const void *image, const struct policy_header *header, struct place *place)
{
	struct place_walk walk;

	if (!header || !place)
		return 0;
	place_of_cgroup(image, header, 0, 0, &walk);
	*place = walk.place;
	return 1;
}

/* An originator named by records: its cgroup may be new, or gone, so its scope counts too. */
static __always_inline void place_of_originator(const void *image,
						const struct policy_header *header, __u64 cgroup,
						__u64 scope, struct place *place)
{
	place_none(header, place);
	if (!place_try(image, header, cgroup, place))
		place_try(image, header, scope, place);
}

/* The slots of the services that a process, or the maker of a socket, may be. */
static __attribute__((noinline)) __u64 services_of(const void *image,
						   const struct policy_header *header, __u32 uid,
						   const struct place *place)
{
	const __u64 *by_user, *by_cgroup;

	if (!header || !place)
		return 0;

	by_cgroup = policy_line(image, place->services_line);
	if (!by_cgroup || !place->services_line || !*by_cgroup)
		return 0;
	by_user = policy_line(
		image, policy_table_find(image, header->service_user, policy_value32(uid), 32));
	/* Line 0 is the header: a table that finds nothing finds it. */
	if (!by_user || (const void *)by_user == (const void *)header)
		return 0;
	return *by_user & *by_cgroup;
}

static __always_inline __u64 services_of_current(const void *image,
						 const struct policy_header *header)
{
	struct place place;

	place_of_current(image, header, &place);
	return services_of(image, header, (__u32)bpf_get_current_uid_gid(), &place);
}

/*
 * Whether our hooks run for a socket: one made outside of the instance's cgroup would be handed
 * no records, whoever made it.
 */
static __always_inline int is_ours(struct cgroup *cgroup, __u32 cgroup_level)
{
	struct control *settings = control_get();
	struct cgroup *ancestor = 0;
	__u32 level;

	if (!settings || !cgroup)
		return 0;
	level = settings->cgroup_level;
	if (!level || level == CGROUP_LEVEL_UNKNOWN)
		return 1;
	if (cgroup_level < level)
		return 0;
	bpf_core_read(&ancestor, sizeof(ancestor), &cgroup->ancestors[level & (CGROUP_LEVELS - 1)]);
	return ancestor && BPF_CORE_READ(ancestor, kn, id) == settings->cgroup;
}

/* The services that the maker of a listening TCP socket may be. */
static __always_inline __u64 services_of_tcp(const void *image, const struct policy_header *header,
					     struct bpf_sock *listener)
{
	/* A subflow is the kernel's; the program that listens owns its parent. */
	struct mptcp_sock *parent = bpf_skc_to_mptcp_sock(listener);
	struct sock *sk =
		parent ? (struct sock *)parent : (struct sock *)bpf_skc_to_tcp_sock(listener);
	struct cgroup *cgroup = sk ? sk->sk_cgrp_data.cgroup : 0;
	struct place_walk walk;

	if (!cgroup || !is_ours(cgroup, cgroup->level))
		return 0;
	place_of_cgroup(image, header, cgroup, cgroup->level, &walk);
	return services_of(image, header, sk->sk_uid.val, &walk.place);
}

/* And that of a datagram socket, of which the verifier lets us read less directly. */
static __always_inline __u64 services_of_udp(const void *image, const struct policy_header *header,
					     struct bpf_sock *socket)
{
	struct sock *sk = sock_read_only(socket);
	struct cgroup *cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	__u32 level = BPF_CORE_READ(cgroup, level);
	struct place_walk walk;

	if (!is_ours(cgroup, level))
		return 0;
	place_of_cgroup(image, header, cgroup, level, &walk);
	return services_of(image, header, BPF_CORE_READ(sk, sk_uid.val), &walk.place);
}

/* The listener at an address, or NULL; to be released. */
static __always_inline struct bpf_sock *listener_find(struct bpf_sock_addr *ctx,
						      const struct waybill_address *endpoint)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size;

	if (endpoint->family == AF_INET) {
		tuple.ipv4.daddr = *(const __u32 *)(endpoint->address + 12);
		tuple.ipv4.dport = endpoint->port;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.daddr, endpoint->address, 16);
		tuple.ipv6.dport = endpoint->port;
		size = sizeof(tuple.ipv6);
	}
	if (ctx->protocol == IPPROTO_UDP)
		return bpf_sk_lookup_udp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	return bpf_sk_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
}

/*
 * The services that the listener at an address belongs to; 0 if nobody listens there, or nobody
 * who is a service. ctx is that of a connect or sendmsg hook: its socket's namespace is where we
 * look.
 */
static __attribute__((noinline)) __u64 services_of_listener(struct bpf_sock_addr *ctx,
							    const void *image,
							    const struct policy_header *header,
							    const struct waybill_address *endpoint)
{
	struct bpf_sock *listener;
	__u64 services = 0;

	if (!header || !endpoint)
		return 0;
	listener = listener_find(ctx, endpoint);
	if (!listener)
		return 0;
	if (ctx->protocol == IPPROTO_UDP)
		services = services_of_udp(image, header, listener);
	else if (listener->state == BPF_TCP_LISTEN)
		services = services_of_tcp(image, header, listener);
	bpf_sk_release(listener);
	return services;
}

#endif
