/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Live flows, read from the sockets themselves: for each accepted socket of a network namespace
 * that has a record, one struct flow_entry and the parts of its history.
 */
#ifndef WAYBILL_KERNEL_FLOWS_H
#define WAYBILL_KERNEL_FLOWS_H

#include "maps.h"

static __always_inline void socket_addresses(struct sock *sk, struct waybill_address *local,
					     struct waybill_address *remote)
{
	struct sock_common *common = &sk->__sk_common;

	local->family = remote->family = ADDRESS_INET;
	if (common->skc_family == ADDRESS_INET) {
		address_map(local->address, common->skc_rcv_saddr);
		address_map(remote->address, common->skc_daddr);
	} else {
		bpf_core_read(local->address, 16, &common->skc_v6_rcv_saddr);
		bpf_core_read(remote->address, 16, &common->skc_v6_daddr);
		if (!address_is_mapped((__u32 *)local->address))
			local->family = ADDRESS_INET6;
		if (!address_is_mapped((__u32 *)remote->address))
			remote->family = ADDRESS_INET6;
	}
	local->port = bpf_htons(common->skc_num);
	remote->port = common->skc_dport;
}

static __always_inline int flow_write(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct seq_file *seq = ctx->meta->seq;
	struct flow_entry entry = {};
	struct accepted *accepted;
	struct sock *sk, *owner;
	struct tcp_sock *tcp;
	struct history *history;
	struct socket *socket;
	__u32 length;

	if (!common)
		return 0;
	tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp)
		return 0;
	sk = &tcp->inet_conn.icsk_inet.sk;
	/*
	 * The record of an MPTCP connection is its parent's, which is the program's socket, as soon
	 * as it has accepted it. It is shown once, with the addresses that it began with.
	 */
	socket = sk->sk_socket;
	owner = socket ? socket->sk : sk;
	if (!owner || (owner != sk && BPF_CORE_READ((struct mptcp_sock *)owner, first) != sk))
		return 0;
	accepted = bpf_sk_storage_get(&accepts, owner, 0, 0);
	if (!accepted)
		return 0;
	entry.accepted = *accepted;
	socket_addresses(sk, &entry.server, &entry.client);
	entry.protocol = IPPROTO_TCP;
	entry.tcp_state = common->skc_state;
	entry.netns_inode = sk->__sk_common.skc_net.net->ns.inum;
	history = accepted->history ? bpf_sk_storage_get(&histories, owner, 0, 0) : 0;
	if (history) {
		length = history->length;
		if (length > sizeof(history->parts))
			return 0;
		entry.history_length = length;
	}
	bpf_seq_write(seq, &entry, sizeof(entry));
	if (history && length)
		bpf_seq_write(seq, history->parts, length);
	return 0;
}

#endif
