/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cgroups that a policy names, being compiled: for each a cell with what holds in it and
 * below, so that the kernel half asks only for the nearest named ancestor of a process.
 */
#ifndef WAYBILL_PLATFORM_POLICY_CGROUP_H
#define WAYBILL_PLATFORM_POLICY_CGROUP_H

#include "compile.h"

/* Sets everything about cgroups in the header. Returns 0, or a negative errno, with message if it
 * knows more. */
int cgroups_compile(struct compilation *compilation, struct policy_header *header);

#endif
