/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The connect hook of TCP: asks who sees this connection next, and rewrites the address to the
 * endpoint of that service. One path for IPv4, IPv6 and v4-mapped. It is all of ours that runs on
 * an application's socket, and it leaves nothing on it but its source.
 */
#ifndef WAYBILL_KERNEL_CONNECT_H
#define WAYBILL_KERNEL_CONNECT_H

#include "arbitrate.h"
#include "originator.h"
#include "source.h"

static __always_inline int is_subflow_of_established(struct bpf_sock *sk)
{
	struct sock *parent = sock_parent(sk);

	return parent && parent->__sk_common.skc_state == BPF_TCP_ESTABLISHED;
}

/* The records that a socket bears for its next connection. They are for one. */
static __always_inline struct history *history_of(struct bpf_sock *sk)
{
	struct history *history = storage_get(&histories, sk, 0, 0);

	if (!history || !history->length)
		return 0;
	if (!history->used)
		return history;
	history_clear(history);
	return 0;
}

/*
 * The history of a connection is that of its socket, or what its service is presumed to have seen.
 * It stays with the number for its next connection, which most likely is of the same kind.
 */
GLOBAL int connection_history(struct connection *connection, const struct question *question,
			      const struct decision *decision, const struct history *history)
{
	struct history *own;
	__u32 number, length;

	if (!connection || !question || !decision)
		return 0;
	number = connection->number;
	own = bpf_map_lookup_elem(&connection_histories, &number);
	if (!own) {
		bpf_map_update_elem(&connection_histories, &number, &connection_history_zero,
				    BPF_NOEXIST);
		own = bpf_map_lookup_elem(&connection_histories, &number);
		if (!own)
			return 0;
	}
	connection->history = 1;
	if (decision->presumed) {
		history_presume(own, question, decision, &connection->originator);
		return 1;
	}
	if (!history)
		return 0;
	length = history->length;
	if (length > HISTORY_PARTS_MAX)
		return 0;
	return !bpf_probe_read_kernel(own, __builtin_offsetof(struct history, parts) + length,
				      history);
}

/* Who connects, and where to. */
GLOBAL int connection_fill(struct bpf_sock_addr *ctx, struct connection *connection,
			   const struct question *question, const struct decision *decision)
{
	struct bpf_sock *sk = ctx->sk;

	if (!connection || !question || !decision || !sk)
		return 0;
	hop_fill(&connection->hop, question, decision, flow_id_next());
	connection->issued = connection->hop.time;
	connection->hop_count = question->to.hop_count + 1 + (decision->presumed != 0);
	connection->context_size = decision->context_size;
	connection->endpoint = decision->endpoint;
	connection->client = bpf_get_socket_cookie(ctx);
	connection->client_socket = (__u64)sock_of(sk);
	connection->client_parent = (__u64)sock_parent(sk);
	return 1;
}

/*
 * Whether somebody listens where a connection goes, if that is on this host's loopback: a program
 * that finds nobody at ::1 goes on to 127.0.0.1, and must not be told that somebody is there. What
 * answers by other means than a listener, the policy says.
 */
GLOBAL int connect_is_heard(struct bpf_sock_addr *ctx, const struct subject *to)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *listener;
	__u32 size;

	if (!to || !header || header->flags & POLICY_REDIRECT_UNHEARD ||
	    !address_is_loopback((const __u32 *)to->destination.address))
		return 1;
	if (to->destination.family == ADDRESS_INET) {
		tuple.ipv4.daddr = *(const __u32 *)(to->destination.address + 12);
		tuple.ipv4.dport = to->destination.port;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.daddr, to->destination.address, 16);
		tuple.ipv6.dport = to->destination.port;
		size = sizeof(tuple.ipv6);
	}
	listener = bpf_sk_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!listener)
		return 0;
	bpf_sk_release(listener);
	return 1;
}

/*
 * A connection that goes straight on. Only one cannot: of a socket of IPv6 that was redirected by
 * IPv4 before the kernel makes none by IPv6 any more. It would hang.
 */
static __always_inline int connect_straight(int v6, __u32 given, const struct question *question,
					    const struct decision *decision)
{
	if (v6 && given && question->to.destination.family == ADDRESS_INET6)
		return refuse(EADDRNOTAVAIL, DECISION_USED_AGAIN, question, decision);
	return ALLOW;
}

/*
 * Makes the connection that was decided on. local: what the socket is bound to, with its port.
 * Returns its flow id, or a negative errno.
 */
