/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cgroup that a `waybill run` makes for its command: waybill-run-PID, at the root of cgroup2.
 * Whoever watches over it holds a lock on its directory; the kernel drops the lock when the last
 * of them is gone, so what nobody watches is told apart without asking for process ids.
 */
#ifndef WAYBILL_CLI_RUN_CGROUP_H
#define WAYBILL_CLI_RUN_CGROUP_H

#include <limits.h>

#include "../platform/platform.h"

struct run_cgroup {
	char directory[PATH_MAX];
	const char *path; /* within directory: as policies name it */
	int lock;
};

/* Makes it and locks it. Children inherit the lock until they exec. */
int run_cgroup_make(struct run_cgroup *cgroup, struct message *message);
/* Moves the calling process there. */
int run_cgroup_enter(const struct run_cgroup *cgroup);
/*
 * Kills what is in it, waits until that is gone, for so many milliseconds at most (-1: for as
 * long as it takes), and removes it. -ETIMEDOUT: something in it does not die.
 */
int run_cgroup_end(const char *directory, int milliseconds);
/* Does that with each one that nobody watches. *count: how many were removed. */
int run_cgroups_clean(size_t *count, struct message *message);

#endif
