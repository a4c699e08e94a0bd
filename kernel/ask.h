/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The question of a hook on a socket's address: all that is read of the context, in the one form
 * that everything else works with; and how an address is written back. The context is that of
 * connect, sendmsg, recvmsg, getpeername or bind.
 */
#ifndef WAYBILL_KERNEL_ASK_H
#define WAYBILL_KERNEL_ASK_H

#include "application.h"
#include "history.h"
#include "identity.h"

/* Functions of their own, apart from their callers' stack. */
GLOBAL int remote_read4(struct bpf_sock_addr *ctx, struct waybill_address *remote)
{
	if (!remote)
		return 0;
	remote->family = ADDRESS_INET;
	remote->port = ctx->user_port;
	remote->scope_id = 0;
	address_map(remote->address, ctx->user_ip4);
	return 0;
}

GLOBAL int remote_read6(struct bpf_sock_addr *ctx, struct waybill_address *remote)
{
	__u32 *word;

	if (!remote)
		return 0;
	word = (__u32 *)remote->address;
	word[0] = ctx->user_ip6[0];
	word[1] = ctx->user_ip6[1];
	word[2] = ctx->user_ip6[2];
	word[3] = ctx->user_ip6[3];
	remote->family = address_is_mapped(word) ? ADDRESS_INET : ADDRESS_INET6;
	remote->port = ctx->user_port;
	remote->scope_id = 0;
	return 0;
}

static __always_inline void remote_read(struct bpf_sock_addr *ctx, int v6,
					struct waybill_address *remote)
{
	if (v6)
		remote_read6(ctx, remote);
	else
		remote_read4(ctx, remote);
}

static __always_inline void remote_write(struct bpf_sock_addr *ctx, int v6,
					 const struct waybill_address *remote)
{
	const __u32 *word = (const __u32 *)remote->address;

	ctx->user_port = remote->port;
	if (v6) {
		ctx->user_ip6[0] = word[0];
		ctx->user_ip6[1] = word[1];
		ctx->user_ip6[2] = word[2];
		ctx->user_ip6[3] = word[3];
	} else {
		ctx->user_ip4 = word[3];
	}
}

GLOBAL int bound_read6(struct bpf_sock_addr *ctx, struct waybill_address *bound)
{
	struct bpf_sock *sk = ctx->sk;
	__u32 *word;

	if (!sk || !bound)
		return 0;
	word = (__u32 *)bound->address;
	word[0] = sk->src_ip6[0];
	word[1] = sk->src_ip6[1];
	word[2] = sk->src_ip6[2];
	word[3] = sk->src_ip6[3];
	bound->family = address_is_mapped(word) ? ADDRESS_INET : ADDRESS_INET6;
	return 0;
}

/*
 * The address that a socket is bound to, or a datagram leaves from, as far as that is chosen: else
 * 0.
 */
static __always_inline void local_read(struct bpf_sock_addr *context, int v6, int connecting,
				       struct bpf_sock *sk, struct waybill_address *local)
{
	/* The verifier wants every load from the context by itself, as it is written here. */
	volatile struct bpf_sock_addr *ctx = context;
	__u32 *word = (__u32 *)local->address;

	local->family = ADDRESS_INET;
	local->port = 0;
	local->scope_id = 0;
	if (!v6) {
		address_map(local->address, connecting ? sk->src_ip4 : ctx->msg_src_ip4);
	} else if (connecting) {
		bound_read6(context, local);
	} else {
		__u32 chosen[4] = { ctx->msg_src_ip6[0], ctx->msg_src_ip6[1], ctx->msg_src_ip6[2],
				    ctx->msg_src_ip6[3] };

		__builtin_memcpy(word, chosen, sizeof(chosen));
		if (!address_is_mapped(word))
			local->family = ADDRESS_INET6;
	}
}

/*
 * The interface of a link-local address, without which nobody can connect to it. The context does
 * not have it, so it is read from the kernel's own; else it is that of the device the socket is
 * bound to.
 */
static __always_inline __u32 interface_of(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					  const struct waybill_address *address)
{
	struct bpf_sock_addr_kern *kernel = 0;
	struct sockaddr_in6 *given;
	__u32 scope = 0;

	if (!address_is_link_local((const __u32 *)address->address))
		return 0;
	/* The length first: what a short address does not have is left over from something else. */
	if (bpf_cast_to_kern_ctx && bpf_core_field_exists(kernel->uaddrlen)) {
		kernel = bpf_cast_to_kern_ctx(ctx);
		given = kernel->uaddr;
		if (kernel->uaddrlen >= SOCKADDR_IN6_SIZE)
			bpf_core_read(&scope, sizeof(scope), &given->sin6_scope_id);
	}
	return scope ? scope : sk->bound_dev_if;
}

/* Packets of such a socket would not go where they are sent. */
static __always_inline int has_source_route(struct bpf_sock *sk)
{
	struct inet_sock *inet = inet_of(sk);

	struct ipv6_pinfo *inet6 = KERNEL_READ(inet, pinet6);

	return (KERNEL_READ(inet, inet_opt) && BPF_CORE_READ(inet, inet_opt, opt.srr)) ||
	       (inet6 && BPF_CORE_READ(inet6, opt, srcrt));
}

/* What rules most connections out, and comes first. */
static __always_inline void ask_addresses(struct bpf_sock_addr *ctx, int v6, int connecting,
					  struct bpf_sock *sk, struct question *question)
{
	struct waybill_address *to = &question->to.destination;

