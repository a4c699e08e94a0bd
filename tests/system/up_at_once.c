// SPDX-License-Identifier: BSD-2-Clause
/*
 * up_at_once: an `up` has its programs verified before it waits for others who change instances, so
 * nobody waits for another's verifier. Of two of the same instance at once one makes it, and the
 * other renews it.
 */
#include "world.h"

#include <dirent.h>
#include <sys/wait.h>

static struct world world;

/* The lock is given back when nobody has it open any more: the child must not. */
static pid_t up_begin(int lock)
{
	pid_t process = fork();

	if (!process) {
		struct message message = {};
		bool renewed;

		close(lock);
		if (instance_up(world.name, world.cgroup, 0, &renewed, &message)) {
			fprintf(stderr, "%s\n", message.text);
			_exit(2);
		}
		_exit(renewed);
	}
	EXPECT(process > 0);
	return process;
}

/* 0: it made the instance; 1: it renewed it. */
static int up_end(pid_t process)
{
	int status;

	EXPECT(waitpid(process, &status, 0) == process && WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* How many programs a process holds. */
static int programs_of(pid_t process)
{
	char path[PATH_MAX], target[64];
	struct dirent *entry;
	DIR *directory;
	int count = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", process);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		ssize_t length =
			readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);

		target[length > 0 ? length : 0] = '\0';
		count += !strcmp(target, "anon_inode:bpf-prog");
	}
	if (directory)
		closedir(directory);
	return count;
}

int main(void)
{
	const struct kernel_program *program = NULL;
	struct message message = {};
	pid_t first, second;
	int lock, all = 0, made;

	world_begin(&world, "up_at_once");
	alarm(60); /* nobody else can work meanwhile */
	while ((program = kernel_program_next(program, PROGRAMS_ALWAYS)))
		all++;
	lock = bpffs_lock(&message);
	EXPECT(lock >= 0, "%s", message.text);
	first = up_begin(lock);
	second = up_begin(lock);
	for (int i = 0; i < 1000; i++) {
		if (programs_of(first) == all && programs_of(second) == all)
			break;
		usleep(10000);
	}
	EXPECT(programs_of(first) == all, "%d", programs_of(first));
	EXPECT(programs_of(second) == all, "%d", programs_of(second));
	EXPECT(instance_open(world.name, &world.instance, &message) == -ENOENT);
	bpffs_unlock(lock);
	made = up_end(first);
	EXPECT(made + up_end(second) == 1, "the first: %d", made);
	EXPECT(!instance_open(world.name, &world.instance, &message), "%s", message.text);
	world_end(&world);
}
