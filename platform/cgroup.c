// SPDX-License-Identifier: BSD-2-Clause
/*
 * Cgroups by path and by id. cgroup2 may be mounted anywhere (on hybrid hosts at
 * /sys/fs/cgroup/unified), so mountinfo is asked; and an id is the inode number of a directory.
 */
#include "instance.h"

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

bool cgroup_shows_all(const char *mount)
{
	uint64_t root;

	return !cgroup_id(mount, &root) && root == CGROUP_ROOT;
}

#define FILEID_KERNFS 0xfe /* of include/linux/exportfs.h: the handle is the id */

/* The kernel finds it, so nobody else's names are walked. */
int cgroup_open(uint64_t id)
{
	union {
		struct file_handle handle;
		unsigned char room[sizeof(struct file_handle) + sizeof(id)];
	} of = { .handle = { .handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS } };
	int error, root, found;
	char mount[PATH_MAX];

	error = cgroup_mount(mount, sizeof(mount), NULL);
	if (error)
		return error;
	root = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	memcpy(of.handle.f_handle, &id, sizeof(id));
	found = open_by_handle_at(root, &of.handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (found < 0)
		found = errno == ESTALE ? -ENOENT : -errno;
	close(root);
	return found;
}

int cgroup_path(uint64_t id, char *path, size_t size)
{
	char mount[PATH_MAX], link[64], found[PATH_MAX];
	int descriptor, error;
	ssize_t length;
	uint64_t is;

	error = cgroup_mount(mount, sizeof(mount), NULL);
	if (error)
		return error;
	descriptor = cgroup_open(id);
	if (descriptor < 0)
		return descriptor;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
	length = readlink(link, found, sizeof(found) - 1);
	error = length < 0 ? -errno : 0;
	close(descriptor);
	if (error)
		return error;
	found[length] = '\0';
	/* One that was removed meanwhile, or is not below the mount. */
	if (strncmp(found, mount, strlen(mount)) || cgroup_id(found, &is) || is != id)
		return -ENOENT;
	if (strlen(found + strlen(mount)) >= size)
		return -ENAMETOOLONG;
	strcpy(path, found[strlen(mount)] ? found + strlen(mount) : "/");
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
