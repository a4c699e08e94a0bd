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

/* As has_source_route(): nor may what is redirected leave the host this way. */
static __always_inline int datagram_has_source_route(struct bpf_sock *sk)
{
	struct inet_sock *inet = (struct inet_sock *)sock_read_only(sk);

	return BPF_CORE_READ(inet, inet_opt, opt.srr) || BPF_CORE_READ(inet, pinet6, opt, srcrt);
}

enum reply { REPLY_NOT, REPLY_OF_FLOW, REPLY_LATE };

/* Whether a service sends this from the address of a flow, at its own port: to that flow's client. */
static __attribute__((noinline)) int is_reply(struct bpf_sock_addr *ctx, const void *image,
					      const struct policy_header *header, int v6,
					      int connecting)
{
	const struct policy_cell *cell;
	struct waybill_address local;
	struct bpf_sock *sk = ctx->sk;
	struct datagram_flow *flow;
	__u32 number, port;

	if (!sk || !header)
		return REPLY_NOT;
	local_read(ctx, v6, connecting, &local);
	number = flow_of_address(&local);
	if (!number)
		return REPLY_NOT;
	port = sk->src_port;
	cell = policy_hash_find(image, &header->endpoints, policy_endpoint_key(1, port));
	if (!cell || !(services_of_udp(image, header, sk) >> (cell->value & 63) & 1))
		return REPLY_NOT;
	flow = flow_get(number);
	if (!flow || flow->port != bpf_htons(port) || flow->state != FLOW_REDIRECTED)
		return REPLY_LATE;
	flow->used = bpf_ktime_get_boot_ns();
	return REPLY_OF_FLOW;
}

/* Whether the service that a flow goes to is alive. Its flows end with it, as connections do. */
static __attribute__((noinline)) int flow_lives(struct bpf_sock_addr *ctx, const void *image,
						const struct policy_header *header,
						const struct datagram_flow *flow)
{
	const struct policy_cell *cell;
	struct waybill_address endpoint;

	if (!header || !flow)
		return 0;
	cell = policy_hash_find(image, &header->ids, flow->hop.service);
	if (!cell || !reaches_loopback(ctx, flow->hop.destination.family))
		return 0;
	flow_address(1, flow->hop.destination.family, &endpoint);
	endpoint.port = flow->port;
	return services_of_listener(ctx, image, header, &endpoint) >> (cell->value & 63) & 1;
}

