/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every program leans on: the helpers, the kernel's types and numbers, and how to get from a
 * socket of a program's context to the kernel's own.
 */
#ifndef WAYBILL_KERNEL_CORE_H
#define WAYBILL_KERNEL_CORE_H

#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/in.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "state.h"
#include "types.h"

/* What a program returns: whether the kernel goes on. */
#define REFUSE 0
#define ALLOW 1

/* Of <linux/netfilter_ipv4.h>, which includes headers of the C library. */
#define SO_ORIGINAL_DST 80
/* Of <asm-generic/socket.h>, which every architecture of ours has. */
#define SOL_SOCKET 1
#define SO_PRIORITY 12
#define SO_MARK 36

#define LOOPBACK_IFINDEX 1
#define SOCKADDR_IN6_SIZE 28
#define SECOND 1000000000ULL

/* Bounded loops stay loops: unrolled they would be too much for the verifier, or the compiler. */
#define LOOP _Pragma("clang loop unroll(disable)")

/*
 * Verified once for each program that calls it, apart from its callers and whatever they know: so a
 * program costs the sum of its functions, not their product. Its pointers may be NULL, to the
 * verifier.
 */
#define GLOBAL __attribute__((noinline))

/* From 6.2 on. Older kernels load the programs without them. */
extern void *bpf_cast_to_kern_ctx(void *context) __ksym __weak;
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

/* The kernel's socket, of a context's or of one that was looked up; to be read by BPF_CORE_READ. */
static __always_inline struct sock *sock_of(struct bpf_sock *socket)
{
	struct bpf_sock *slot = socket;
	struct sock *sk = 0;

	if (bpf_rdonly_cast)
		return bpf_rdonly_cast(socket, bpf_core_type_id_kernel(struct sock));
	/*
	 * Of 6.1 no helper gives that of a socket which is none of TCP's. The pointer is the
	 * socket's, so it is read as what it is.
	 */
	bpf_probe_read_kernel(&sk, sizeof(sk), &slot);
	return sk;
}

/* What is at an address of the kernel's, to be read: whatever it is by now, that does no harm. */
#define KERNEL_AT(address, type)                                                                   \
	((type *)(bpf_rdonly_cast ? bpf_rdonly_cast((void *)(address),                             \
						    bpf_core_type_id_kernel(type)) :                                               \
				    (void *)(address)))

/* Reads a field of that, or of what is reached from it: without a call where the kernel lets us. */
#define KERNEL_READ(at, field)                                                                       \
	({                                                                                         \
		__typeof__((at)->field + 0) value_;                                                \
		if (bpf_rdonly_cast)                                                               \
			value_ = (at)->field;                                                      \
		else                                                                               \
			value_ = BPF_CORE_READ(at, field);                                         \
		value_;                                                                            \
	})

/* A struct sock is the first member of every internet socket. */
static __always_inline struct inet_sock *inet_of(struct bpf_sock *socket)
{
	struct sock *sk = sock_of(socket);

	return bpf_rdonly_cast ?
		       bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct inet_sock)) :
		       (struct inet_sock *)sk;
}

/* The MPTCP socket of a subflow, which is the one that programs see; NULL of any other socket. */
static __always_inline struct sock *sock_parent(struct bpf_sock *socket)
{
	struct mptcp_sock *parent = bpf_skc_to_mptcp_sock(socket);

	return parent ? &parent->sk.icsk_inet.sk : 0;
}

/* The storage of a TCP socket; of a subflow that of its parent. flags as bpf_sk_storage_get(). */
static __always_inline void *storage_get(void *map, struct bpf_sock *socket, void *value,
					 __u64 flags)
{
	struct sock *parent = sock_parent(socket);

	return parent ? bpf_sk_storage_get(map, parent, value, flags) :
			bpf_sk_storage_get(map, socket, value, flags);
}

static __always_inline void storage_delete(void *map, struct bpf_sock *socket)
{
	struct sock *parent = sock_parent(socket);

	if (parent)
		bpf_sk_storage_delete(map, parent);
	else
		bpf_sk_storage_delete(map, socket);
}

#endif
