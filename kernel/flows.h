/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Live flows, read from the sockets themselves: for each accepted socket with a record, one
 * struct flow_entry and the parts of its history.
 */
#ifndef WAYBILL_KERNEL_FLOWS_H
#define WAYBILL_KERNEL_FLOWS_H

#include "maps.h"

static __always_inline void flow_addresses(struct sock *sk, struct flow_entry *entry)
{
	struct sock_common *common = &sk->__sk_common;
	struct waybill_address *local = &entry->server, *remote = &entry->client;

	local->family = remote->family = AF_INET;
	if (common->skc_family == AF_INET) {
		address_map(local->address, common->skc_rcv_saddr);
		address_map(remote->address, common->skc_daddr);
	} else {
		bpf_core_read(local->address, 16, &common->skc_v6_rcv_saddr);
		bpf_core_read(remote->address, 16, &common->skc_v6_daddr);
		if (!address_is_mapped((__u32 *)local->address))
			local->family = AF_INET6;
		if (!address_is_mapped((__u32 *)remote->address))
			remote->family = AF_INET6;
	}
	local->port = bpf_htons(common->skc_num);
	remote->port = common->skc_dport;
	entry->protocol = IPPROTO_TCP;
	entry->tcp_state = common->skc_state;
	entry->netns_inode = common->skc_net.net->ns.inum;
}

static __always_inline int flow_write(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct accepted *accepted = ctx->value;
	struct flow_entry entry = {};
	struct sock *sk = ctx->sk;
	struct history *history;
	__u32 length;

	if (!sk || !accepted)
		return 0;
	entry.accepted = *accepted;
	flow_addresses(sk, &entry);
	history = accepted->history ? bpf_sk_storage_get(&histories, sk, 0, 0) : 0;
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
