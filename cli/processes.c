// SPDX-License-Identifier: BSD-2-Clause
/* Processes, as /proc has them; what goes meanwhile is passed over. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../platform/platform.h"
#include "processes.h"

/* A process is told by its real ids, as the kernel half does. */
static int read_ids(unsigned int pid, struct process *process)
{
	char path[64], line[256];
	int found = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	file = fopen(path, "re");
	while (file && found < 2 && fgets(line, sizeof(line), file))
		found += sscanf(line, "Uid: %u", &process->uid) == 1 ||
			 sscanf(line, "Gid: %u", &process->gid) == 1;
	if (file)
		fclose(file);
	return found == 2 ? 0 : -ESRCH;
}

int process_comm(unsigned int pid, char *comm, size_t size)
{
	char path[64];
	FILE *file;
	int error;

	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	file = fopen(path, "re");
	error = file && fgets(comm, size, file) ? 0 : -ESRCH;
	if (file)
		fclose(file);
	if (!error)
		comm[strcspn(comm, "\n")] = '\0';
	return error;
}

int process_read(unsigned int pid, struct process *process)
{
	process->pid = pid;
	if (process_comm(pid, process->comm, sizeof(process->comm)) || read_ids(pid, process))
		return -ESRCH;
	return cgroup_of_process(pid, process->cgroup, sizeof(process->cgroup));
}
