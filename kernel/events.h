/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Decisions told to whoever watches. Nobody watching costs one load; a watcher renews his wish
 * every second, so one that was killed costs nothing for longer than that.
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

static __always_inline int watched(void)
{
	struct control *settings = control_get();

	return settings && settings->watch_until && settings->watch_until > bpf_ktime_get_boot_ns();
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

	if (!subject || !watched())
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
