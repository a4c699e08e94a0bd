/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the eBPF programs lean on: helpers, the few fields of kernel types that they read (found
 * by name when they are loaded, so one object serves every kernel), and small predicates.
 */
#ifndef WAYBILL_KERNEL_CORE_H
#define WAYBILL_KERNEL_CORE_H

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "state.h"

#define AF_INET 2
#define AF_INET6 10
#define SOL_IP 0
#define SOL_IPV6 41
#define SO_ORIGINAL_DST 80
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_MPTCP 262

#define ENOENT 2
#define EAGAIN 11
#define ENOMEM 12
#define EACCES 13
#define EINVAL 22
#define ERANGE 34
#define ELOOP 40
#define ENODATA 61
#define EBADMSG 74
#define ENOPROTOOPT 92
#define EOPNOTSUPP 95
#define ENOBUFS 105
#define EISCONN 106
#define ENOTCONN 107
#define ECONNREFUSED 111
#define EKEYEXPIRED 127

/* What a program returns: whether the kernel goes on. */
#define REFUSE 0
#define ALLOW 1

#define LOOPBACK_IFINDEX 1
#define SOCKADDR_IN6_SIZE 28

#define SECOND 1000000000ULL

/* Bounded loops stay loops: unrolled they would be too much for the verifier, or the compiler. */
#define LOOP _Pragma("clang loop unroll(disable)")

/* Kernel types, cut down to what is read here. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct kernfs_node {
	__u64 id;
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[0];
};

typedef struct {
	unsigned int val;
} kuid_t;

struct super_block {
	__u32 s_dev;
};

struct inode {
	kuid_t i_gid; /* a kgid_t, which is the same */
	unsigned long i_ino;
	__u32 i_generation;
	struct super_block *i_sb;
};

struct file {
	struct inode *f_inode;
};

struct mm_struct {
	struct file *exe_file;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct task_struct {
	struct mm_struct *mm;
	struct files_struct *files;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock;

struct sock_common {
	int skc_bound_dev_if;
	__u32 skc_daddr, skc_rcv_saddr;
	__u16 skc_dport, skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};

struct socket {
	struct sock *sk;
};

struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

struct sock_reuseport {
	__u16 num_socks;
	struct sock *socks[0];
};

struct sock {
	struct sock_common __sk_common;
	struct sock_reuseport *sk_reuseport_cb;
	struct socket *sk_socket;
	kuid_t sk_uid;
	__u32 sk_max_ack_backlog;
	__u8 sk_userlocks : 4;
	struct sock_cgroup_data sk_cgrp_data;
};

struct sockaddr_in6 {
	struct in6_addr sin6_addr;
	__u32 sin6_scope_id;
};

struct bpf_sock_addr_kern {
	struct sockaddr_in6 *uaddr;
	__u32 uaddrlen; /* from 6.7 on */
};

struct ip_options {
	unsigned char srr;
};

struct ip_options_rcu {
	struct ip_options opt;
};

struct ipv6_rt_hdr;

struct ipv6_txoptions {
	struct ipv6_rt_hdr *srcrt;
};

struct ipv6_pinfo {
	struct ipv6_txoptions *opt;
};

struct inet_sock {
	struct ip_options_rcu *inet_opt;
	struct ipv6_pinfo *pinet6;
};

struct tcp_sock;
struct mptcp_sock {
	struct sock *first; /* the subflow that it began with */
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_map;

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};
#pragma clang attribute pop

/* From 6.2 on: what the context stands for. Older kernels load the programs without it. */
extern void *bpf_cast_to_kern_ctx(void *context) __ksym __weak;

static __always_inline int address_is_mapped(const __u32 a[4])
{
	return a[0] == 0 && a[1] == 0 && a[2] == bpf_htonl(0xffff);
}

static __always_inline int address_is_loopback(const __u32 a[4])
{
	if (address_is_mapped(a))
		return (a[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return a[0] == 0 && a[1] == 0 && a[2] == 0 && a[3] == bpf_htonl(1);
}

/* Sets 16 bytes to the v4-mapped form of an IPv4 address in network byte order. */
static __always_inline void address_map(__u8 to[16], __u32 ip4)
{
	__u32 *word = (__u32 *)to;

	word[0] = 0;
	word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = ip4;
}

/*
 * What the kernel has for a socket that is no TCP socket, of which helpers give no such thing: its
 * address as a number, to be read through BPF_CORE_READ.
 */
static __always_inline struct sock *sock_read_only(struct bpf_sock *sk)
{
	struct bpf_sock *slot = sk;
	struct sock *address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &slot);
	return address;
}

static __always_inline int address_equal(const __u8 a[16], const __u8 b[16])
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1];
}

#endif
