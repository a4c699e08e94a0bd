/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of flows of datagrams: made, found, ended. A flow is found by its client's socket and
 * its destination when something is sent, and by its number, which is in its address, when
 * something comes back. Whoever deletes it from the table gives back its share, so each is given
 * back once, whoever else tries at the same time.
 */
#ifndef WAYBILL_KERNEL_FLOW_H
#define WAYBILL_KERNEL_FLOW_H

#include "history.h"

#define FLOW_TRIES 16

/* What datagrams know a socket by; made when there is none yet. NULL: no memory. */
static __always_inline struct datagrams *datagrams_make(struct datagrams *own)
{
	if (own && !own->socket)
		__sync_val_compare_and_swap(&own->socket, 0, flow_id_next());
	return own;
}

static __always_inline void flow_key_fill(struct flow_key *key, __u64 socket,
					  const struct waybill_address *destination)
{
	key->socket = socket;
	key->destination = *destination;
}

static __always_inline __u64 flow_idle(void)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;

	return header && header->flow_idle ? header->flow_idle * 1000000ULL : FLOW_IDLE_DEFAULT;
}

static __always_inline int flow_expired(const struct datagram_flow *flow, __u64 now, __u64 idle)
{
	return flow->used && !flow->connected && now > flow->used && now - flow->used > idle;
}

static __always_inline struct datagram_flow *flow_get(__u32 number)
{
	return bpf_map_lookup_elem(&flows, &number);
}

/*
 * Whoever finds a flow redirected takes it for whole: the compiler keeps to the order of the
 * stores, and so does x86. Elsewhere, who asks for a flow has its number from a datagram, which
 * came after.
 */
#define flow_is_whole() asm volatile("" : : : "memory")

static __always_inline struct flow_numbers *flow_numbers_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&flow_ids, &zero);
}

/*
 * Counts one more in the share of an account, which may have so many, and no more than it leaves for
 * the others. Returns 0 if it has them already.
 */
static __always_inline int flow_share_take(__u32 account)
{
	struct flow_numbers *numbers = flow_numbers_get();
	__u32 *share = share_of(&flow_shares, account), total, count;

	if (!share || !numbers)
		return 0;
	total = __sync_fetch_and_add(&numbers->total, 1);
	count = __sync_fetch_and_add(share, 1);
	if (total < FLOWS_MAX && count < FLOWS_MAX - total && count < FLOW_SHARE)
		return 1;
	__sync_fetch_and_add(share, -1);
	__sync_fetch_and_add(&numbers->total, -1);
	return 0;
}

static __always_inline void flow_share_give(__u32 account)
{
	struct flow_numbers *numbers = flow_numbers_get();
	__u32 *share = share_of(&flow_shares, account);

	if (!share || !numbers)
		return;
	__sync_fetch_and_add(share, -1);
	__sync_fetch_and_add(&numbers->total, -1);
}

/* Ends the flow of this number, if it is this socket's. */
GLOBAL int flow_end(__u32 number, __u64 socket)
{
	struct datagram_flow *flow = flow_get(number);
	struct flow_key key;
	__u32 account, history, *other;

	if (!flow || flow->socket != socket)
		return 0;
	flow_key_fill(&key, socket, &flow->hop.destination);
	account = flow->originator.account;
	history = flow->history;
	if (bpf_map_delete_elem(&flows, &number))
		return 0;
	flow_share_give(account);
	if (history)
		bpf_map_delete_elem(&flow_histories, &number);
	other = bpf_map_lookup_elem(&flow_index, &key);
	if (other && *other == number)
		bpf_map_delete_elem(&flow_index, &key);
	return 1;
}

/* Ends all flows of a socket, or if that is 0 all that are idle. */
struct flow_sweep {
	__u64 socket, now, idle;
};

static long flow_sweep_one(struct bpf_map *map, __u32 *number, struct datagram_flow *flow,
			   struct flow_sweep *sweep)
{
	__u64 socket;

	if (!number || !flow)
		return 0;
	socket = flow->socket;
	if (sweep->socket ? socket == sweep->socket : flow_expired(flow, sweep->now, sweep->idle))
		flow_end(*number, socket);
	return 0;
}

static __always_inline void flow_sweep(__u64 socket)
{
	struct flow_sweep sweep = { .socket = socket };

	sweep.now = bpf_ktime_get_boot_ns();
	sweep.idle = flow_idle();
	bpf_for_each_map_elem(&flows, flow_sweep_one, &sweep, 0);
}

