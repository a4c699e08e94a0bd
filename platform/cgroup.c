// SPDX-License-Identifier: BSD-2-Clause
/*
 * Cgroups by path and by id. cgroup2 may be mounted anywhere (on hybrid hosts at
 * /sys/fs/cgroup/unified), so mountinfo is asked; and an id is the inode number of a directory.
 */
#include "instance.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* mountinfo writes space, tab, newline and backslash as octal escapes. */
static void unescape(char *text)
{
	char *to = text;

	for (char *from = text; *from; from++) {
		unsigned int code;

		if (*from == '\\' && sscanf(from + 1, "%3o", &code) == 1) {
			*to++ = (char)code;
			from += 3;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
}

int cgroup_mount(char *path, size_t size, struct message *message)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;
	int error = -ENOENT;

	if (!file)
		return fail(message, -errno, "/proc/self/mountinfo: %s (is /proc mounted?)",
			    strerror(errno));
	while (error && getline(&line, &room, file) > 0) {
		char *type = strstr(line, " - cgroup2 "), root[PATH_MAX], point[PATH_MAX];

		/* The whole hierarchy: a bind mount of a part of it would give wrong paths. */
		if (!type || sscanf(line, "%*s %*s %*s %4095s %4095s", root, point) != 2 ||
		    strcmp(root, "/"))
			continue;
		unescape(point);
		if (strlen(point) >= size) {
			error = fail(message, -ENAMETOOLONG, "%s: the path is too long", point);
			break;
		}
		strcpy(path, point);
		error = 0;
	}
	free(line);
	fclose(file);
	if (error == -ENOENT)
		fail(message, error,
		     "cgroup2 is not mounted here (mount -t cgroup2 none /sys/fs/cgroup; `ip netns "
		     "exec` hides it, `nsenter --net=/run/netns/NAME` does not)");
	return error;
}

int cgroup_id(const char *directory, uint64_t *id)
{
	struct stat status;

	if (stat(directory, &status))
		return -errno;
	if (!S_ISDIR(status.st_mode))
		return -ENOTDIR;
	*id = status.st_ino;
	return 0;
}

/* Looks for an id below a directory. path has room up to PATH_MAX, and is restored on failure. */
static int find_below(char *path, uint64_t id)
{
	size_t length = strlen(path);
	struct dirent *entry;
	int error = -ENOENT;
	DIR *directory;

	directory = opendir(path);
	if (!directory)
		return -errno;
	while (error == -ENOENT && (entry = readdir(directory))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    length + strlen(entry->d_name) + 2 > PATH_MAX)
			continue;
		sprintf(path + length, "/%s", entry->d_name);
		error = entry->d_ino == id ? 0 : find_below(path, id);
		if (error) {
			error = -ENOENT; /* it may have vanished while we looked */
			path[length] = '\0';
		}
	}
	closedir(directory);
	return error;
}

bool cgroup_shows_all(const char *mount)
{
	uint64_t root;

	return !cgroup_id(mount, &root) && root == CGROUP_ROOT;
}

int cgroup_path(uint64_t id, char *path, size_t size)
{
	char found[PATH_MAX];
	uint64_t root;
	size_t mount;
	int error;

	error = cgroup_mount(found, sizeof(found), NULL);
	if (!error)
		error = cgroup_id(found, &root);
	if (error)
		return error;
	mount = strlen(found);
	if (id != root)
		error = find_below(found, id);
	if (error)
		return error;
	if (strlen(found + mount) >= size)
		return -ENAMETOOLONG;
	strcpy(path, id == root ? "/" : found + mount);
	return 0;
}

bool cgroup_is_below(const char *path, const char *above)
{
	size_t length = strlen(above);

	return !strcmp(above, "/") ||
	       (!strncmp(path, above, length) && (!path[length] || path[length] == '/'));
}

int cgroup_of_process(unsigned int pid, char *path, size_t size)
{
	char name[64], *line = NULL;
	int error = -ENOENT;
	size_t room = 0;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%u/cgroup", pid);
	file = fopen(name, "re");
	while (file && error && getline(&line, &room, file) > 0) {
		if (strncmp(line, "0::", 3))
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(path, size, "%s", line + 3);
		error = 0;
	}
	free(line);
	if (file)
		fclose(file);
	return error;
}
