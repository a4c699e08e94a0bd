// SPDX-License-Identifier: BSD-2-Clause
/* The processes below the instance's cgroup. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "processes.h"

#define SHOWN 5 /* processes by their numbers */

struct narrow {
	const char *cgroup;
	char text[128];
	size_t count;
};

static bool is_narrow(unsigned int pid, void *data)
{
	unsigned char ident[EI_NIDENT] = { 0 };
	struct narrow *narrow = data;
	char path[64], cgroup[1024];
	int file;

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	file = open(path, O_RDONLY | O_CLOEXEC);
	/* A thread of the kernel has none. */
	if (file < 0)
		return false;
	if (read(file, ident, sizeof(ident)) != sizeof(ident))
		ident[EI_CLASS] = ELFCLASSNONE;
	close(file);
	if (memcmp(ident, ELFMAG, SELFMAG) || ident[EI_CLASS] != ELFCLASS32 ||
	    cgroup_of_process(pid, cgroup, sizeof(cgroup)) ||
	    !cgroup_is_below(cgroup, narrow->cgroup))
		return false;
	if (narrow->count++ < SHOWN) {
		size_t used = strlen(narrow->text);

		snprintf(narrow->text + used, sizeof(narrow->text) - used, "%s%u", used ? ", " : "",
			 pid);
	}
	return false;
}

void doctor_processes(struct doctor *doctor)
{
	struct narrow narrow = { .cgroup = doctor->status.cgroup };

	if (sizeof(void *) == 4)
		return;
	process_find(is_narrow, &narrow);
	if (narrow.count)
		doctor_find(doctor, SEVERITY_NOTE, "32-bit processes",
			    "run 64-bit builds of what has to be a service",
			    "%zu below the instance's cgroup (%s%s): the kernel runs no option "
			    "hooks for them, so they get no records; their connections are "
			    "redirected like all",
			    narrow.count, narrow.text, narrow.count > SHOWN ? ", .." : "");
	else
		doctor_find(doctor, SEVERITY_OK, "32-bit processes", NULL,
			    "none below the instance's cgroup");
}
