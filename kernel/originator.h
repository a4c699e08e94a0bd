/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is kept of an originator beside who he is: in whose share his connections are, and what his
 * socket's packets would have been like. It goes along in the records.
 */
#ifndef WAYBILL_KERNEL_ORIGINATOR_H
#define WAYBILL_KERNEL_ORIGINATOR_H

#include "ask.h"

#define USER_NAMESPACES_DEEP 32 /* so deep they can be */

/*
 * Whoever is root of a user namespace has as many users as he likes, so all in it are one: its
 * owner, or if that is root, who makes them for others, the namespace. Its number is none that a
 * user has. A namespace below one in which there is such a root is his as well: the outermost
 * counts.
 */
GLOBAL __u32 account_of_current(void)
{
	struct task_struct *task = KERNEL_AT(bpf_get_current_task(), struct task_struct);
	const struct cred *cred = KERNEL_READ(task, cred);
	struct user_namespace *names = KERNEL_READ(cred, user_ns);
	__u32 owner, i;

	if (!KERNEL_READ(names, level))
		return (__u32)bpf_get_current_uid_gid();
	LOOP
	for (i = 0; i < USER_NAMESPACES_DEEP && KERNEL_READ(names, level) > 1; i++)
		names = KERNEL_READ(names, parent);
	owner = KERNEL_READ(names, owner.val);
	return owner ? owner : KERNEL_READ(names, ns.inum);
}

/* Of whoever connects; if he carries records on, of their originator. */
GLOBAL __u32 account_find(const struct question *question, const struct history *history)
{
	if (!question || !question->to.hop_count || !history)
		return account_of_current();
	return history_account(history, question->uid);
}

/* Fills in what is of the socket. */
GLOBAL int originator_fill(struct bpf_sock_addr *ctx, const struct question *question,
			   __u32 account, struct records_originator *originator)
{
	struct bpf_sock *sk = ctx->sk;
	struct ipv6_pinfo *inet6;
	struct inet_sock *inet;
	__u8 tos;

	if (!sk || !question || !originator)
		return 0;
	inet = inet_of(sk);
	inet6 = KERNEL_READ(inet, pinet6);
	tos = question->to.destination.family == ADDRESS_INET || !inet6 ?
		      KERNEL_READ(inet, tos) :
		      KERNEL_READ(inet6, tclass);
	originator->type = RECORDS_PART_ORIGINATOR;
	originator->length = RECORDS_ORIGINATOR_SIZE;
	originator->account = account;
	originator->mark = sk->mark;
	originator->priority = sk->priority;
	originator->dscp = tos >> 2;
	__builtin_memset(originator->reserved, 0, sizeof(originator->reserved));
	return 1;
}

#endif