static __always_inline __s64 connection_begin(struct bpf_sock_addr *ctx, __u32 v6,
					      struct question *question,
					      const struct decision *decision,
					      const struct history *history)
{
	struct waybill_address *local = &question->local;
	__u32 account = account_find(question, history), number;
	struct connection *connection;
	int error = 0;

	number = connection_room(ctx, account) ? connection_find_number(ctx) : 0;
	connection = number ? connection_get(number) : 0;
	if (!connection)
		return -EAGAIN;
	connection_count(connection, number, account);
	originator_fill(ctx, question, account, &connection->originator);
	if (!connection_fill(ctx, connection, question, decision) ||
	    ((question->to.hop_count || decision->presumed) &&
	     !connection_history(connection, question, decision, history)))
		error = ENOMEM;
	if (!error && !source_number(ctx, v6, local, connection))
		error = source_find_by(ctx, v6, local, connection);
	if (error) {
		connection_abandon(connection);
		return -error;
	}
	/* From now on it is found. */
	__sync_lock_test_and_set(&connection->claim,
				 connection->hop.flow << CLAIM_BITS | CLAIM_OPEN);
	return connection->hop.flow;
}

/*
 * A socket of IPv6 that has bound nothing goes by IPv4, where there are as many sources as
 * connections, if its service listens there too and has nothing against it.
 */
GLOBAL int connect_by_ipv4(struct bpf_sock_addr *ctx, const struct question *question,
			   struct decision *decision)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	const struct policy_service *service;
	struct waybill_address endpoint;
	struct bpf_sock *sk = ctx->sk;
	struct sock *socket;

	if (!sk || !question || !decision || !header || header->generation != decision->generation ||
	    decision->endpoint.family == ADDRESS_INET || question->local.port ||
	    !address_is_zero((const __u32 *)question->local.address))
		return 0;
	socket = sock_of(sk);
	service = policy_service(image, header, decision->slot);
	if (BPF_CORE_READ_BITFIELD_PROBED(socket, __sk_common.skc_ipv6only) || !service ||
	    service->keep_family || !service_endpoint(service, ADDRESS_INET, 0, &endpoint) ||
	    !(services_at(ctx, image, header, &endpoint) >> (decision->slot & 63) & 1))
		return 0;
	decision->endpoint = endpoint;
	return 1;
}

static __always_inline int connect_redirect(struct bpf_sock_addr *ctx, int v6)
{
	struct question question = {};
	struct decision decision = {};
	struct history *history;
	struct bpf_sock *sk = ctx->sk;
	__s64 flow;
	__u32 given;
	int answer;

	if (ctx->protocol != IPPROTO_TCP || !policy_in_force())
		return ALLOW;
	if (!sk)
		return refuse(ECONNREFUSED, DECISION_BROKEN, &question, &decision);
	given = connection_of_address(sk->src_ip4);
	if (given) {
		remote_read(ctx, v6, &question.to.destination);
		source_return(ctx, v6, &question.to.destination, given);
	}
	ask_addresses(ctx, v6, 1, sk, &question);
	/* What an earlier connect chose, its program did not. */
	if (given)
		address_forget(&question.local, v6 ? ADDRESS_INET6 : ADDRESS_INET);
	else if (sk->src_port)
		source_again(ctx, &question.local, &question.to.destination);
	if (!decide_destination(&question.to, &decision)) {
		event_report(DECISION_NO_FILTER, 0, 0, 0, &question.to);
		return connect_straight(v6, given, &question, &decision);
	}
	/* The kernel adds subflows to MPTCP connections that have been decided on. */
	if (is_subflow_of_established(sk))
		return ALLOW;
	history = history_of(sk);
	ask_socket(ctx, sk, &question);
	answer = arbitrate(ctx, &question, &decision, history);
	if (history && question.foreign)
		history_clear(history);
	if (answer == ALLOW)
		return connect_straight(v6, given, &question, &decision);
	if (answer != ARBITRATE_REDIRECT)
		return REFUSE;
	if (has_source_route(sk))
		return refuse(ECONNREFUSED, DECISION_SOURCE_ROUTE, &question, &decision);
	if (!connect_is_heard(ctx, &question.to))
		return refuse(ECONNREFUSED, DECISION_UNHEARD, &question, &decision);
	question.local.port = bpf_htons(sk->src_port);
	if (v6)
		connect_by_ipv4(ctx, &question, &decision);
	flow = connection_begin(ctx, v6, &question, &decision, history);
	if (flow == -ENOMEM)
		return refuse(ENOMEM, DECISION_NO_MEMORY, &question, &decision);
	if (flow == -EADDRNOTAVAIL)
		return refuse(EADDRNOTAVAIL, DECISION_NO_SOURCE, &question, &decision);
	if (flow < 0)
		return refuse(EAGAIN, DECISION_FULL, &question, &decision);
	remote_write(ctx, v6, &decision.endpoint);
	if (decision.presumed)
		question.to.hop_count = 1;
	report(DECISION_REDIRECT, flow, decision.service, decision.filter, &question.to);
	return ALLOW;
}

#endif
