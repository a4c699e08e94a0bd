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

/* The slots of the services that somebody may be; makers: or whose listener he may make. */
static __attribute__((noinline)) __u64 services_of(const void *image,
						   const struct policy_header *header, __u32 uid,
						   const struct place *place, int makers)
{
	const __u64 *by_user, *by_cgroup;

	if (!header || !place)
		return 0;

	by_cgroup = policy_line(image, place->services_line);
	if (!by_cgroup || !place->services_line)
		return 0;
	by_user = policy_line(
		image, policy_table_find(image, header->service_user, policy_value32(uid), 32));
	/* Line 0 is the header: a table that finds nothing finds it. */
	if (!by_user || (const void *)by_user == (const void *)header)
		return 0;
	return policy_services(by_user, by_cgroup, makers);
}

static __always_inline __u64 services_of_current(const void *image,
						 const struct policy_header *header, int makers)
{
	struct place place;

	place_of_current(image, header, &place);
	return services_of(image, header, (__u32)bpf_get_current_uid_gid(), &place, makers);
}

/* Who made a socket. */
struct owner {
	struct cgroup *cgroup;
	__u32 level; /* of the cgroup */
	__u32 uid;
};

static __always_inline void owner_of_tcp(struct bpf_sock *socket, struct owner *owner)
{
	/* A subflow is the kernel's; the program that listens owns its parent. */
	struct mptcp_sock *parent = bpf_skc_to_mptcp_sock(socket);
	struct sock *sk =
		parent ? (struct sock *)parent : (struct sock *)bpf_skc_to_tcp_sock(socket);

	owner->cgroup = sk ? sk->sk_cgrp_data.cgroup : 0;
	owner->level = owner->cgroup ? owner->cgroup->level : 0;
	owner->uid = sk ? sk->sk_uid.val : 0;
}

/* Of a datagram socket the verifier lets us read less directly. For the sake of the stack alone. */
static __attribute__((noinline)) int owner_of_udp(struct bpf_sock *socket, struct owner *owner)
{
	struct cgroup *cgroup;
	struct sock *sk;

	if (!socket || !owner)
		return 0;
	sk = sock_read_only(socket);
	cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	owner->cgroup = cgroup;
	owner->level = BPF_CORE_READ(cgroup, level);
	owner->uid = BPF_CORE_READ(sk, sk_uid.val);
	return 1;
}

/*
 * Whether our hooks run for a socket: one made outside of the instance's cgroup would be handed
 * no records, whoever made it.
 */
static __attribute__((noinline)) int is_ours(const struct owner *owner)
{
	struct control *settings = control_get();
	struct cgroup *cgroup = owner ? owner->cgroup : 0, *ancestor = 0;
	__u32 level;

	if (!settings || !cgroup)
		return 0;
	level = settings->cgroup_level;
	if (!level || level == CGROUP_LEVEL_UNKNOWN)
		return 1;
	if (owner->level < level)
		return 0;
	bpf_core_read(&ancestor, sizeof(ancestor), &cgroup->ancestors[level & (CGROUP_LEVELS - 1)]);
	return ancestor && BPF_CORE_READ(ancestor, kn, id) == settings->cgroup;
}

/* The services whose listener a socket may be, by its maker. */
static __always_inline __u64 services_of_owner(const void *image,
					       const struct policy_header *header,
					       const struct owner *owner)
{
	struct place_walk walk;

	if (!is_ours(owner))
		return 0;
	place_of_cgroup(image, header, owner->cgroup, owner->level, &walk);
	return services_of(image, header, owner->uid, &walk.place, 1);
}

static __always_inline __u64 services_of_udp(const void *image, const struct policy_header *header,
					     struct bpf_sock *socket)
{
	struct owner owner = {};

	owner_of_udp(socket, &owner);
	return services_of_owner(image, header, &owner);
}

/* A walk along the sockets that share a port (SO_REUSEPORT). */
struct group_walk {
	struct sock_reuseport *group;
	struct cgroup *cgroup; /* in which all of them have to be */
	__u32 strangers;
};

static long group_walk_one(__u32 i, struct group_walk *walk)
{
	struct sock_reuseport *group = walk->group;
	struct sock *sk = 0;

	if (i >= BPF_CORE_READ(group, num_socks))
		return 1;
	bpf_core_read(&sk, sizeof(sk), &group->socks[i]);
	walk->strangers = !sk || BPF_CORE_READ(sk, sk_cgrp_data.cgroup) != walk->cgroup;
	return walk->strangers;
}

/*
 * Whether a listener shares its port with sockets of another cgroup, to which the kernel would give
 * some of its connections. They are of one user: it lets no others share. Not inlined, for the sake of
 * the stack.
 */
static __attribute__((noinline)) int is_shared_with_strangers(struct bpf_sock *listener)
{
	struct sock_reuseport *group;
	struct group_walk walk = {};
	struct sock *sk;

	if (!listener)
		return 0;
	sk = sock_read_only(listener);
	group = BPF_CORE_READ(sk, sk_reuseport_cb);
	if (!group)
		return 0;
	walk.group = group;
	walk.cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	bpf_loop(BPF_CORE_READ(group, num_socks), group_walk_one, &walk, 0);
	return walk.strangers;
}

/* The listener at an address, or NULL; to be released. Not inlined, for the sake of the stack. */
static __attribute__((noinline)) struct bpf_sock *
listener_find(struct bpf_sock_addr *ctx, const struct waybill_address *endpoint)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size;

	if (!endpoint)
		return 0;
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
	struct owner owner = {};
	__u64 services = 0;

	if (!header || !endpoint)
		return 0;
	listener = listener_find(ctx, endpoint);
	if (!listener)
		return 0;
	if (ctx->protocol == IPPROTO_UDP)
		owner_of_udp(listener, &owner);
	else if (listener->state == BPF_TCP_LISTEN)
		owner_of_tcp(listener, &owner);
	services = services_of_owner(image, header, &owner);
	/* Where no cgroup is named, who is of its user is the service. */
	if (services && header->cgroup_levels && is_shared_with_strangers(listener))
		services = 0;
	bpf_sk_release(listener);
	return services;
}

#endif
