/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A service's port is its own where it listens or may listen: in the network namespace in which the
 * instance was brought up, and in every other one in which the service has bound it since. There
 * nobody else can bind it, so nobody can keep the service from starting; but for who makes its
 * listener, if the policy says that it is not the service. Elsewhere, in containers, the port is
 * free. (Another's listener would get no connection anyway: see services_of_listener.)
 */
#ifndef WAYBILL_KERNEL_BIND_H
#define WAYBILL_KERNEL_BIND_H

#include "events.h"
#include "identity.h"

/* Whether a service's port is guarded in a network namespace. That it binds there makes it so. */
static __always_inline int is_home(__u64 netns, const struct control *settings, __u32 service,
				   int binds)
{
	struct home_key home = { .netns = netns, .service = service };
	__u32 one = 1;

	if (settings->netns == netns)
		return 1;
	if (binds)
		bpf_map_update_elem(&homes, &home, &one, BPF_ANY);
	return bpf_map_lookup_elem(&homes, &home) != 0;
}

static __always_inline int bind_check(struct bpf_sock *sk)
{
	const struct policy_header *header;
	const struct policy_service *service;
	const struct policy_cell *cell;
	struct event_subject subject = {};
	struct control *settings;
	const void *image;
	int own;

	if (sk->protocol != IPPROTO_TCP && sk->protocol != IPPROTO_MPTCP &&
	    sk->protocol != IPPROTO_UDP)
		return ALLOW;
	image = policy_in_force();
	header = image ? policy_line(image, 0) : 0;
	if (!header)
		return ALLOW;
	cell = policy_hash_find(image, &header->endpoints,
				policy_endpoint_key(sk->protocol == IPPROTO_UDP, sk->src_port));
	settings = control_get();
	service = cell ? policy_service(image, header, cell->value) : 0;
	if (!service || !settings)
		return ALLOW;
	own = services_of_current(image, header, 1) >> (cell->value & 63) & 1;
	if (!is_home(bpf_get_netns_cookie(sk), settings, service->id, own) || own)
		return ALLOW;
	subject.destination.family = AF_INET;
	subject.destination.port = bpf_htons(sk->src_port);
	count(COUNT_BIND_REFUSED);
	event_report(DECISION_BIND_REFUSED, 0, service->id, 0, &subject);
	bpf_set_retval(-EACCES);
	return REFUSE;
}

#endif
