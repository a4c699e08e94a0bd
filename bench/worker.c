// SPDX-License-Identifier: BSD-2-Clause
/* Workers: processes that sit in their places and do nothing until they are told to. */
#include "bench.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

static void serve(struct place *place, int channel)
{
	struct turn_result result;
	struct turn turn;

	while (recv(channel, &turn, sizeof(turn), 0) == sizeof(turn) && turn.kind != TURN_END) {
		turn_take(place, &turn, &result);
		if (send(channel, &result, sizeof(result), MSG_NOSIGNAL) < 0)
			break;
	}
	place_release(place);
	place_detach(place);
}

static int answer(int channel, struct turn_result *result)
{
	if (recv(channel, result, sizeof(*result), 0) == sizeof(*result))
		return result->error[0] ? -EIO : 0;
	snprintf(result->error, sizeof(result->error), "the worker died");
	return -EPIPE;
}

int worker_start(struct worker *worker, const char *cgroup, const char *mount,
		 const struct place_recipe *recipe, bool attached, int cpu, char *error,
		 size_t size)
{
	struct place place = { .recipe = *recipe };
	struct turn_result result = {};
	int channel[2], status;
	cpu_set_t cpus;
	pid_t parent = getpid();

	snprintf(place.cgroup, sizeof(place.cgroup), "%s", cgroup);
	snprintf(place.directory, sizeof(place.directory), "%s%s", mount, cgroup);
	status = place_begin(cgroup, mount, recipe, error, size);
	if (status)
		return status;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel)) {
		snprintf(error, size, "socketpair: %s", strerror(errno));
		return -errno;
	}
	fflush(NULL);
	worker->process = fork();
	worker->channel = channel[0];
	if (!worker->process) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		close(channel[0]);
		CPU_ZERO(&cpus);
		CPU_SET(cpu, &cpus);
		sched_setaffinity(0, sizeof(cpus), &cpus);
		status = place_enter(&place, result.error, sizeof(result.error));
		if (!status && attached)
			status = place_attach(&place, result.error, sizeof(result.error));
		if (!status && attached)
			place_prepare(&place, result.error, sizeof(result.error));
		send(channel[1], &result, sizeof(result), MSG_NOSIGNAL);
		if (!result.error[0])
			serve(&place, channel[1]);
		place_release(&place);
		_exit(0);
	}
	close(channel[1]);
	status = answer(worker->channel, &result);
	if (status) {
		snprintf(error, size, "%s", result.error);
		worker_end(worker);
	}
	return status;
}

int worker_turn(struct worker *worker, const struct turn *turn, double *nanoseconds, char *error,
		size_t size)
{
	struct turn_result result;
	int status;

	if (send(worker->channel, turn, sizeof(*turn), MSG_NOSIGNAL) < 0)
		return -errno;
	status = answer(worker->channel, &result);
	if (status)
		snprintf(error, size, "%s", result.error);
	if (nanoseconds)
		*nanoseconds = result.nanoseconds;
	return status;
}

void worker_end(struct worker *worker)
{
	struct turn end = { .kind = TURN_END };

	if (!worker->process)
		return;
	send(worker->channel, &end, sizeof(end), MSG_NOSIGNAL);
	close(worker->channel);
	waitpid(worker->process, NULL, 0);
	worker->process = 0;
}
