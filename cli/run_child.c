// SPDX-License-Identifier: BSD-2-Clause
/*
 * Starts the command: into the cgroup first, so that not one socket of it is made outside; then
 * as its user. What goes to the whole foreground process group from the terminal reaches the
 * command without us; what is sent to us alone is passed on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "run_child.h"

#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND 127
#define EXIT_SIGNAL 128

static const int held[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };

void run_signals_hold(struct run_signals *signals)
{
	sigemptyset(&signals->waited);
	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
		sigaddset(&signals->waited, held[i]);
	sigaddset(&signals->waited, SIGCHLD);
	/* It may have been inherited as ignored: then nobody could be waited for. */
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_BLOCK, &signals->waited, &signals->before);
}

int run_signals_early(const struct run_signals *signals)
{
	sigset_t pending;

	sigpending(&pending);
	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
		if (sigismember(&pending, held[i]))
			return held[i];
	return 0;
}

int run_command_exec(char **command)
{
	int error;

	execvp(command[0], command);
	error = errno;
	complain("%s: %s", command[0], error == ENOENT ? "no such command" : strerror(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

static void __attribute__((noreturn))
child(char **command, const struct run_cgroup *cgroup, const struct run_user *user,
      const struct run_signals *signals)
{
	int error = run_cgroup_enter(cgroup);

	if (error) {
		complain("cannot enter %s: %s", cgroup->directory, strerror(-error));
		_exit(EXIT_FAILED);
	}
	error = run_user_become(user);
	if (error) {
		complain("cannot become user %s: %s (give another --user)",
			 user->name[0] ? user->name : "of SUDO_UID", strerror(-error));
		_exit(EXIT_FAILED);
	}
	sigprocmask(SIG_SETMASK, &signals->before, NULL);
	_exit(run_command_exec(command));
}

pid_t run_child_start(char **command, const struct run_cgroup *cgroup, const struct run_user *user,
		      const struct run_signals *signals, int leash)
{
	pid_t pid = fork();

	if (pid == 0) {
		/* The guardian waits for the death of whoever holds this: that must be us alone. */
		close(leash);
		child(command, cgroup, user, signals);
	}
	return pid < 0 ? -errno : pid;
}

static void pass_on(pid_t child, const siginfo_t *info)
{
	/* The terminal has sent it to the command as well. */
	if (info->si_code == SI_KERNEL)
		return;
	kill(child, info->si_signo);
}

static int exit_code(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNAL + WTERMSIG(status);
}

int run_child_wait(pid_t child, struct guardian *guardian, const struct run_cgroup *cgroup,
		   const struct run_signals *signals)
{
	siginfo_t info;
	int status;

	for (;;) {
		/* SIGCHLDs merge, so each is asked for, every time. */
		if (waitpid(child, &status, WNOHANG) == child)
			return exit_code(status);
		if (guardian->pid && waitpid(guardian->pid, NULL, WNOHANG) == guardian->pid) {
			guardian->pid = 0;
			complain("the guardian of this run was killed: the command is ended, as "
				 "nobody could end it for us");
			run_cgroup_end(cgroup->directory, -1);
		}
		if (sigwaitinfo(&signals->waited, &info) > 0 && info.si_signo != SIGCHLD)
			pass_on(child, &info);
	}
}
