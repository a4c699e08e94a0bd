/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guardian of a `waybill run`: a process that outlives it, however it ends, and then ends
 * everything in its cgroup. It holds the private instance's descriptors, inherited by fork, so
 * connections are redirected, or refused, until the last process of the command is gone.
 */
#ifndef WAYBILL_CLI_RUN_GUARDIAN_H
#define WAYBILL_CLI_RUN_GUARDIAN_H

#include <sys/types.h>

#include "run_cgroup.h"

struct guardian {
	pid_t pid;
	int leash; /* it acts when this is closed, by us or by our death */
};

/* 0 or a negative errno. owner is that of the instance's IPv6 datagrams, to be ended too; or 0. */
int guardian_start(struct guardian *guardian, const struct run_cgroup *cgroup, uint32_t owner);

#endif
