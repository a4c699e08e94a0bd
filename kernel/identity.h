/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who somebody is to the policy: the nearest cgroup that it names, and which services he may be.
 * Asked of the current process, and of a listener, whose socket remembers the user and the cgroup
 * that made it, so no bookkeeping can go stale.
 */
#ifndef WAYBILL_KERNEL_IDENTITY_H
#define WAYBILL_KERNEL_IDENTITY_H

#include "maps.h"

#define CGROUP_LEVELS 32

/* Who made a socket. */
struct owner {
	struct cgroup *cgroup;
	__u32 level; /* of the cgroup */
	__u32 uid;
};

/*
 * A walk from the root of cgroup2 down: the last cgroup that the policy names is the scope. The
 * header is looked for again and again, since the stack is short.
 */
struct scope_walk {
	const void *image;
	__u64 scope;
	struct cgroup *cgroup; /* of a socket */
	__u32 levels;          /* bit n: ask for the ancestor n levels below the root; not 0 */
};

/* One after the other in one place, since the stack is short. */
static __always_inline __u64 ancestor_id(struct cgroup *cgroup, __u32 level)
{
	void *at = 0;

	if (bpf_core_read(&at, sizeof(at), &cgroup->ancestors[level]) ||
	    bpf_core_read(&at, sizeof(at), &((struct cgroup *)at)->kn) ||
	    bpf_core_read(&at, sizeof(at), &((struct kernfs_node *)at)->id))
		return 0;
	return (__u64)at;
}

/* The next of the levels that are asked for, lowest first; and whether its cgroup, by id, is named. */
static __always_inline __u32 scope_level(struct scope_walk *walk)
{
	__u32 level = policy_lowest_bit(walk->levels) & (CGROUP_LEVELS - 1);

	walk->levels &= walk->levels - 1;
	return level;
}

static __always_inline long scope_take(struct scope_walk *walk, __u64 id)
{
	const struct policy_header *header = policy_line(walk->image, 0);

	if (!header)
		return 1;
	if (policy_hash_find(walk->image, &header->cgroups, id))
		walk->scope = id;
	return !walk->levels;
}

static long scope_of_current(__u32 unused, struct scope_walk *walk)
{
	return scope_take(walk, bpf_get_current_ancestor_cgroup_id(scope_level(walk)));
}

static long scope_of_socket(__u32 unused, struct scope_walk *walk)
{
	return scope_take(walk, ancestor_id(walk->cgroup, scope_level(walk)));
}

static __always_inline void scope_begin(struct scope_walk *walk, const void *image,
					const struct policy_header *header, struct cgroup *cgroup)
{
	walk->image = image;
	walk->scope = 0;
	walk->cgroup = cgroup;
	walk->levels = header->cgroup_levels;
}

/* Of the current process. */
static __always_inline __u64 scope_find(struct scope_walk *walk, const void *image,
					const struct policy_header *header)
{
	scope_begin(walk, image, header, 0);
	if (walk->levels)
		bpf_loop(CGROUP_LEVELS, scope_of_current, walk, 0);
	return walk->scope;
}

/* Of who has made a socket. */
static __always_inline __u64 scope_find_owner(struct scope_walk *walk, const void *image,
					      const struct policy_header *header,
					      const struct owner *owner)
{
	struct cgroup *cgroup = owner->cgroup;
	struct kernfs_node *node;
	__u64 id;

	scope_begin(walk, image, header, cgroup);
	if (!walk->levels)
		return 0;
	/* Most are in a cgroup that is named itself. */
	node = KERNEL_READ(cgroup, kn);
	id = KERNEL_READ(node, id);
	if (policy_hash_find(image, &header->cgroups, id)) {
		walk->scope = id;
		return id;
	}
	/* Its own cgroup is the last of its ancestors. */
	if (owner->level < CGROUP_LEVELS - 1)
		walk->levels &= (2ULL << (owner->level & 31)) - 1;
	if (walk->levels)
		bpf_loop(CGROUP_LEVELS, scope_of_socket, walk, 0);
	return walk->scope;
}

/*
 * The slots of the services that the current process may be; makers: or whose listener it may make.
 */
static __always_inline __u64 services_of_current(const void *image,
						 const struct policy_header *header, int makers)
{
	struct scope_walk walk;

	scope_find(&walk, image, header);
	return services_of(image, header, (__u32)bpf_get_current_uid_gid(), walk.scope, makers);
}

/*
 * Whether the current process may be a service, by its id, or any of them (0); makers: or may make
 * its listener. By one policy: slots are not the same in another.
 */
GLOBAL int current_is(__u32 service, __u32 makers)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	__u64 services;

	if (!header)
		return 0;
	services = services_of_current(image, header, makers);
	if (service)
		services &= services_of_hop(image, header, service, 0);
	return services != 0;
}

