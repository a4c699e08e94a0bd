// SPDX-License-Identifier: BSD-2-Clause
/* The processes below the instance's cgroup: what is in the way of them, or they in Waybill's. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "holders.h"
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

static void examine_holders(struct doctor *doctor)
{
	struct message message = { "" };
	struct holders holders;
	int error = holders_find(doctor->instance, &holders, &message);

	if (error)
		doctor_find(doctor, SEVERITY_WARNING, "addresses", NULL, "%s", message.text);
	for (size_t i = 0; i < holders.count && i < HOLDERS_SHOWN; i++)
		doctor_find(doctor, SEVERITY_WARNING, "addresses", HOLDERS_MEND,
			    "%s, bound before `waybill up`: connections or flows that are "
			    "redirected get such an address, and may be taken for it, or come to "
			    "it",
			    holders.shown[i].text);
	if (holders.count > HOLDERS_SHOWN)
		doctor_find(doctor, SEVERITY_WARNING, "addresses", HOLDERS_MEND,
			    "so do %zu other sockets", holders.count - HOLDERS_SHOWN);
	if (!error && !holders.count)
		doctor_find(doctor, SEVERITY_OK, "addresses", NULL,
			    "nobody has bound one that is for connections or flows");
	json_decref(holders.array);
}

static void examine_narrow(struct doctor *doctor)
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

void doctor_processes(struct doctor *doctor)
{
	examine_holders(doctor);
	examine_narrow(doctor);
}
