/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A service's port is its own where it listens or may listen: in the network namespace in which the
 * instance was brought up, and in every other one in which the service has bound it since. There
 * nobody else can bind it, so nobody can keep the service from starting; but for who makes its
 * listener, if the policy says that it is not the service. Elsewhere, in containers, the port is
 * free. (Another's listener would get no connection anyway: see listener_find().)
 *
 * And the addresses that are numbers, of connections and of flows, are the engine's to give.
 */
#ifndef WAYBILL_KERNEL_BIND_H
#define WAYBILL_KERNEL_BIND_H

#include "ask.h"

/* What somebody binds, or has bound. */
struct binding {
	__u64 netns; /* cookie */
	__u32 protocol;
	struct subject to; /* the address is its destination */
};

/* Whether a service's port is guarded in a network namespace. */
static __always_inline int is_home(const struct binding *binding, const struct control *settings,
				   __u32 service)
{
	struct home_key home = { .netns = binding->netns, .service = service };

	return settings->netns == home.netns || bpf_map_lookup_elem(&homes, &home);
}

/* That a service has bound its port somewhere guards it there. */
static __always_inline void make_home(const struct binding *binding, const struct control *settings,
				      __u32 service)
{
	struct home_key home = { .netns = binding->netns, .service = service };
	__u32 one = 1;

	if (settings->netns != home.netns)
		bpf_map_update_elem(&homes, &home, &one, BPF_ANY);
}

static __always_inline int bind_check(const struct binding *binding, int bound)
{
	const struct policy_header *header;
	const struct policy_service *service;
	const struct policy_cell *cell;
	struct control *settings;
	const void *image;

	if (binding->protocol != IPPROTO_TCP && binding->protocol != IPPROTO_MPTCP &&
	    binding->protocol != IPPROTO_UDP)
		return ALLOW;
	image = policy_in_force();
	if (!image)
		return ALLOW;
	header = policy_line(image, 0);
	cell = header ? policy_hash_find(
				image, &header->endpoints,
				policy_endpoint_key(binding->protocol == IPPROTO_UDP,
						    bpf_ntohs(binding->to.destination.port))) :
			0;
	if (header && !cell)
		return ALLOW;
	settings = control_get();
	service = header && cell ? policy_service(image, header, cell->value) : 0;
	if (!service || !settings) {
		report(DECISION_BROKEN, 0, 0, 0, &binding->to);
		bpf_set_retval(-EACCES);
		return REFUSE;
	}
	if (current_is(service->id, 1)) {
		if (bound)
			make_home(binding, settings, service->id);
		return ALLOW;
	}
	if (!is_home(binding, settings, service->id))
		return ALLOW;
	report(DECISION_BIND_REFUSED, 0, service->id, 0, &binding->to);
	bpf_set_retval(-EACCES);
	return REFUSE;
}

/* Before the kernel takes the port: a refused attempt must not be in the way of the service. */
static __always_inline int bind_begin(struct bpf_sock_addr *ctx, int v6)
{
	struct binding binding = {
		.netns = bpf_get_netns_cookie(ctx),
		.protocol = ctx->protocol,
	};

	remote_read(ctx, v6, &binding.to.destination);
	if (address_is_number(&binding.to.destination)) {
		report(DECISION_BIND_REFUSED, 0, 0, 0, &binding.to);
		bpf_set_retval(-EADDRNOTAVAIL);
		return REFUSE;
	}
	return ctx->user_port ? bind_check(&binding, 0) : ALLOW;
}

/* And when it has it, since whoever names no port may be given a service's. */
static __always_inline int bind_end(struct bpf_sock *sk, int v6)
{
	struct binding binding = {
		.netns = bpf_get_netns_cookie(sk),
		.protocol = sk->protocol,
	};
	__u32 *word = (__u32 *)binding.to.destination.address;

	binding.to.destination.port = bpf_htons(sk->src_port);
	if (v6) {
		__u32 bound[4] = { sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3] };

		__builtin_memcpy(word, bound, sizeof(bound));
	} else {
		address_map(binding.to.destination.address, sk->src_ip4);
	}
	binding.to.destination.family =
		v6 && !address_is_mapped(word) ? ADDRESS_INET6 : ADDRESS_INET;
	return bind_check(&binding, 1);
}

#endif