/*
 * A subflow is the kernel's; the program that listens owns its parent. udp is a constant of the
 * caller: not every hook may ask for the parent.
 */
static __always_inline void owner_of(struct bpf_sock *socket, int udp, struct owner *owner)
{
	struct sock *sk = udp ? 0 : sock_parent(socket);
	struct cgroup *cgroup;

	if (!sk)
		sk = sock_of(socket);
	cgroup = KERNEL_READ(sk, sk_cgrp_data.cgroup);
	owner->cgroup = cgroup;
	owner->level = KERNEL_READ(cgroup, level);
	owner->uid = KERNEL_READ(sk, sk_uid.val);
}

/*
 * Whether our hooks run for a socket: one made outside of the instance's cgroup would be handed
 * no records, whoever made it.
 */
static __always_inline int is_ours(const struct owner *owner)
{
	struct control *settings = control_get();
	struct cgroup *cgroup = owner->cgroup, *ancestor = 0;
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
 * some of its connections. They are of one user: it lets no others share.
 */
static __always_inline int is_shared_with_strangers(struct sock *sk, struct sock_reuseport *group,
						    struct group_walk *walk)
{
	walk->group = group;
	walk->cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	walk->strangers = 0;
	bpf_loop(BPF_CORE_READ(group, num_socks), group_walk_one, walk, 0);
	return walk->strangers;
}

/* What is needed one after the other, since the stack is short. */
union listener_search {
	struct bpf_sock_tuple tuple;
	struct scope_walk scope;
	struct policy_descent descent;
	struct group_walk group;
};

/*
 * Who listens at an address. ctx is that of a connect or sendmsg hook: its socket's namespace is
 * where we look.
 */
static __always_inline enum listening listener_find(struct bpf_sock_addr *ctx, const void *image,
						    const struct policy_header *header,
						    const struct waybill_address *endpoint,
						    __u64 *scope, __u32 *uid)
{
	enum listening found = FOUND_NOBODY;
	union listener_search search = {};
	struct sock_reuseport *group;
	struct sock *sk;
	struct bpf_sock *listener;
	struct owner owner;
	__u32 size;

	if (endpoint->family == ADDRESS_INET) {
		search.tuple.ipv4.daddr = *(const __u32 *)(endpoint->address + 12);
		search.tuple.ipv4.dport = endpoint->port;
		size = sizeof(search.tuple.ipv4);
	} else {
		__builtin_memcpy(search.tuple.ipv6.daddr, endpoint->address, 16);
		search.tuple.ipv6.dport = endpoint->port;
		size = sizeof(search.tuple.ipv6);
	}
	if (ctx->protocol == IPPROTO_UDP)
		listener = bpf_sk_lookup_udp(ctx, &search.tuple, size, BPF_F_CURRENT_NETNS, 0);
	else
		listener = bpf_sk_lookup_tcp(ctx, &search.tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!listener)
		return FOUND_NOBODY;
	if (ctx->protocol == IPPROTO_UDP)
		owner_of(listener, 1, &owner);
	else if (listener->state == BPF_TCP_LISTEN)
		owner_of(listener, 0, &owner);
	else
		goto out;
	found = FOUND_OUTSIDE;
	if (!is_ours(&owner))
		goto out;
	*uid = owner.uid;
	*scope = scope_find_owner(&search.scope, image, header, &owner);
	found = FOUND_LISTENER;
	/* A group may be large: whose it is not to be, or if no cgroup is named, it does not matter. */
	sk = sock_of(listener);
	group = header->cgroup_levels ? KERNEL_READ(sk, sk_reuseport_cb) : 0;
	if (group && services_of_in(&search.descent, image, header, *uid, *scope, 1) &&
	    is_shared_with_strangers(sk, group, &search.group))
		found = FOUND_SHARED;
out:
	bpf_sk_release(listener);
	return found;
}

/* The slots of the services that listen at an address. */
static __always_inline __u64 services_at(struct bpf_sock_addr *ctx, const void *image,
					 const struct policy_header *header,
					 const struct waybill_address *endpoint)
{
	struct decision decision = {};

	decision.listens = listener_find(ctx, image, header, endpoint, &decision.listener_scope,
					 &decision.listener_uid);
	return decide_services(image, header, &decision);
}

/*
 * The slots of the services whose listener a socket may be, by its maker; or whose was that which
 * has accepted it. udp: a constant of the caller, as in owner_of().
 */
static __always_inline __u64 services_of_socket(struct bpf_sock *socket, int udp,
						const void *image,
						const struct policy_header *header)
{
	struct scope_walk walk;
	struct owner owner;

	owner_of(socket, udp, &owner);
	if (!is_ours(&owner))
		return 0;
	scope_find_owner(&walk, image, header, &owner);
	return services_of(image, header, owner.uid, walk.scope, 1);
}

#endif
