// SPDX-License-Identifier: BSD-2-Clause
/*
 * /sys/fs/bpf, where instances are pinned: mounted if nobody has, locked while an instance is
 * changed, and cleaned. The lock is one on the directory of all instances, which is root's alone, as
 * /sys/fs/bpf itself need not be; it goes with the last of them, and leaves nothing behind.
 */
#include "instance.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BPFFS "/sys/fs/bpf"
#define PINS BPFFS "/waybill"

int bpffs_mount(struct message *message)
{
	struct statfs status;

	if (statfs(BPFFS, &status))
		return fail(message, -errno, BPFFS ": %s (is sysfs mounted on /sys?)",
			    strerror(errno));
	if (status.f_type == BPF_FS_MAGIC)
		return 0;
	if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return fail(message, -errno,
			    "cannot mount the BPF file system on " BPFFS
			    ": %s (mount -t bpf bpf " BPFFS " as root)",
			    strerror(errno));
	return 0;
}

int bpffs_directory(const char *name, char *path, size_t size, struct message *message)
{
	const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	size_t length = strlen(name);

	/* No dots: bpffs refuses them in names. */
	if (!length || length > 40 || strspn(name, allowed) != length)
		return fail(message, -EINVAL,
			    "instance \"%s\": not a name (1 to 40 of a-z A-Z 0-9 _ -)", name);
	snprintf(path, size, PINS "/%s", name);
	return 0;
}

/* The directory of all instances, which is made if it is not there. */
static int pins_open(struct message *message)
{
	struct stat status;
	int descriptor;

	if (mkdir(PINS, 0700) && errno != EEXIST)
		return fail(message, -errno, PINS ": %s (needs root: run it with sudo)",
			    strerror(errno));
	descriptor = open(PINS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (descriptor < 0)
		return errno == ENOENT ? -ENOENT :
					 fail(message, -errno, PINS ": %s (needs root)",
					      strerror(errno));
	/* Where the BPF file system is open to all, somebody may have been here before. */
	if (!fstat(descriptor, &status) && !status.st_uid && !(status.st_mode & 077))
		return descriptor;
	close(descriptor);
	return fail(message, -EPERM,
		    PINS ": not a directory that root alone can read and write (remove it)");
}

/* Whether it is still the one that others find. */
static bool pins_are(int descriptor)
{
	struct stat mine, theirs;

	return !fstat(descriptor, &mine) && !lstat(PINS, &theirs) && mine.st_ino == theirs.st_ino;
}

int bpffs_lock(struct message *message)
{
	int descriptor, error = bpffs_mount(message);

	while (!error) {
		descriptor = pins_open(message);
		if (descriptor == -ENOENT) /* removed at this moment */
			continue;
		if (descriptor < 0)
			return descriptor;
		while ((error = flock(descriptor, LOCK_EX) ? -errno : 0) == -EINTR)
			;
		if (!error && pins_are(descriptor))
			return descriptor;
		close(descriptor);
		if (error)
			fail(message, error, PINS ": cannot lock: %s", strerror(-error));
	}
	return error;
}

void bpffs_unlock(int lock)
{
	/* If there are instances, it stays. */
	rmdir(PINS);
	close(lock);
}

/* Removes a pin, or a directory with all pins in it. Pins go in the order given, then the rest. */
static int remove_below(int parent, const char *name, const char *first)
{
	int descriptor, error = 0;
	struct dirent *entry;
	DIR *directory;

	if (!unlinkat(parent, name, 0))
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (descriptor < 0)
		return -errno;
	if (first)
		remove_below(descriptor, first, NULL);
	directory = fdopendir(descriptor);
	if (!directory) {
		error = -errno;
		close(descriptor);
		return error;
	}
	while (!error && (entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			error = remove_below(descriptor, entry->d_name, NULL);
	closedir(directory);
	if (!error && unlinkat(parent, name, AT_REMOVEDIR))
		error = -errno;
	return error;
}

int bpffs_remove(const char *directory, bool *found, struct message *message)
{
	int error;

	/* Links first: once they are gone no program runs that could miss a map. */
	error = remove_below(AT_FDCWD, directory, "links");
	*found = error != -ENOENT;
	if (error && error != -ENOENT)
		return fail(message, error, "%s: cannot remove it: %s", directory,
			    strerror(-error));
	return 0;
}

int instance_list(char ***names, size_t *count, struct message *message)
{
	struct dirent *entry;
	DIR *directory;
	char **list;

	*names = NULL;
	*count = 0;
	directory = opendir(PINS);
	if (!directory)
		return errno == ENOENT ?
			       0 :
			       fail(message, -errno, PINS ": %s (needs root)", strerror(errno));
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		list = reallocarray(*names, *count + 1, sizeof(*list));
		if (list)
			*names = list;
		if (!list || !(list[*count] = strdup(entry->d_name))) {
			closedir(directory);
			return fail(message, -ENOMEM, "out of memory");
		}
		++*count;
	}
	closedir(directory);
	return 0;
}
