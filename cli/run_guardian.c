// SPDX-License-Identifier: BSD-2-Clause
/*
 * The guardian must not be ended by what ends `waybill run`: not by the terminal, nor with the
 * session, the service or the scope that it was started in. So it leaves all of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "run_guardian.h"

/* systemd ends a service by killing its cgroup: ours would be killed with `waybill run`. */
static void leave_cgroup(const struct run_cgroup *cgroup)
{
	int mount = openat(cgroup->lock, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC), procs;

	if (mount < 0)
		return;
	/* In a container whose root is closed to processes we stay: all of it ends together. */
	procs = openat(mount, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (procs >= 0) {
		if (write(procs, "0", 1) < 0)
			errno = 0;
		close(procs);
	}
	close(mount);
}

static void stand_apart(const struct run_cgroup *cgroup)
{
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC), oom;

	for (int number = 1; number < NSIG; number++)
		if (number != SIGCHLD)
			signal(number, SIG_IGN);
	setsid();
	if (chdir("/"))
		errno = 0; /* a file system is busy for a little longer */
	/* Whoever reads our output must not wait for us. */
	for (int fd = 0; nowhere >= 0 && fd < 3; fd++)
		dup2(nowhere, fd);
	oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (oom >= 0) {
		if (write(oom, "-1000", 5) < 0)
			errno = 0;
		close(oom);
	}
	prctl(PR_SET_NAME, "waybill-guard");
	leave_cgroup(cgroup);
}

static void __attribute__((noreturn))
guard(const struct run_cgroup *cgroup, uint32_t owner, int leash)
{
	char byte;
	int error;

	stand_apart(cgroup);
	while (read(leash, &byte, 1) < 0 && errno == EINTR)
		;
	error = run_cgroup_end(cgroup->directory, -1);
	if (owner)
		instance_datagrams6_end(owner);
	_exit(error ? 1 : 0);
}

int guardian_start(struct guardian *guardian, const struct run_cgroup *cgroup, uint32_t owner)
{
	int ends[2], error;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	guardian->pid = fork();
	if (guardian->pid == 0) {
		close(ends[1]);
		guard(cgroup, owner, ends[0]);
	}
	error = guardian->pid < 0 ? -errno : 0;
	close(ends[0]);
	guardian->leash = ends[1];
	if (error) {
		close(ends[1]);
		guardian->pid = 0;
	}
	return error;
}
