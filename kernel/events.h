/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Decisions told to whoever watches, as many of them as he wants. Nobody watching costs one load; a
 * watcher renews his wish every second, so one that was killed costs nothing for much longer.
 */
#ifndef WAYBILL_KERNEL_EVENTS_H
#define WAYBILL_KERNEL_EVENTS_H

#include "maps.h"

/*
 * Whether there is room for an event in this second. Beyond the rate it is a load and a count of
 * this CPU's own, so that in a flood no CPU waits for another.
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
	/* The kernel fills it up with zeros. Its helper would copy byte by byte. */
	bpf_core_read(process->comm, sizeof(process->comm),
		      &((struct task_struct *)bpf_get_current_task())->comm);
}

/* service and filter are ids, 0 for none. */
GLOBAL int event_report(__u32 verdict, __u64 flow, __u32 service, __u32 filter,
			const struct subject *subject)
{
	struct event *event;

	if (!subject || !wanted(verdict, service))
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(COUNT_EVENTS_LOST);
		return 0;
	}
	event->time = bpf_ktime_get_boot_ns();
	event->flow = flow;
	event->decision = verdict;
	event->hop_count = subject->hop_count;
	event->service = service;
	event->filter = filter;
	event->destination = subject->destination;
	process_current(&event->client);
	bpf_ringbuf_submit(event, 0);
	return 1;
}

static __always_inline void service_count(__u32 service, __u32 verdict)
{
	struct service_counters *counters = bpf_map_lookup_elem(&service_counters, &service);

	if (!counters)
		return;
	if (verdict == DECISION_REDIRECT)
		__sync_fetch_and_add(&counters->redirected, 1);
	else if (verdict == DECISION_DOWN_PASS)
		__sync_fetch_and_add(&counters->down_passed, 1);
	else if (verdict == DECISION_DOWN_BLOCK)
		__sync_fetch_and_add(&counters->down_blocked, 1);
	else if (verdict == DECISION_NO_RECORDS)
		__sync_fetch_and_add(&counters->no_records, 1);
}

/* The counter of a verdict; COUNTERS for those that are not counted. */
static __always_inline __u32 counter_of(__u32 verdict, __u32 udp)
{
	switch (verdict) {
	case DECISION_REDIRECT:
		return udp ? COUNT_FLOWS : COUNT_REDIRECTED;
	case DECISION_PERMIT:
		return COUNT_PERMITTED;
	case DECISION_BLOCK:
		return COUNT_BLOCKED;
	case DECISION_DOWN_PASS:
		return COUNT_DOWN_PASSED;
	case DECISION_DOWN_BLOCK:
		return COUNT_DOWN_BLOCKED;
	case DECISION_TO_SERVICE:
		return COUNT_TO_SERVICE;
	case DECISION_HOP_LIMIT:
		return COUNT_HOP_LIMIT;
	case DECISION_NO_RECORDS:
		return COUNT_NO_RECORDS;
	case DECISION_FULL:
		return udp ? COUNT_FLOW_FULL : COUNT_CONNECTIONS_FULL;
	case DECISION_NO_MEMORY:
		return COUNT_NO_MEMORY;
	case DECISION_BIND_REFUSED:
		return COUNT_BIND_REFUSED;
	case DECISION_SOURCE_ROUTE:
		return COUNT_SOURCE_ROUTE;
	case DECISION_FLOW_FOREIGN:
		return COUNT_FLOW_FOREIGN;
	case DECISION_FLOW_LATE:
		return COUNT_FLOW_LATE;
	case DECISION_BROKEN:
		return COUNT_BROKEN;
	case DECISION_UNHEARD:
		return COUNT_UNHEARD;
	case DECISION_NO_SOURCE:
		return COUNT_NO_SOURCE;
	case DECISION_USED_AGAIN:
		return COUNT_USED_AGAIN;
	}
	return COUNTERS;
}

/* Counts what was decided, and tells whoever wants to know. flow is 0 if it was not redirected. */
GLOBAL int report(__u32 verdict, __u64 flow, __u32 service, __u32 filter,
		  const struct subject *subject)
{
	if (!subject)
		return 0;
	count(counter_of(verdict, subject->udp));
	service_count(service, verdict);
	return event_report(verdict, flow, service, filter, subject);
}

#endif