static __always_inline void flow_send(struct bpf_sock_addr *ctx, int v6, struct datagram_flow *flow,
				      __u32 number)
{
	struct waybill_address address;

	flow_address(number, flow->hop.destination.family, &address);
	address.port = flow->port;
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

/* What a flow's history is made of: the records of the socket, or what its service is presumed. */
static __always_inline int flow_history_fill(struct bpf_sock_addr *ctx, __u32 number,
					     const struct history *from, __u32 presumed,
					     const struct waybill_address *destination, __u64 scope,
					     __u32 application)
{
	struct flow_history *history = bpf_map_lookup_elem(&flow_histories, &number);
	struct records_hop *hop;

	if (!history)
		return 0;
	if (from) {
		if (from->length > sizeof(history->parts))
			return 0;
		history->length = from->length;
		history->hop_count = from->summary.hop_count;
		history->first_hop = from->summary.first_hop;
		history->presumed = from->summary.presumed;
		__builtin_memcpy(history->services, from->summary.services,
				 sizeof(history->services));
		history->uid = from->originator.uid;
		history->gid = from->originator.gid;
		history->cgroup = from->originator.cgroup;
		history->scope = from->originator_scope;
		return !bpf_probe_read_kernel(history->parts, sizeof(history->parts), from->parts);
	}
	hop = (void *)history->parts;
	hop_presume(ctx, hop, presumed, destination, scope, application);
	history->length = RECORDS_HOP_SIZE;
	history->hop_count = 1;
	history->first_hop = 0;
	history->presumed = 1;
	history->services[0] = presumed;
	history->uid = hop->client.uid;
	history->gid = hop->client.gid;
	history->cgroup = hop->client.cgroup;
	history->scope = scope;
	return 1;
}

/* A datagram, or a connect, and what is decided on it. */
struct flow_request {
	struct event_subject to;
	/* In one word, since the stack is short. */
	__u32 number : 30; /* of its flow, 0 if there is none yet */
	__u32 given : 1;   /* its records were set, for this destination */
	__u32 history : 1; /* its socket has records for it */
	struct walk walk;
	struct place place;
};

/* What the client's socket has of flows, or NULL. */
static __always_inline struct datagrams *datagrams_of(struct bpf_sock *sk)
{
	return sk ? bpf_sk_storage_get(&datagrams, sk, 0, 0) : 0;
}

/* On one that belongs to no flow yet, or to one of which the records only are known. */
static __always_inline int flow_decide(struct bpf_sock_addr *ctx, int v6, int connecting,
				       struct flow_request *request)
{
	struct flow_history *given = 0;
	__u32 number = request->number;
	struct datagrams *own;
	struct history *history;

	if (number)
		given = bpf_map_lookup_elem(&flow_histories, &number);
	own = given ? datagrams_of(ctx->sk) : 0;
	if (own && !records_are_own(request->walk.image, request->walk.header, given->services,
				    given->hop_count)) {
		flow_end(number, own->socket);
		request->number = 0;
		given = 0;
	}
	if (given) {
		walk_onward_flow(&request->walk, &request->place, given);
		request->given = 1;
	} else {
		history = ctx->sk ? bpf_sk_storage_get(&histories, ctx->sk, 0, 0) : 0;
		history = history_unused(request->walk.image, request->walk.header, history);
		if (history) {
			walk_onward(&request->walk, &request->place, history);
			request->history = 1;
		}
	}
	return arbitrate(ctx, v6, connecting, &request->walk, &request->place, 1);
}

/*
 * Makes the flow that was decided on, if its records have not. Returns 0 if that cannot be. A
 * function of its own for the sake of the stack, as the next one.
 */
static __attribute__((noinline)) int flow_prepare(struct bpf_sock_addr *ctx,
						  struct flow_request *request)
{
	struct datagrams *own;
	struct history *history;
	__u32 with_history;
	struct bpf_sock *sk;

	if (!request)
		return 0;
	if (request->given)
		return request->number != 0;
	sk = ctx->sk;
	if (!sk)
		return 0;
	own = datagrams_make(bpf_sk_storage_get(&datagrams, sk, 0, BPF_SK_STORAGE_GET_F_CREATE));
	if (!own)
		return 0;
	with_history = request->history | request->walk.presumed;
	request->number = flow_make(own, &request->to.destination, request->walk.uid, with_history);
	if (!request->number)
		return 0;
	if (!with_history)
		return 1;
	history = request->history ? bpf_sk_storage_get(&histories, sk, 0, 0) : 0;
	if ((!request->history || history) &&
	    flow_history_fill(ctx, request->number, history, request->walk.presumed,
			      &request->to.destination, request->place.scope,
			      request->walk.application))
		return 1;
	flow_end(request->number, own->socket);
	request->number = 0;
	return 0;
}

/* What has been decided becomes the flow's, and it is found from now on. */
static __attribute__((noinline)) int flow_settle(struct bpf_sock_addr *ctx,
						 struct flow_request *request,
						 const struct policy_service *service,
						 const struct policy_filter *filter)
{
	struct datagram_flow *flow;
	struct datagrams *own;

	if (!request)
		return 0;
	flow = flow_get(request->number);
	if (!flow)
		return 0;
	if (service && filter) {
		hop_fill(ctx, &flow->hop, &request->to.destination, service, filter, flow->hop.flow,
			 request->place.scope, request->walk.application);
		flow->hop_count =
			request->to.hop_count + 1 + (request->walk.presumed && !request->history);
		flow->context_size = filter->context_size;
		flow->port = service->udp_port;
		flow->state = FLOW_REDIRECTED;
	} else {
		flow->state = FLOW_DIRECT;
	}
	flow->used = bpf_ktime_get_boot_ns();
	flow->issued = flow->used;
	if (request->given)
		return 1;
	own = datagrams_of(ctx->sk);
	if (!own)
		return 0;
	request->number = flow_publish(own, &request->to.destination, request->number);
	return request->number != 0;
}

static __always_inline int flow_begin(struct bpf_sock_addr *ctx, int v6, int connecting,
				      struct flow_request *request)
{
	const struct policy_service *service = 0;
	const struct policy_filter *filter = 0;
	struct walk *walk = &request->walk;
	struct history *history;
	struct bpf_sock *sk = ctx->sk;
	struct datagram_flow *flow;
	struct datagrams *own;
	int answer;

	if (!sk)
		return ALLOW;
	answer = flow_decide(ctx, v6, connecting, request);
	if (answer == ARBITRATE_REFUSE)
		return REFUSE;
	if (answer == ARBITRATE_ALLOW) {
		own = connecting ? datagrams_of(sk) : 0;
		if (own)
			flow_connect(own, 0);
		/* A later datagram has no records; a flow says that it needs none. */
		if (connecting || !(request->given || request->history))
			return ALLOW;
	} else {
		filter = policy_filter(walk->image, walk->header, walk->filter);
		service = filter ? policy_service(walk->image, walk->header, filter->slot) : 0;
		if (!service)
			return ALLOW;
		if (datagram_has_source_route(sk))
			return refuse(ECONNREFUSED, COUNT_SOURCE_ROUTE, DECISION_SOURCE_ROUTE,
				      service, filter, &request->to);
	}
	if (!flow_prepare(ctx, request) || !flow_settle(ctx, request, service, filter))
		return refuse(ENOBUFS, COUNT_FLOW_FULL, DECISION_FULL, service, filter,
			      &request->to);
	own = connecting ? datagrams_of(sk) : 0;
	if (own) {
		flow_connect(own, request->number);
		history = request->history ? bpf_sk_storage_get(&histories, sk, 0, 0) : 0;
		if (history)
			history->used = 1;
	}
	flow = flow_get(request->number);
	if (!flow || flow->state != FLOW_REDIRECTED || !service)
		return ALLOW;
	flow_send(ctx, v6, flow, request->number);
	count(COUNT_FLOWS);
	service_count(service->id, DECISION_REDIRECT);
	event_report(DECISION_REDIRECT, flow->hop.flow, service->id, filter->id, &request->to);
	return ALLOW;
}

/* connect and sendmsg. */
static __always_inline int datagram_send(struct bpf_sock_addr *ctx, int v6, int connecting)
{
	struct flow_request request = {};
	struct bpf_sock *sk = ctx->sk;
	struct datagrams *own;
	struct datagram_flow *flow;
	__u32 number;

	if (ctx->protocol != IPPROTO_UDP || !sk)
		return ALLOW;
	request.walk.image = policy_in_force();
	if (!request.walk.image)
		return ALLOW;
	request.walk.header = policy_line(request.walk.image, 0);
	if (!request.walk.header)
		return ALLOW;
	own = bpf_sk_storage_get(&datagrams, sk, 0, 0);
	if (!own && !request.walk.header->udp)
		return ALLOW;
	request.walk.to = &request.to;
	remote_read(ctx, v6, &request.to.destination);
	remote_resolve(sk, &request.to.destination);
	request.to.destination.scope_id = scope_of(ctx, &request.to.destination);
	number = is_reply(ctx, request.walk.image, request.walk.header, v6, connecting);
	if (number == REPLY_OF_FLOW)
		return ALLOW;
	/* Nobody waits for it any more, and it must not go anywhere else. */
	if (number == REPLY_LATE)
		return refuse(ECONNREFUSED, COUNT_FLOW_LATE, DECISION_FLOW_LATE, 0, 0, &request.to);
	/* Most belong to no flow, and no filter can match them. */
	if (!own && !flow_of_address(&request.to.destination) &&
	    !filters_match_destination(&request.walk, 1)) {
		event_report(DECISION_NO_FILTER, 0, 0, 0, &request.to);
		return ALLOW;
	}
	if (own) {
		number = flow_find(own->socket, &request.to.destination);
		flow = number ? flow_get(number) : 0;
		if (flow && flow->state == FLOW_REDIRECTED &&
		    flow_lives(ctx, request.walk.image, request.walk.header, flow)) {
			flow->used = bpf_ktime_get_boot_ns();
			flow_send(ctx, v6, flow, number);
			if (connecting)
				flow_connect(own, number);
			return ALLOW;
		}
		if (flow && flow->state == FLOW_DIRECT && !connecting) {
			flow->used = bpf_ktime_get_boot_ns();
			return ALLOW;
		}
		if (flow && flow->state == FLOW_RECORDS)
			request.number = number;
		else if (flow)
			flow_end(number, own->socket);
	}
	/* The address of a flow is for the socket alone whose flow it is: nobody slips in there. */
	number = flow_of_address(&request.to.destination);
	if (number &&
	    is_endpoint(ctx, request.walk.image, request.walk.header, &request.to.destination)) {
		flow = flow_get(number);
		if (own && flow && flow->socket == own->socket)
			return ALLOW;
		return refuse(ECONNREFUSED, COUNT_FLOW_FOREIGN, DECISION_FLOW_FOREIGN, 0, 0,
			      &request.to);
	}
	return flow_begin(ctx, v6, connecting, &request);
}

/* recvmsg: what came from a flow's address comes from the peer. */
static __always_inline void datagram_receive(struct bpf_sock_addr *ctx, int v6)
{
	struct waybill_address remote;
	struct bpf_sock *sk = ctx->sk;
	struct datagrams *own;
	struct datagram_flow *flow;
	__u32 number;

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
		flow->used = bpf_ktime_get_boot_ns();
		remote_write(ctx, v6, &flow->hop.destination);
		return;
	}
	/* What goes straight to its destination is in use as well. */
	number = flow_find(own->socket, &remote);
	flow = number ? flow_get(number) : 0;
	if (flow)
		flow->used = bpf_ktime_get_boot_ns();
}

#endif
