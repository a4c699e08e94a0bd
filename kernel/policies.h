/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The map in which the policy in force is, and how programs read an image of one. */
#ifndef WAYBILL_KERNEL_POLICIES_H
#define WAYBILL_KERNEL_POLICIES_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../decision/decide.h"

/* An image of a policy. Made, filled and frozen by platform/ before it is stored in policies. */
struct policy_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, POLICY_LINE);
};

/* 0 -> the policy in force, or nothing before the first. Written by platform/, one store a swap. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, struct policy_map);
} policies SEC(".maps");

static inline const void *policy_line(const void *image, __u32 line)
{
	return bpf_map_lookup_elem((void *)image, &line);
}

static __always_inline const void *policy_in_force(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&policies, &zero);
}

#endif
