// SPDX-License-Identifier: BSD-2-Clause
/* Processes, as /proc has them; what goes meanwhile is passed over. */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

#define SHOWN 5 /* processes by their numbers */

/* The first process for which a function says so, or 0. */
static unsigned int find_process(bool (*fits)(unsigned int pid, void *data), void *data)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;
	unsigned int found = 0, pid;

	while (directory && !found && (entry = readdir(directory)))
		if (sscanf(entry->d_name, "%u", &pid) == 1 && fits(pid, data))
			found = pid;
	if (directory)
		closedir(directory);
	return found;
}

static bool holds_socket(unsigned int pid, void *data)
{
	char path[64], link[64], wanted[64];
	struct dirent *entry;
	bool found = false;
	DIR *directory;
	ssize_t length;

	snprintf(wanted, sizeof(wanted), "socket:[%lu]", *(unsigned long *)data);
	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	directory = opendir(path);
	while (directory && !found && (entry = readdir(directory))) {
		length = readlinkat(dirfd(directory), entry->d_name, link, sizeof(link) - 1);
		if (length <= 0)
			continue;
		link[length] = '\0';
		found = !strcmp(link, wanted);
	}
	if (directory)
		closedir(directory);
	return found;
}

unsigned int process_of_socket(unsigned long inode)
{
	return inode ? find_process(holds_socket, &inode) : 0;
}

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
	find_process(is_narrow, &narrow);
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
