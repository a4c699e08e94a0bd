/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command of a `waybill run`: as whom it runs, how it is started inside its cgroup, and how
 * it is waited for.
 */
#ifndef WAYBILL_CLI_RUN_CHILD_H
#define WAYBILL_CLI_RUN_CHILD_H

#include <signal.h>
#include <sys/types.h>

#include "run_cgroup.h"
#include "run_guardian.h"

struct run_user {
	bool change; /* false: the command runs as we do */
	uid_t uid;
	gid_t gid;
	char name[64]; /* "" if the user has no name */
	char home[PATH_MAX], shell[PATH_MAX];
};

/* By name or number; NULL: who called sudo, or nobody else. 0, or -EINVAL with message. */
int run_user_find(struct run_user *user, const char *name, struct message *message);
/* A user by his id, who need not have a name: then his group is the other one. */
void run_user_by_id(struct run_user *user, uid_t uid, gid_t otherwise);

/* Takes its groups, its ids, and its environment. Returns 0 or a negative errno. */
int run_user_become(const struct run_user *user);

/* Becomes the command. Returns only if that fails, after a complaint: the exit code for it. */
int run_command_exec(char **command);

/* Signals that are to be passed on to the command, or to be left to it; and the mask before. */
struct run_signals {
	sigset_t waited, before;
};

void run_signals_hold(struct run_signals *signals);
/* A signal that came while it was held, before there was a command to have it; 0 for none. */
int run_signals_early(const struct run_signals *signals);

/* Starts it. Returns its process id or a negative errno. */
pid_t run_child_start(char **command, const struct run_cgroup *cgroup, const struct run_user *user,
		      const struct run_signals *signals, int leash);
/*
 * Waits for the command, passing signals on. Returns its exit code as a shell tells it. If the
 * guardian ends first, guardian->pid becomes 0 and the command is killed.
 */
int run_child_wait(pid_t child, struct guardian *guardian, const struct run_cgroup *cgroup,
		   const struct run_signals *signals);

#endif
