/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Datagrams: connect and sendmsg send each flow to an address of its own, at which the service
 * receives it; recvmsg and getpeername give the client back the peer that it asked for. A flow is
 * decided on once, when it begins; a service's reply, which leaves from the flow's address, is not
 * asked about again.
 */
#ifndef WAYBILL_KERNEL_DATAGRAM_H
#define WAYBILL_KERNEL_DATAGRAM_H

#include "arbitrate.h"
#include "flow.h"
#include "originator.h"

enum reply { REPLY_NOT, REPLY_OF_FLOW, REPLY_LATE };

/* Whether a service sends from the address of a flow, at its own port: to that flow's client. */
static __attribute__((noinline)) int reply_of(struct bpf_sock *sk, __u32 number)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	const struct policy_cell *cell;
	struct datagram_flow *flow;
	__u32 port;

	if (!sk || !header)
		return REPLY_NOT;
	port = sk->src_port;
	cell = policy_hash_find(image, &header->endpoints, policy_endpoint_key(1, port));
	if (!cell || !(services_of_socket(sk, 1, image, header) >> (cell->value & 63) & 1))
		return REPLY_NOT;
	flow = flow_get(number);
	if (!flow || flow->port != bpf_htons(port) || flow->state != FLOW_REDIRECTED)
		return REPLY_LATE;
	flow->used = bpf_ktime_get_boot_ns();
	return REPLY_OF_FLOW;
}

/* Whether a service listens where a destination is, which is the address of a flow. */
GLOBAL int flow_endpoint_is_ours(struct bpf_sock_addr *ctx, const struct subject *to)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	const struct policy_cell *cell;

	if (!to || !header)
		return 0;
	cell = endpoint_find(image, header, to);
	return cell && services_at(ctx, image, header, &to->destination) >> (cell->value & 63) & 1;
}

/*
 * Whether the service that a flow goes to, at a port in network order, is alive. Its flows end with
 * it, as connections do.
 */
GLOBAL int flow_lives(struct bpf_sock_addr *ctx, __u32 service, __u32 port, __u32 family)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	struct waybill_address endpoint;

	if (!header)
		return 0;
	flow_address(1, family, &endpoint);
	endpoint.port = port;
	return (services_at(ctx, image, header, &endpoint) &
		services_of_hop(image, header, service, 0)) != 0;
}

static __always_inline void flow_send(struct bpf_sock_addr *ctx, int v6,
				      const struct question *question, __u32 port, __u32 number)
{
	struct waybill_address address;

	flow_address(number, question->to.destination.family, &address);
	address.port = port;
	remote_write(ctx, v6, &address);
}

/* The socket is connected to this flow now, or to none: the one before it ends. */
static __always_inline void flow_connect(struct datagrams *own, __u32 number)
{
	__u32 before = own->connected;
	struct datagram_flow *flow;

	own->connected = number;
	if (before && before != number)
		flow_end(before, own->socket);
	flow = number ? flow_get(number) : 0;
	if (flow)
		flow->connected = 1;
}

/* A flow's history is what its service is presumed to have seen. */
GLOBAL int flow_history_presume(__u32 number, const struct question *question,
				const struct decision *decision)
{
	struct history *history = bpf_map_lookup_elem(&flow_histories, &number);
	struct datagram_flow *flow = flow_get(number);

	if (!history || !flow || !question || !decision)
		return 0;
	history_presume(history, question, decision, &flow->originator);
	return 1;
}

/* Makes the flow that was decided on. Returns its number, or 0 if that cannot be. */
static __always_inline __u32 flow_prepare(struct bpf_sock_addr *ctx, const struct datagrams *own,
					  const struct history *history,
					  const struct question *question,
					  const struct decision *decision)
{
	int with_history = history || decision->presumed;
	__u32 account = account_find(question, history);
	__u32 number =
		flow_make(own->socket, &question->to.destination, account, with_history);
	struct datagram_flow *flow = number ? flow_get(number) : 0;

	if (!flow)
		return 0;
	originator_fill(ctx, question, account, &flow->originator);
	if (!with_history || (history ? flow_history_copy(number, history) :
					flow_history_presume(number, question, decision)))
		return number;
	flow_end(number, own->socket);
	return 0;
}

