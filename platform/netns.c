// SPDX-License-Identifier: BSD-2-Clause
/*
 * All network namespaces of the host: those of its processes, and those that are mounted (by
 * `ip netns`, and by container engines). One that nothing but an open descriptor holds is not found.
 */
#include "instance.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct namespaces {
	int (*function)(void *data, struct message *message);
	void *data;
	struct message *message;
	ino_t *seen;
	size_t count, room;
};

/* Whether it was not seen before. Negative: no memory. */
static int is_new(struct namespaces *namespaces, ino_t inode)
{
	for (size_t i = 0; i < namespaces->count; i++)
		if (namespaces->seen[i] == inode)
			return 0;
	if (namespaces->count == namespaces->room) {
		size_t room = namespaces->room ? namespaces->room * 2 : 16;
		ino_t *more = reallocarray(namespaces->seen, room, sizeof(*more));

		if (!more)
			return fail(namespaces->message, -ENOMEM, "out of memory");
		namespaces->seen = more;
		namespaces->room = room;
	}
	namespaces->seen[namespaces->count++] = inode;
	return 1;
}

/* A namespace by its path. One that is gone, or cannot be entered, is passed over. */
static int visit(struct namespaces *namespaces, const char *path)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC), result;
	struct stat status;

	if (descriptor < 0)
		return 0;
	result = fstat(descriptor, &status) ? 0 : is_new(namespaces, status.st_ino);
	if (result > 0)
		result = setns(descriptor, CLONE_NEWNET) ?
				 0 :
				 namespaces->function(namespaces->data, namespaces->message);
	close(descriptor);
	return result;
}

static int visit_processes(struct namespaces *namespaces)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;
	char path[PATH_MAX];
	int result = 0;

	while (directory && !result && (entry = readdir(directory))) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/ns/net", entry->d_name);
		result = visit(namespaces, path);
	}
	if (directory)
		closedir(directory);
	return result;
}

static int visit_mounts(struct namespaces *namespaces)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, path[PATH_MAX];
	size_t room = 0;
	int result = 0;

	while (file && !result && getline(&line, &room, file) > 0)
		if (sscanf(line, "%*s %*s %*s net:[%*[0-9]] %4095s", path) == 1)
			result = visit(namespaces, path);
	free(line);
	if (file)
		fclose(file);
	return result;
}

int netns_each(int (*function)(void *data, struct message *message), void *data,
	       struct message *message)
{
	struct namespaces namespaces = { function, data, message, NULL, 0, 0 };
	int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), result;

	if (own < 0)
		return fail(message, -errno, "the network namespace: %s", strerror(errno));
	result = visit(&namespaces, "/proc/thread-self/ns/net");
	if (!result)
		result = visit_processes(&namespaces);
	if (!result)
		result = visit_mounts(&namespaces);
	/* Nothing but the end of the process could keep the caller from where it was. */
	if (setns(own, CLONE_NEWNET))
		abort();
	close(own);
	free(namespaces.seen);
	return result;
}
