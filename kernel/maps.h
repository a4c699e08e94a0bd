/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every map but that of the policies (policies.h), with its key, its value, who writes it, who
 * deletes from it, and what happens when it is full.
 */
#ifndef WAYBILL_KERNEL_MAPS_H
#define WAYBILL_KERNEL_MAPS_H

#include "core.h"
#include "policies.h"

/* 0 -> settings. Written by platform/. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps");

/* 0 -> the keys of the records. Written by platform/ (up, rotate-key); readable by root alone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct key_ring);
} keys SEC(".maps");

/*
 * A filter's number of its context -> the bytes. Written and deleted by platform/ when a policy
 * is applied; an entry outlives its policy as long as a connection refers to it. When it is
 * full, applying the policy fails.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct context);
} contexts SEC(".maps");

/*
 * A number -> the redirected connection that has it. Written by the connect hook, and when the
 * handshake completes. What is over stays until its number is wanted, or until it is looked at:
 * each connect that makes one looks at others; those above the numbers in use are deleted then. So
 * it takes memory for the connections that there are. How many there can be is control.connections;
 * a user has at most as many as are left for the others (counted in shares). Over that, connect
 * fails with EAGAIN.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CONNECTIONS_DEFAULT);
	__type(key, __u32);
	__type(value, struct connection);
} connections SEC(".maps");

/*
 * A number -> the history of that connection, if it has one: one that was redirected once has none.
 * Written with it; deleted with its number.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CONNECTIONS_DEFAULT);
	__type(key, __u32);
	__type(value, struct history);
} connection_histories SEC(".maps");

/*
 * The addresses of a connection whose number is in none of them -> its number. Written and deleted
 * with it. There is room for as many as there can be connections.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CONNECTIONS_DEFAULT);
	__type(key, struct connection_key);
	__type(value, __u32);
} connection_index SEC(".maps");

/* 0 -> which numbers are in use. Written by the connect hook. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct connection_numbers);
} connection_numbers SEC(".maps");

/*
 * An accepted socket whose connection was found by its addresses -> its number. Written when the
 * handshake completes; dies with the socket. No memory: the connection has no records, and its
 * service refuses it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct accepted);
} accepts SEC(".maps");

/*
 * An onward socket -> the parts of the records that it was given. Written by the setsockopt hook;
 * dies with the socket. No memory: setsockopt fails with ENOMEM.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct history);
} histories SEC(".maps");

/* A hash of an account -> connections of which it is the originator's. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHARES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} shares SEC(".maps");

/* 0 -> the last flow id given out, and more. Written by the hooks that make flows. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_numbers);
} flow_ids SEC(".maps");

/*
 * A datagram socket, of a client or of a service -> its number and its flows. Written when it
 * first has something to do with a flow; dies with the socket. No memory: as for the flow itself.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct datagrams);
} datagrams SEC(".maps");

/*
 * A number, the low bits of a flow id -> the flow. Written by the hooks of connect, sendmsg and
 * setsockopt; deleted when its socket closes or is connected elsewhere, and when it is idle and
 * somebody needs the room. A user has at most FLOW_SHARE of them, and no
 * more than are left for the others (counted in flow_shares); over that, sending fails with ENOBUFS.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FLOWS_MAX);
	__type(key, __u32);
	__type(value, struct datagram_flow);
} flows SEC(".maps");

/* A client's socket and a destination -> the number of their flow. Written and deleted with it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FLOWS_MAX);
	__type(key, struct flow_key);
	__type(value, __u32);
} flow_index SEC(".maps");

/* A flow's number -> the history that belongs to it, if it has one. Written and deleted with it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FLOWS_MAX);
	__type(key, __u32);
	__type(value, struct history);
} flow_histories SEC(".maps");

/* A hash of an account -> the flows of which it is the originator's. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHARES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} flow_shares SEC(".maps");

/*
 * A thread -> the number of the flow that its last WAYBILL_FLOW_PEER made, to be asked for by
 * getsockopt. Full: the one that waited longest is forgotten, and its asker told ENOENT.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u32);
} flow_answers SEC(".maps");

/*
 * A network namespace and a service that has bound its port there -> 1. Not that of control.netns,
 * where every service is at home. Written by the post_bind hook. Full: the one that was asked for
 * least is forgotten, and the port is free there until the service binds it again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct home_key);
	__type(value, __u32);
} homes SEC(".maps");

/* enum counter -> how often, for each CPU. Written by all hooks. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/*
 * Service id -> its counters. Entries are made and deleted by platform/ when a policy is applied,
 * and counted up by the connect hook. When it is full, applying the policy fails.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4 * POLICY_SERVICES_MAX);
	__type(key, __u32);
	__type(value, struct service_counters);
} service_counters SEC(".maps");

/* 0 -> what a monitor wants. Written by platform/, and its window by all hooks. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct watch_settings);
} watch SEC(".maps");

/* Decisions, while somebody watches. Read by platform/. When it is full, they are lost, counted. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

static __always_inline struct control *control_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

/* Hooks can be preempted by others on the same CPU: atomic, though it is per CPU. */
GLOBAL int count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		__sync_fetch_and_add(value, 1);
	return 0;
}

/* A flow id; 0 if there is none to be had, which cannot be. */
static __always_inline __u64 flow_id_next(void)
{
	__u32 zero = 0;
	struct flow_numbers *numbers = bpf_map_lookup_elem(&flow_ids, &zero);

	return numbers ? __sync_fetch_and_add(&numbers->last, 1) + 1 : 0;
}

/* The counter of an account in a table of shares. Who may choose his would: so it is seeded. */
static __always_inline __u32 share_index(__u32 account)
{
	struct control *settings = control_get();
	__u32 index = account ^ (settings ? settings->seed : 0);

	index = (index ^ index >> 16) * 0x7feb352dU;
	index = (index ^ index >> 15) * 0x846ca68bU;
	return index >> (32 - SHARES_BITS);
}

static __always_inline __u32 *share_of(void *shares, __u32 account)
{
	__u32 index = share_index(account);

	return bpf_map_lookup_elem(shares, &index);
}

#endif