/* What has been decided becomes the flow's. */
GLOBAL int flow_settle(__u32 number, const struct question *question,
		       const struct decision *decision)
{
	struct datagram_flow *flow = flow_get(number);

	if (!flow || !question || !decision)
		return 0;
	flow->used = flow->issued = bpf_ktime_get_boot_ns();
	if (decision->verdict != DECISION_REDIRECT) {
		flow->state = FLOW_DIRECT;
		return 1;
	}
	hop_fill(&flow->hop, question, decision, flow->hop.flow);
	flow->hop_count = question->to.hop_count + 1 + (decision->presumed != 0);
	flow->context_size = decision->context_size;
	flow->port = decision->endpoint.port;
	flow_is_whole();
	flow->state = FLOW_REDIRECTED;
	return 1;
}

/* It is found from now on. Returns its number, or that of another thread that was first. */
static __always_inline __u32 flow_begin(struct datagrams *own,
					const struct waybill_address *destination, __u32 number)
{
	__u32 first = flow_publish(own->socket, destination, number);

	if (first == number)
		flow_keep(own, number);
	return first;
}

/* What is known of a flow already. */
enum known {
	KNOWN_NOTHING,
	KNOWN_DIRECT,     /* it goes straight */
	KNOWN_REDIRECTED, /* it goes to its service, which is alive */
	KNOWN_RECORDS,    /* its records alone */
};

/*
 * Of the flow from a socket to a destination: its number, and the port that it goes to. One whose
 * service is dead is over.
 */
static __always_inline enum known flow_known(struct bpf_sock_addr *ctx, int connecting,
					     const struct datagrams *own,
					     const struct question *question, __u32 *number,
					     __u32 *port)
{
	__u32 found = flow_find(own->socket, &question->to.destination), service, state;
	struct datagram_flow *flow = found ? flow_get(found) : 0;

	*number = 0;
	if (!flow)
		return KNOWN_NOTHING;
	flow->used = bpf_ktime_get_boot_ns();
	state = flow->state;
	service = flow->hop.service;
	*port = flow->port;
	/* Its memory may have become another's meanwhile. */
	if (flow->socket != own->socket)
		return KNOWN_NOTHING;
	*number = found;
	if (state == FLOW_RECORDS)
		return KNOWN_RECORDS;
	if (state == FLOW_DIRECT && !connecting)
		return KNOWN_DIRECT;
	if (state == FLOW_REDIRECTED && !question->unreachable &&
	    flow_lives(ctx, service, *port, question->to.destination.family))
		return KNOWN_REDIRECTED;
	flow_end(found, own->socket);
	*number = 0;
	return KNOWN_NOTHING;
}

