/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * setsockopt: records put on an onward socket. Who the caller is comes first, then the MAC over
 * every byte; only what passes both is looked into.
 */
#ifndef WAYBILL_KERNEL_SETSOCKOPT_H
#define WAYBILL_KERNEL_SETSOCKOPT_H

#include "sockopt.h"

/*
 * Refuses records, counted. Another instance whose records they are may still take them: it sets
 * the return value to 0, and optlen to -1, which keeps the option from the kernel proper.
 */
static __always_inline int records_refuse(int error)
{
	count(error == EACCES      ? COUNT_RECORDS_FOREIGN :
	      error == EKEYEXPIRED ? COUNT_RECORDS_EXPIRED :
				     COUNT_RECORDS_BAD);
	return sockopt_fail(error);
}

/* Checks header and MAC of records, offset bytes into the value. Returns 0 or a positive errno. */
static __always_inline int records_check(struct bpf_sockopt *ctx, __u32 offset, __u32 length)
{
	void *in = ctx->optval + offset, *end = ctx->optval_end, *at;
	struct records_header *header = in;
	struct record_key secret;
	struct record_mac mac;
	__u64 sum[2], now, expire, *claimed;
	struct key *key;
	__u32 i;

	if ((void *)(header + 1) > end || !records_header_valid(header, length))
		return EBADMSG;
	key = header->key ? key_find(header->key) : 0;
	if (!key)
		return EBADMSG;
	secret = key->key;
	record_mac_begin(&mac, &secret);
	LOOP
	for (i = 0; i < RECORDS_WORDS_MAX && i * 8 < length - RECORDS_MAC_SIZE; i++) {
		at = in + i * 8;
		if (at + 8 > end)
			return EBADMSG;
		record_mac_word(&mac, *(__u64 *)at);
	}
	record_mac_end(&mac, sum);
	claimed = in + ((length - RECORDS_MAC_SIZE) & (WAYBILL_RECORDS_MAX - 1));
	if ((void *)(claimed + 2) > end || ((claimed[0] ^ sum[0]) | (claimed[1] ^ sum[1])))
		return EBADMSG;
	now = bpf_ktime_get_boot_ns();
	expire = records_expire();
	/* A retired key is good for as long as records made with it are. */
	if (now - header->issued > expire || (key->retired && now - key->retired > expire))
		return EKEYEXPIRED;
	return 0;
}

struct parts_walk {
	struct history *history;
	__u32 bad;
};

static long parts_walk_word(__u32 i, struct parts_walk *walk)
{
	if (i >= RECORDS_PARTS_MAX / 8)
		return 1;
	if (records_read_word(&walk->history->summary, i * 8, walk->history->parts[i]))
		return 0;
	walk->bad = 1;
	return 1;
}

/* Copies the parts of genuine records, and what is to be known of them. Returns 0 or an errno. */
static __always_inline int records_store(struct bpf_sockopt *ctx, struct history *history,
					 __u32 parts, __u32 hop_count)
{
	void *in = ctx->optval + RECORDS_HEADER_SIZE, *end = ctx->optval_end, *at;
	struct parts_walk walk = { .history = history };
	const struct records_hop *first;
	__u32 i;

	__builtin_memset(&history->summary, 0, sizeof(history->summary));
	history->used = 0;
	history->presumed = 0;
	history->length = 0;
	LOOP
	for (i = 0; i < RECORDS_PARTS_MAX / 8 && i * 8 < parts; i++) {
		at = in + i * 8;
		if (at + 8 > end)
			return EBADMSG;
		history->parts[i] = *(__u64 *)at;
	}
	bpf_loop(parts / 8, parts_walk_word, &walk, 0);
	if (walk.bad || history->summary.next_part != parts || !hop_count ||
	    history->summary.hop_count != hop_count ||
	    history->summary.first_hop > sizeof(history->parts) - RECORDS_HOP_SIZE)
		return EBADMSG;
	first = (void *)history->parts + history->summary.first_hop;
	history->originator = first->client;
	history->originator_scope = first->cgroup_scope;
	history->length = parts;
	return 0;
}

/* Whether an option is for nobody here; if it is too long the kernel needs to be told so. */
static __always_inline int option_leave(struct bpf_sockopt *ctx)
{
	/* Kernels before 6.5 fail with EFAULT if a longer option is left as it is. */
	if (ctx->optlen > 4096)
		ctx->optlen = 0;
	return ALLOW;
}

static __always_inline int option_taken(struct bpf_sockopt *ctx)
{
	bpf_set_retval(0);
	ctx->optlen = -1;
	return ALLOW;
}

static __always_inline int option_set(struct bpf_sockopt *ctx)
{
	const struct policy_header *policy;
	const struct policy_cell *cell;
	struct records_header *header;
	struct history *history;
	struct bpf_sock *sk;
	__u32 length = ctx->optlen;
	const void *image;
	__u64 services;
	int error;

	if (ctx->level != SOL_WAYBILL || ctx->optname != WAYBILL_REDIRECT_RECORDS)
		return option_leave(ctx);
	/* Another instance has taken them. */
	if (ctx->optlen < 0)
		return ALLOW;
	sk = ctx->sk;
	image = policy_in_force();
	policy = image ? policy_line(image, 0) : 0;
	if (!sk || !policy ||
	    (sk->protocol != IPPROTO_TCP && sk->protocol != IPPROTO_MPTCP &&
	     sk->protocol != IPPROTO_UDP))
		return ALLOW;
	services = services_of_current(image, policy, 0);
	/* Nobody here; but another instance may know the caller, and what it says stands. */
	if (!services)
		return bpf_get_retval() < 0 ? ALLOW : records_refuse(EACCES);
	/* An accepted socket keeps its own records for good, also when it has been disconnected. */
	if (sk->state != BPF_TCP_CLOSE || bpf_sk_storage_get(&accepts, sk, 0, 0))
		return sockopt_fail(EISCONN);
	if (length > WAYBILL_RECORDS_MAX)
		return records_refuse(EBADMSG);
	error = records_check(ctx, 0, length);
	if (error)
		return records_refuse(error);
	header = ctx->optval;
	if ((void *)(header + 1) > ctx->optval_end)
		return records_refuse(EBADMSG);
	cell = policy_hash_find(image, &policy->ids, header->service);
	if (!cell || !(services >> (cell->value & 63) & 1))
		return records_refuse(EACCES);
	history = bpf_sk_storage_get(&histories, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!history) {
		count(COUNT_NO_MEMORY);
		return sockopt_fail(ENOMEM);
	}
	error = records_store(ctx, history, length - RECORDS_HEADER_SIZE - RECORDS_MAC_SIZE,
			      header->hop_count);
	if (error)
		return records_refuse(error);
	count(COUNT_RECORDS_SET);
	return option_taken(ctx);
}

#endif
