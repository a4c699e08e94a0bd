/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Live flows, read from the sockets themselves: for each accepted socket of a network namespace
 * that has a record, one struct flow_entry and the parts of its history.
 */
#ifndef WAYBILL_KERNEL_FLOWS_H
#define WAYBILL_KERNEL_FLOWS_H

#include "connection.h"

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

/* Both addresses of a socket as the key of a connection, of which it is the client's end or not. */
static __always_inline void socket_key(struct sock *sk, int client, struct connection_key *key)
{
	struct waybill_address local = {}, remote = {};

	socket_addresses(sk, &local, &remote);
	key->netns = sk->__sk_common.skc_net.net->net_cookie;
	__builtin_memcpy(client ? key->client : key->server, local.address, 16);
	__builtin_memcpy(client ? key->server : key->client, remote.address, 16);
	*(client ? &key->client_port : &key->server_port) = bpf_ntohs(local.port);
	*(client ? &key->server_port : &key->client_port) = bpf_ntohs(remote.port);
	key->reserved = 0;
}

/* The number of a connection, by the addresses of one of its sockets; 0: there is none. */
static __always_inline __u32 number_of_socket(struct sock *sk, int client)
{
	const __u32 *word;
	struct connection_key key;
	__u32 number;

	socket_key(sk, client, &key);
	word = (const __u32 *)key.client;
	number = address_is_mapped(word) ? connection_of_address(word[3]) : 0;
	return number ? number : connection_of_key(&key);
}

/* The connection that a socket has accepted, or made. */
static __always_inline struct connection *connection_of_socket(struct sock *sk, struct sock *owner,
							       int client, __u32 *number)
{
	struct connection *connection;
	int is;

	*number = number_of_socket(sk, client);
	connection = *number ? connection_get(*number) : 0;
	is = client ? connection_is_client(connection, sk) ||
			      connection_is_client(connection, owner) :
		      connection_is_server(connection, sk) ||
			      connection_is_server(connection, owner);
	return is ? connection : 0;
}

/*
 * The record of an MPTCP connection is its parent's, which is the program's socket, as soon as it
 * has accepted it. It is shown once, with the addresses that it began with.
 */
static __always_inline int flow_write(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct seq_file *seq = ctx->meta->seq;
	struct connection *connection;
	struct flow_entry entry = {};
	struct history *history;
	struct tcp_sock *tcp;
	__u32 number, length = 0;
	struct sock *sk;
	__u64 claim;

	if (!common)
		return 0;
	tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp)
		return 0;
	sk = &tcp->inet_conn.icsk_inet.sk;
	connection = connection_of_socket(sk, sk, 0, &number);
	if (!connection)
		return 0;
	claim = connection->claim;
	entry.hop = connection->hop;
	entry.issued = connection->issued;
	entry.hop_count = connection->hop_count;
	entry.context_size = connection->context_size;
	history = connection->history ? bpf_map_lookup_elem(&connection_histories, &number) : 0;
	socket_addresses(sk, &entry.server, &entry.client);
	entry.protocol = IPPROTO_TCP;
	entry.tcp_state = common->skc_state;
	entry.netns_inode = sk->__sk_common.skc_net.net->ns.inum;
	if (history) {
		length = history->length;
		if (length > sizeof(history->parts))
			return 0;
		entry.history_length = length;
	}
	/* It was this socket's all the time. */
	if (connection->claim != claim)
		return 0;
	bpf_seq_write(seq, &entry, sizeof(entry));
	if (history && length)
		bpf_seq_write(seq, history->parts, length);
	return 0;
}

#endif
