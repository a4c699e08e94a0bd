/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A service's port is its own: in the network namespace in which the instance was brought up,
 * nobody else can bind it, so nobody can keep the service from starting; but for who makes its
 * listener, if the policy says that it is not the service. (Another's listener would get no
 * connection anyway: see services_of_listener.)
 */
#ifndef WAYBILL_KERNEL_BIND_H
#define WAYBILL_KERNEL_BIND_H

#include "events.h"
#include "identity.h"

static __always_inline int bind_check(struct bpf_sock *sk)
{
	const struct policy_header *header;
	const struct policy_service *service;
	const struct policy_cell *cell;
	struct event_subject subject = {};
	struct control *settings;
	const void *image;

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
	if (!cell || !settings || settings->netns != bpf_get_netns_cookie(sk))
		return ALLOW;
	if (services_of_current(image, header, 1) >> (cell->value & 63) & 1)
		return ALLOW;
	service = policy_service(image, header, cell->value);
	subject.destination.family = AF_INET;
	subject.destination.port = bpf_htons(sk->src_port);
	count(COUNT_BIND_REFUSED);
	event_report(DECISION_BIND_REFUSED, 0, service ? service->id : 0, 0, &subject);
	bpf_set_retval(-EACCES);
	return REFUSE;
}

#endif
