// SPDX-License-Identifier: BSD-2-Clause
/*
 * The kernel charges what a map allocates, forever, to the memory cgroup of the process that made
 * the map. That must not be the session that happened to run `waybill up`: at its limit connects
 * would fail. So maps are made in the root memory cgroup, where nothing is charged (nor paid for).
 */
#include "instance.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Where the memory controller is: its mount, and whether that is of cgroup2. */
static bool controller_mount(char *mount, size_t size, bool *v2)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	*v2 = false;
	while (file && !found && getline(&line, &room, file) > 0) {
		char *type = strstr(line, " - cgroup "), root[PATH_MAX], point[PATH_MAX];

		line[strcspn(line, "\n")] = '\0';
		/* "memory" is one of the options of the file system, the last field. */
		if (!type || !strstr(strrchr(line, ' '), "memory") ||
		    sscanf(line, "%*s %*s %*s %4095s %4095s", root, point) != 2 ||
		    strcmp(root, "/") || strlen(point) >= size)
			continue;
		strcpy(mount, point);
		found = true;
	}
	free(line);
	if (file)
		fclose(file);
	if (found)
		return true;
	*v2 = true;
	return !cgroup_mount(mount, size, NULL);
}

/* The calling process's path in that hierarchy. */
static bool own_path(bool v2, char *path, size_t size)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		char *controllers = strchr(line, ':'), *own;

		own = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!own)
			continue;
		*own++ = '\0';
		own[strcspn(own, "\n")] = '\0';
		found = v2 ? !strncmp(line, "0:", 2) && !controllers[1] :
			     strstr(controllers, "memory") != NULL;
		if (found)
			found = snprintf(path, size, "%s", own) < (int)size;
	}
	if (file)
		fclose(file);
	return found;
}

static bool enter(const char *mount, const char *path)
{
	char file[2 * PATH_MAX];
	int descriptor;
	bool entered;

	snprintf(file, sizeof(file), "%s%s/cgroup.procs", mount, strcmp(path, "/") ? path : "");
	descriptor = open(file, O_WRONLY | O_CLOEXEC);
	entered = descriptor >= 0 && write(descriptor, "0", 1) == 1;
	if (descriptor >= 0)
		close(descriptor);
	return entered;
}

void memory_uncharged(struct memory_place *place)
{
	bool v2;

	place->moved = controller_mount(place->mount, sizeof(place->mount), &v2) &&
		       own_path(v2, place->path, sizeof(place->path)) && strcmp(place->path, "/") &&
		       enter(place->mount, "/");
}

void memory_charged(const struct memory_place *place)
{
	if (place->moved)
		enter(place->mount, place->path);
}