/* connect and sendmsg. */
static __always_inline int datagram_send(struct bpf_sock_addr *ctx, int v6, int connecting)
{
	struct question question = {};
	struct decision decision = {};
	struct bpf_sock *sk = ctx->sk;
	struct datagrams *own;
	struct datagram_flow *flow;
	struct history *history;
	__u32 number, given = 0, port;
	int answer;

	if (ctx->protocol != IPPROTO_UDP || !policy_in_force())
		return ALLOW;
	if (!sk)
		return refuse(ECONNREFUSED, DECISION_BROKEN, &question, &decision);
	own = bpf_sk_storage_get(&datagrams, sk, 0, 0);
	ask_addresses(ctx, v6, connecting, sk, &question);
	number = flow_of_address(&question.local);
	answer = number ? reply_of(sk, number) : REPLY_NOT;
	if (answer == REPLY_OF_FLOW)
		return ALLOW;
	/* Nobody waits for it any more, and it must not go anywhere else. */
	if (answer == REPLY_LATE)
		return refuse(ECONNREFUSED, DECISION_FLOW_LATE, &question, &decision);
	number = flow_of_address(&question.to.destination);
	/* Most belong to no flow, and no filter can match them. */
	if (!own && !number && !decide_destination(&question.to, &decision)) {
		event_report(DECISION_NO_FILTER, 0, 0, 0, &question.to);
		return ALLOW;
	}
	ask_socket(ctx, sk, &question);
	if (own) {
		switch (flow_known(ctx, connecting, own, &question, &given, &port)) {
		case KNOWN_DIRECT:
			return ALLOW;
		case KNOWN_REDIRECTED:
			flow_send(ctx, v6, &question, port, given);
			if (connecting)
				flow_connect(own, given);
			return ALLOW;
		case KNOWN_NOTHING:
		case KNOWN_RECORDS:
			break;
		}
	}
	/* The address of a flow is for the socket alone whose flow it is: nobody slips in there. */
	if (number && flow_endpoint_is_ours(ctx, &question.to)) {
		flow = flow_get(number);
		if (own && flow && flow->socket == own->socket)
			return ALLOW;
		return refuse(ECONNREFUSED, DECISION_FLOW_FOREIGN, &question, &decision);
	}
	number = given;
	history = number ? bpf_map_lookup_elem(&flow_histories, &number) : history_of(sk);
	if (decide_destination(&question.to, &decision)) {
		answer = arbitrate(ctx, &question, &decision, history);
	} else {
		event_report(DECISION_NO_FILTER, 0, 0, 0, &question.to);
		question.foreign = history && records_are_foreign(history);
		answer = ALLOW;
	}
	if (history && question.foreign) {
		if (number && own)
			flow_end(number, own->socket);
		else
			history_clear(history);
		history = 0;
		number = given = 0;
	}
	if (answer == REFUSE)
		return REFUSE;
	if (answer == ALLOW) {
		if (connecting && own)
			flow_connect(own, 0);
		/* A later datagram has no records; a flow says that it needs none. */
		if (connecting || !history)
			return ALLOW;
	} else if (has_source_route(sk)) {
		return refuse(ECONNREFUSED, DECISION_SOURCE_ROUTE, &question, &decision);
	}
	own = datagrams_make(bpf_sk_storage_get(&datagrams, sk, 0, BPF_SK_STORAGE_GET_F_CREATE));
	if (own && !number)
		number = flow_prepare(ctx, own, history, &question, &decision);
	if (!own || !number)
		return refuse(ENOBUFS, DECISION_FULL, &question, &decision);
	/* Flows can be ended at any time: this one was, before it had begun. */
	if (!flow_settle(number, &question, &decision))
		return refuse(ECONNREFUSED, DECISION_FLOW_LATE, &question, &decision);
	if (!given)
		number = flow_begin(own, &question.to.destination, number);
	if (connecting) {
		flow_connect(own, number);
		if (history && !given)
			history->used = 1;
	}
	if (answer == ALLOW)
		return ALLOW;
	flow = number ? flow_get(number) : 0;
	if (!flow)
		return refuse(ECONNREFUSED, DECISION_FLOW_LATE, &question, &decision);
	/* Another thread was first, and its decision was another. */
	if (flow->state != FLOW_REDIRECTED)
		return ALLOW;
	flow_send(ctx, v6, &question, flow->port, number);
	report(DECISION_REDIRECT, flow->hop.flow, decision.service, decision.filter, &question.to);
	return ALLOW;
}

/* recvmsg: what came from a flow's address comes from the peer. */
static __always_inline void datagram_receive(struct bpf_sock_addr *ctx, int v6)
{
	struct waybill_address remote;
	struct bpf_sock *sk = ctx->sk;
	struct datagrams *own;
	struct datagram_flow *flow;
	__u32 number;
	__u64 id;

	if (!sk)
		return;
	own = bpf_sk_storage_get(&datagrams, sk, 0, 0);
	if (!own || !own->made)
		return;
	remote_read(ctx, v6, &remote);
	number = flow_of_address(&remote);
	if (number) {
		flow = flow_get(number);
		if (!flow || flow->socket != own->socket || flow->port != remote.port ||
		    flow->state != FLOW_REDIRECTED)
			return;
		id = flow->hop.flow;
		flow->used = bpf_ktime_get_boot_ns();
		remote = flow->hop.destination;
		/* Another flow may have its memory since. */
		flow = flow_get(number);
		if (flow && flow->hop.flow == id && flow->socket == own->socket)
			remote_write(ctx, v6, &remote);
		return;
	}
	/* What goes straight to its destination is in use as well. */
	number = flow_find(own->socket, &remote);
	flow = number ? flow_get(number) : 0;
	if (flow)
		flow->used = bpf_ktime_get_boot_ns();
}

#endif
