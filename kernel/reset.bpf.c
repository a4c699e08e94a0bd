// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ends flows that live. An object of its own, loaded when somebody asks for it, over the maps of
 * the instance: so an older kernel, which cannot do it, takes all the rest. A connection is known
 * by its flow id, which both of its sockets bear and no other connection ever has; a flow of
 * datagrams by its number and its client's.
 */
/* What makes flows is not needed here. */
#pragma clang diagnostic ignored "-Wunused-function"

#include "flow.h"
#include "flows.h"
#include "identity.h"

/* From 6.5 on. Called with the socket's lock held, which the iterator takes. */
extern int bpf_sock_destroy(struct sock_common *sk) __ksym __weak;

/* The ids of flows to end -> how many sockets of it could not be. Written by platform/ and here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RESET_MAX);
	__type(key, __u64);
	__type(value, __u32);
} resets SEC(".maps");

/* And sockets that belong to no flow, by their cookies. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RESET_MAX);
	__type(key, __u64);
	__type(value, __u32);
} socket_resets SEC(".maps");

static __always_inline __u32 *reset_of(const struct records_hop *hop)
{
	__u64 flow = hop->flow;

	return bpf_map_lookup_elem(&resets, &flow);
}

SEC("iter/tcp")
int waybill_reset(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct connection *connection;
	struct sock *sk, *owner;
	struct tcp_sock *tcp;
	struct socket *socket;
	__u32 *failed = 0, number;
	__u64 cookie;

	if (!common)
		return 0;
	tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp)
		return 0;
	sk = &tcp->inet_conn.icsk_inet.sk;
	/* Of an MPTCP connection every subflow is ended; the record is its parent's. */
	socket = sk->sk_socket;
	owner = socket && socket->sk ? socket->sk : sk;
	connection = connection_of_socket(sk, owner, 0, &number);
	if (!connection)
		connection = connection_of_socket(sk, owner, 1, &number);
	if (connection)
		failed = reset_of(&connection->hop);
	if (!failed) {
		cookie = bpf_get_socket_cookie(sk);
		failed = bpf_map_lookup_elem(&socket_resets, &cookie);
	}
	if (failed && bpf_sock_destroy && bpf_sock_destroy(common))
		__sync_fetch_and_add(failed, 1);
	return 0;
}

#define SOCK_BINDADDR_LOCK 4
/* Connected, or about to be, and of use to somebody. */
#define STATES_CONNECTED                                                                           \
	(1 << BPF_TCP_SYN_SENT | 1 << BPF_TCP_ESTABLISHED | 1 << BPF_TCP_FIN_WAIT1 |               \
	 1 << BPF_TCP_FIN_WAIT2 | 1 << BPF_TCP_CLOSE_WAIT)

/*
 * Whether a socket was connected by its program, as far as it tells: one that was accepted has the
 * backlog of its listener, of which it is a copy.
 */
static __always_inline int is_client(struct sock *sk)
{
	return 1 << (sk->__sk_common.skc_state & 31) & STATES_CONNECTED && !sk->sk_max_ack_backlog;
}

/*
 * Whether a hook had to do with it: then its flow is what it is known by, or that of its service.
 */
static __always_inline int is_of_flow(struct sock *sk, struct sock *owner)
{
	struct history *history;
	__u32 number;

	if (connection_of_socket(sk, owner, 1, &number) ||
	    connection_of_socket(sk, owner, 0, &number))
		return 1;
	history = bpf_sk_storage_get(&histories, owner, 0, 0);
	return history && history->length;
}

SEC("iter/tcp")
int waybill_sockets(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct socket_entry entry = {};
	struct socket_alloc *file;
	struct owner maker = {};
	struct cgroup *cgroup;
	struct sock *sk, *owner;
	struct tcp_sock *tcp;
	struct socket *socket;

	if (!common)
		return 0;
	tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp)
		return 0;
	sk = &tcp->inet_conn.icsk_inet.sk;
	if (!is_client(sk))
		return 0;
	/*
	 * Of an MPTCP connection the program's socket is the parent. One that is closed has none.
	 */
	socket = sk->sk_socket;
	owner = socket ? socket->sk : 0;
	if (!owner || is_of_flow(sk, owner))
		return 0;
	cgroup = owner->sk_cgrp_data.cgroup;
	maker.cgroup = cgroup;
	maker.level = cgroup ? cgroup->level : 0;
	maker.uid = owner->sk_uid.val;
	if (!is_ours(&maker))
		return 0;
	file = (struct socket_alloc *)socket;
	entry.cookie = bpf_get_socket_cookie(sk);
	entry.cgroup = BPF_CORE_READ(cgroup, kn, id);
	entry.uid = maker.uid;
	entry.gid = BPF_CORE_READ(file, vfs_inode.i_gid.val);
	entry.inode = BPF_CORE_READ(file, vfs_inode.i_ino);
	entry.interface = sk->__sk_common.skc_bound_dev_if;
	socket_addresses(sk, &entry.local, &entry.remote);
	entry.bound = BPF_CORE_READ_BITFIELD_PROBED(owner, sk_userlocks) & SOCK_BINDADDR_LOCK;
	entry.tcp_state = sk->__sk_common.skc_state;
	bpf_seq_write(ctx->meta->seq, &entry, sizeof(entry));
	return 0;
}

SEC("syscall")
int waybill_reset_datagrams(struct reset_datagrams *ctx)
{
	struct datagram_flow *flow = flow_get(ctx->number);

	/* The number may be another flow's by now. */
	if (flow && flow->hop.flow == ctx->flow)
		flow_end(ctx->number, flow->socket);
	return 0;
}

const char LICENSE[] SEC("license") = "Dual BSD/GPL";
