/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel types that the programs read, cut down to the fields that they read, under the
 * kernel's own names. Each field is found by name when a program is loaded, so one object serves
 * every kernel. Not taken from a generated vmlinux.h: that is made of the BTF of whatever kernel
 * builds the package, which may have none, and differs from one build to the next.
 */
#ifndef WAYBILL_KERNEL_TYPES_H
#define WAYBILL_KERNEL_TYPES_H

#include <linux/types.h>

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

typedef struct {
	unsigned int val;
} kgid_t;

struct super_block {
	__u32 s_dev;
};

struct inode {
	kgid_t i_gid;
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

struct ns_common {
	unsigned int inum;
};

struct user_namespace {
	struct user_namespace *parent;
	int level; /* 0: the initial one */
	kuid_t owner;
	struct ns_common ns;
};

struct cred {
	struct user_namespace *user_ns;
};

struct task_struct {
	const struct cred *cred;
	char comm[16];
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

/* Ports that the kernel may choose; until 6.7 in two words. */
struct local_ports {
	__u32 range; /* the highest, and the lowest in the lower half */
};

struct local_ports___words {
	int range[2];
};

struct netns_ipv4 {
	struct local_ports ip_local_ports;
	unsigned long *sysctl_local_reserved_ports; /* a bit for each port */
};

struct net {
	struct ns_common ns;
	__u64 net_cookie;
	struct netns_ipv4 ipv4;
};

typedef struct {
	struct net *net;
} possible_net_t;

typedef struct {
	__s64 counter;
} atomic64_t;

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	atomic_t refs;
} refcount_t;

typedef struct {
	int owned; /* by somebody who is in a system call on the socket */
} socket_lock_t;

struct sock_common {
	int skc_bound_dev_if;
	atomic64_t skc_cookie;
	refcount_t skc_refcnt;
	__u32 skc_daddr, skc_rcv_saddr;
	__u16 skc_dport, skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_ipv6only : 1;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};

struct sock;

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
	socket_lock_t sk_lock;
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
	__u8 tclass;
	__u8 min_hopcount;
	struct ipv6_txoptions *opt;
};

struct inet_sock {
	struct sock sk;
	struct ip_options_rcu *inet_opt;
	struct ipv6_pinfo *pinet6;
	__u8 tos;
	__u8 min_ttl;
	unsigned long inet_flags; /* from 6.6 on */
};

/* Of older kernels. */
struct inet_sock___bits {
	__u8 transparent : 1;
};

/* Of a nameless enumeration of the kernel's, so it cannot be found by name. */
#define INET_FLAGS_TRANSPARENT 15

struct inet_connection_sock {
	struct inet_sock icsk_inet;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	void *md5sig_info; /* these two if the kernel has them */
	void *ao_info;
};

struct mptcp_sock {
	struct inet_connection_sock sk;
	__u64 local_key; /* random; of an accepted socket there from the beginning */
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

#endif