/* Looks for idle flows, but not more than once a second: it looks at all of them. */
static __attribute__((noinline)) int flow_make_room(void)
{
	struct flow_numbers *numbers = flow_numbers_get();
	__u64 now = bpf_ktime_get_boot_ns(), then;

	if (!numbers)
		return 0;
	then = numbers->swept;
	if (then + SECOND > now || __sync_val_compare_and_swap(&numbers->swept, then, now) != then)
		return 0;
	flow_sweep(0);
	return 1;
}

static const struct datagram_flow flow_zero;
static const struct history history_zero;

struct flow_claim {
	__u64 id;
};

static long flow_claim_number(__u32 unused, struct flow_claim *claim)
{
	__u64 id = flow_id_next();
	__u32 number = id & WAYBILL_FLOW_MASK;

	/* 0 is no number. Of a number that is in use still, the next one is tried. */
	if (!number || bpf_map_update_elem(&flows, &number, &flow_zero, BPF_NOEXIST))
		return 0;
	claim->id = id;
	return 1;
}

/*
 * Makes a flow, in state FLOW_NEW, which nobody finds until it is published. Returns its number, or
 * 0 if the originator's account has its share, or there is no memory.
 */
GLOBAL __u32 flow_make(__u64 socket, const struct waybill_address *destination, __u32 account,
		       __u32 with_history)
{
	struct flow_claim claim = {};
	struct datagram_flow *flow;
	__u32 number;

	if (!destination)
		return 0;
	if (!flow_share_take(account) && !(flow_make_room() && flow_share_take(account)))
		return 0;
	bpf_loop(FLOW_TRIES, flow_claim_number, &claim, 0);
	if (!claim.id)
		goto full;
	number = claim.id & WAYBILL_FLOW_MASK;
	if (with_history && bpf_map_update_elem(&flow_histories, &number, &history_zero, BPF_ANY)) {
		bpf_map_delete_elem(&flows, &number);
		goto full;
	}
	flow = flow_get(number);
	if (!flow)
		goto full;
	flow->hop.flow = claim.id;
	flow->hop.destination = *destination;
	flow->socket = socket;
	flow->originator.account = account;
	flow->history = with_history != 0;
	return number;
full:
	flow_share_give(account);
	return 0;
}

/*
 * From now on the flow is found by what its client sends. Returns its number; if another thread
 * was first with the same, that one's, and this one is gone.
 */
GLOBAL __u32 flow_publish(__u64 socket, const struct waybill_address *destination, __u32 number)
{
	__u32 *other, first;
	struct flow_key key;

	if (!destination)
		return 0;
	flow_key_fill(&key, socket, destination);
	if (bpf_map_update_elem(&flow_index, &key, &number, BPF_NOEXIST)) {
		other = bpf_map_lookup_elem(&flow_index, &key);
		first = other ? *other : 0;
		flow_end(number, socket);
		return first;
	}
	return number;
}

/* That a flow is the socket's, to end with it. */
static __always_inline void flow_keep(struct datagrams *own, __u32 number)
{
	own->flows[__sync_fetch_and_add(&own->made, 1) % SOCKET_FLOWS] = number;
}

/* A flow's history is another's, or that of its socket. */
GLOBAL int flow_history_copy(__u32 number, const struct history *from)
{
	struct history *history = bpf_map_lookup_elem(&flow_histories, &number);

	return history && from && !bpf_probe_read_kernel(history, sizeof(*history), from);
}

/* The number of the flow from a socket to a destination; 0 if there is none that is alive. */
GLOBAL __u32 flow_find(__u64 socket, const struct waybill_address *destination)
{
	struct flow_key key;
	__u32 *number, found;
	struct datagram_flow *flow;

	if (!destination)
		return 0;
	flow_key_fill(&key, socket, destination);
	number = bpf_map_lookup_elem(&flow_index, &key);
	if (!number)
		return 0;
	found = *number;
	flow = flow_get(found);
	if (!flow || flow->socket != socket)
		return 0;
	if (!flow_expired(flow, bpf_ktime_get_boot_ns(), flow_idle()))
		return found;
	flow_end(found, socket);
	return 0;
}

/* A datagram socket is closed: its flows end. Those that it has not in its list are looked for. */
static __always_inline void flows_release(struct bpf_sock *sk)
{
	struct datagrams *own;
	__u32 i;

	if (sk->protocol != IPPROTO_UDP)
		return;
	own = bpf_sk_storage_get(&datagrams, sk, 0, 0);
	if (!own || !own->made)
		return;
	if (own->made > SOCKET_FLOWS) {
		flow_sweep(own->socket);
		return;
	}
	LOOP
	for (i = 0; i < SOCKET_FLOWS; i++)
		if (own->flows[i])
			flow_end(own->flows[i], own->socket);
}

#endif
