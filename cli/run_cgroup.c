// SPDX-License-Identifier: BSD-2-Clause
/*
 * The life of a run's cgroup. To end it means to kill all that is in it, in one write where the
 * kernel can (5.14), before it is removed: nothing of it may live on outside of the redirection.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_cgroup.h"

#define PREFIX "waybill-run-"
#define STEP 100 /* milliseconds between two attempts */

static int open_directory(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int write_file(int directory, const char *name, const char *text)
{
	int fd = openat(directory, name, O_WRONLY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		error = -errno;
	close(fd);
	return error;
}

/* Calls each for every cgroup directly below a directory. */
static void each_below(int directory, void (*each)(int parent, const char *name))
{
	int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *entry;

	while (stream && (entry = readdir(stream)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			each(directory, entry->d_name);
	if (stream)
		closedir(stream);
	else if (copy >= 0)
		close(copy);
}

/* For kernels without cgroup.kill. Forks may outrun it: it is called until nothing is left. */
static void kill_each(int parent, const char *name)
{
	int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, pid;
	FILE *file;

	if (directory < 0)
		return;
	fd = openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	file = fd >= 0 ? fdopen(fd, "r") : NULL;
	/* A process of another namespace is shown as 0, which would be our own group. */
	while (file && fscanf(file, "%d", &pid) == 1)
		if (pid > 0)
			kill(pid, SIGKILL);
	if (file)
		fclose(file);
	each_below(directory, kill_each);
	close(directory);
}

static void remove_each(int parent, const char *name)
{
	int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (directory < 0)
		return;
	each_below(directory, remove_each);
	close(directory);
	unlinkat(parent, name, AT_REMOVEDIR);
}

/* Waits one step for the last process to go. 1: it has gone, 0: not yet, or a negative errno. */
static int wait_empty(int directory)
{
	int fd = openat(directory, "cgroup.events", O_RDONLY | O_CLOEXEC);
	struct pollfd changed = { .fd = fd, .events = POLLPRI };
	char text[256];
	ssize_t size;

	if (fd < 0)
		return -errno;
	for (int attempt = 0; attempt < 2; attempt++) {
		size = pread(fd, text, sizeof(text) - 1, 0);
		text[size > 0 ? size : 0] = '\0';
		if (size < 0 || strstr(text, "populated 0"))
			break;
		if (!attempt)
			poll(&changed, 1, STEP);
	}
	close(fd);
	return strstr(text, "populated 0") != NULL;
}

/* Removes it if it is empty. Whether it is gone. */
static bool remove_directory(const char *path)
{
	remove_each(AT_FDCWD, path);
	return access(path, F_OK) && errno == ENOENT;
}

/* One may enter, or fork, until the directory is gone: so all steps are repeated until it is. */
int run_cgroup_end(const char *path, int milliseconds)
{
	int directory = open_directory(path), error = 0;

	if (directory < 0)
		return errno == ENOENT ? 0 : -errno;
	for (;;) {
		if (write_file(directory, "cgroup.kill", "1"))
			kill_each(directory, ".");
		error = wait_empty(directory);
		if (remove_directory(path)) {
			error = 0;
			break;
		}
		if (error < 0)
			break;
		if (!milliseconds) {
			error = -ETIMEDOUT;
			break;
		}
		/* It may be busy for a moment after its last process went. */
		if (error)
			poll(NULL, 0, STEP);
		if (milliseconds > 0)
			milliseconds = milliseconds > STEP ? milliseconds - STEP : 0;
	}
	close(directory);
	return error;
}

static int say(struct message *message, int error, const char *path, const char *mend)
{
	snprintf(message->text, sizeof(message->text), "%.500s: %s (%s)", path, strerror(-error),
		 mend);
	return error;
}

int run_cgroup_make(struct run_cgroup *cgroup, struct message *message)
{
	const size_t room = sizeof(cgroup->directory) - 64;
	int error = cgroup_mount(cgroup->directory, room, message);
	size_t mount;

	cgroup->lock = -1;
	if (error)
		return error;
	mount = strlen(cgroup->directory);
	sprintf(cgroup->directory + mount, "/" PREFIX "%d", getpid());
	cgroup->path = cgroup->directory + mount;
	if (mkdir(cgroup->directory, 0700))
		return say(message, -errno, cgroup->directory,
			   errno == EEXIST ? "an earlier run left it: waybill down removes it" :
					     "is cgroup2 mounted for writing?");
	cgroup->lock = open_directory(cgroup->directory);
	if (cgroup->lock < 0 || flock(cgroup->lock, LOCK_EX | LOCK_NB)) {
		error = say(message, -errno, cgroup->directory, "did something remove it?");
		rmdir(cgroup->directory);
	}
	return error;
}

int run_cgroup_enter(const struct run_cgroup *cgroup)
{
	return write_file(cgroup->lock, "cgroup.procs", "0");
}

int run_cgroups_clean(size_t *count, struct message *message)
{
	char mount[PATH_MAX / 2], path[PATH_MAX];
	int error = cgroup_mount(mount, sizeof(mount), message), pid, end, lock;
	struct dirent *entry;
	DIR *stream;

	*count = 0;
	if (error)
		return error;
	stream = opendir(mount);
	if (!stream)
		return say(message, -errno, mount, "is cgroup2 mounted there?");
	while (!error && (entry = readdir(stream))) {
		end = 0;
		if (sscanf(entry->d_name, PREFIX "%d%n", &pid, &end) != 1 || entry->d_name[end])
			continue;
		snprintf(path, sizeof(path), "%s/%s", mount, entry->d_name);
		lock = open_directory(path);
		if (lock < 0)
			continue;
		/* Locked: its run, or the run's guardian, lives. */
		if (!flock(lock, LOCK_EX | LOCK_NB)) {
			error = run_cgroup_end(path, 10000);
			if (error)
				say(message, error, path,
				    "a process in it does not die; try again");
			else
				++*count;
		}
		close(lock);
	}
	closedir(stream);
	return error;
}
