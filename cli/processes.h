/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes, as /proc has them. Functions return 0 or -errno. */
#ifndef WAYBILL_CLI_PROCESSES_H
#define WAYBILL_CLI_PROCESSES_H

#include <stddef.h>

struct process {
	unsigned int pid, uid, gid; /* the real ids */
	char comm[64];
	char cgroup[4096]; /* its path below the mount of cgroup2 */
};

int process_read(unsigned int pid, struct process *process);
int process_comm(unsigned int pid, char *comm, size_t size);

#endif
