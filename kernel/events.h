/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Decisions told to whoever watches, as many of them as he wants. Nobody watching costs one load; a
 * watcher renews his wish every second, so one that was killed costs nothing for much longer.
 */
#ifndef WAYBILL_KERNEL_EVENTS_H
#define WAYBILL_KERNEL_EVENTS_H

#include "maps.h"

/* What a decision is about. */
struct event_subject {
	__u32 hop_count;
	__u32 reserved;
	struct waybill_address destination;
};

/*
 * Whether there is room for an event in this second. Beyond the rate it is a load and a count of this
 * CPU's own, so that in a flood no CPU waits for another.
 */
static __always_inline int within_rate(struct watch_settings *watch, __u64 now)
{
	__u64 second = now / SECOND, window = watch->window;

	if (!watch->rate)
		return 1;
	if (window >> 32 < second) {
		if (__sync_val_compare_and_swap(&watch->window, window, second << 32 | 1) == window)
			return 1;
	} else if ((__u32)window >= watch->rate) {
		return 0;
	}
	return (__u32)__sync_fetch_and_add(&watch->window, 1) < watch->rate;
}

/* Whether somebody wants to be told of it. */
static __always_inline int wanted(__u32 decision, __u32 service)
{
	__u32 zero = 0;
	struct watch_settings *wish = bpf_map_lookup_elem(&watch, &zero);
	__u64 now;

	if (!wish || !wish->until)
		return 0;
	now = bpf_ktime_get_boot_ns();
	if (now >= wish->until || !(wish->decisions >> (decision & 31) & 1) ||
	    (wish->service && wish->service != service) ||
	    (wish->by_user && wish->user != (__u32)bpf_get_current_uid_gid()))
		return 0;
	if (within_rate(wish, now))
		return 1;
	count(COUNT_EVENTS_LEFT_OUT);
	return 0;
}

static __always_inline void process_current(struct waybill_process *process)
{
	__u64 ids = bpf_get_current_uid_gid();

	process->pid = bpf_get_current_pid_tgid() >> 32;
	process->uid = (__u32)ids;
	process->gid = ids >> 32;
	process->application = 0;
	process->cgroup = bpf_get_current_cgroup_id();
	bpf_get_current_comm(process->comm, sizeof(process->comm));
}

/*
 * A function of its own, and a global one: it is called from many places, and the verifier looks
 * at it once. service and filter are ids, 0 for none.
 */
__attribute__((noinline)) int event_report(__u32 decision, __u64 flow, __u32 service, __u32 filter,
					   const struct event_subject *subject)
{
	struct event *event;

	if (!subject || !wanted(decision, service))
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(COUNT_EVENTS_LOST);
		return 0;
	}
	event->time = bpf_ktime_get_boot_ns();
	event->flow = flow;
	event->decision = decision;
	event->hop_count = subject->hop_count;
	event->service = service;
	event->filter = filter;
	event->destination = subject->destination;
	process_current(&event->client);
	bpf_ringbuf_submit(event, 0);
	return 1;
}

#endif