	question->to.hop_count = 0;
	question->to.udp = ctx->protocol == IPPROTO_UDP;
	remote_read(ctx, v6, to);
	local_read(ctx, v6, connecting, sk, &question->local);
	address_resolve(to, &question->local);
	address_bound_for(to, &question->local);
	to->scope_id = interface_of(ctx, sk, to);
}

/* Whether packets may leave with a source that is none of this host's. */
static __always_inline int is_transparent(struct inet_sock *inet)
{
	struct inet_sock___bits *bits = (void *)inet;

	if (bpf_core_field_exists(bits->transparent))
		return BPF_CORE_READ_BITFIELD_PROBED(bits, transparent);
	return KERNEL_READ(inet, inet_flags) >> INET_FLAGS_TRANSPARENT & 1;
}

/*
 * Whether a socket has what a connection within this host cannot keep: signed segments, which its
 * service knows no key for; a source that is another host's, to which the answer would go; a limit
 * on how far packets have come. Such connections would hang, or be other than they seem.
 */
GLOBAL int is_for_hosts_alone(struct bpf_sock_addr *ctx, const struct question *question)
{
	const __u32 *local;
	struct bpf_sock *sk = ctx->sk;
	struct ipv6_pinfo *inet6;
	struct inet_sock *inet;
	struct tcp_sock *tcp;

	if (!sk || !question)
		return 0;
	inet = inet_of(sk);
	inet6 = KERNEL_READ(inet, pinet6);
	if (KERNEL_READ(inet, min_ttl) || (inet6 && KERNEL_READ(inet6, min_hopcount)))
		return 1;
	local = (const __u32 *)question->local.address;
	if (is_transparent(inet) && !address_is_loopback(local) &&
	    (question->local.family == ADDRESS_INET ? local[3] != 0 : !address_is_zero(local)))
		return 1;
	if (question->to.udp)
		return 0;
	tcp = KERNEL_AT(inet, struct tcp_sock);
	return (bpf_core_field_exists(tcp->md5sig_info) && KERNEL_READ(tcp, md5sig_info)) ||
	       (bpf_core_field_exists(tcp->ao_info) && KERNEL_READ(tcp, ao_info));
}

/*
 * A socket bound to another device does not reach loopback: it would hang, not fail. Nor do IPv6
 * datagrams where the flows' prefix is not local: they would leave the host.
 */
static __always_inline int is_unreachable(const struct question *question)
{
	struct control *settings;

	if (question->interface && question->interface != LOOPBACK_IFINDEX)
		return 1;
	if (!question->to.udp || question->to.destination.family == ADDRESS_INET)
		return 0;
	settings = control_get();
	return !settings || settings->datagrams6 != question->netns;
}

/* The rest of what the socket says. */
static __always_inline void ask_socket(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
				       struct question *question)
{
	question->netns = bpf_get_netns_cookie(ctx);
	question->interface = sk->bound_dev_if;
	question->unreachable = is_unreachable(question) || is_for_hosts_alone(ctx, question);
}

/*
 * Who connects, by the policy that the decision has begun with: returns 0 if another is in force by
 * now.
 */
GLOBAL int ask_originator(struct question *question, const struct decision *decision)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	struct policy_executable executable;
	const struct policy_more *more;
	struct scope_walk walk;
	__u64 ids;

	if (!question || !decision || !header || header->generation != decision->generation)
		return 0;
	ids = bpf_get_current_uid_gid();
	question->uid = (__u32)ids;
	question->gid = ids >> 32;
	question->scope = question->cgroup = scope_find(&walk, image, header);
	question->application = 0;
	if (!header->more)
		return 1;
	more = policy_line(image, header->more);
	if (!more)
		return 0;
	if (more->executables.first) {
		executable_of_current(&executable);
		question->application = policy_application_find(image, more, &executable);
	}
	return 1;
}

/*
 * Whether records are not those of somebody, by the services that he may be: a socket that bears
 * them may have been passed on, or inherited. Those of a service that has left the policy hold for
 * nobody.
 */
static __always_inline int is_foreign(const void *image, const struct policy_header *header,
				      const struct history *history, __u64 services)
{
	__u32 last = history_service(history, history->hop_count - 1);

	if (services & services_of_hop(image, header, last, 0))
		return 0;
	count(COUNT_RECORDS_FOREIGN);
	return 1;
}

/* The same of the current process, where nothing else is asked. */
GLOBAL int records_are_foreign(const struct history *history)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;

	return !history || !header ||
	       is_foreign(image, header, history, services_of_current(image, header, 0));
}

/* What the records say, if they are those of whoever connects. Returns 0 as the one above. */
GLOBAL int ask_records(struct question *question, const struct decision *decision,
		       const struct history *history)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	const struct records_hop *first;
	__u64 own;

	if (!question || !decision || !header || header->generation != decision->generation)
		return 0;
	question->to.hop_count = 0;
	question->original = 0;
	question->seen = 0;
	question->foreign = 0;
	first = history ? history_hop(history, 0) : 0;
	if (!first)
		return 1;
	own = services_of(image, header, question->uid, question->scope, 0);
	question->foreign = is_foreign(image, header, history, own);
	if (question->foreign)
		return 1;
	question->uid = first->client.uid;
	question->gid = first->client.gid;
	question->cgroup = first->client.cgroup;
	question->scope = first->cgroup_scope;
	question->original = first->client.application;
	question->to.hop_count = history->hop_count;
	question->seen = history_seen(image, header, history);
	return 1;
}

static __always_inline int ask_policy(struct question *question, const struct decision *decision,
				      const struct history *history)
{
	return ask_originator(question, decision) && ask_records(question, decision, history);
}

#endif
