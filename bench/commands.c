// SPDX-License-Identifier: BSD-2-Clause
/*
 * How long the commands take, as somebody who types them waits: they are executed, one after the
 * other, in a network namespace and below a cgroup of their own. And what the verifier goes
 * through meanwhile, which is most of that time, program by program.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define RUN_PORT 9301 /* of a service of connections alone */
#define ARGUMENTS 12

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

/* Executes `waybill` with these arguments; what it complains of is the error. */
static int execute(const char *const arguments[], int input, double *nanoseconds, char *error,
		   size_t size)
{
	int said = memfd_create("said", MFD_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	double begin = now();
	pid_t child = fork();
	int status = -1;
	ssize_t length;

	if (!child) {
		dup2(input < 0 ? null : input, 0);
		dup2(null, 1);
		dup2(said, 2);
		execv(WAYBILL_COMMAND, (char *const *)arguments);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		status = -1;
	*nanoseconds += now() - begin;
	if (status) {
		length = pread(said, error, size - 1, 0);
		error[length > 0 ? length : 0] = '\0';
		error[strcspn(error, "\n")] = '\0';
		if (!error[0])
			snprintf(error, size, "%s %s: status %x", WAYBILL_COMMAND, arguments[1],
				 status);
	}
	close(said);
	close(null);
	return status ? -EIO : 0;
}

static int listen_at(int port)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(port) };
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "127.0.0.1", &here.sin_addr);
	if (descriptor < 0 || bind(descriptor, (void *)&here, sizeof(here)) ||
	    listen(descriptor, 16))
		return -errno;
	return 0;
}

/* The services that `run` goes through; the place itself receives datagrams at SERVICE_PORT. */
static int listen_once(void)
{
	static bool listens;
	int error = 0;

	if (!listens)
		error = listen_at(RUN_PORT);
	if (!listens && !error)
		error = listen_at(SERVICE_PORT);
	listens = !error;
	return error;
}

static int apply(struct place *place, const char *name, double *nanoseconds, char *error,
		 size_t size)
{
	const char *const arguments[] = { "waybill", "apply", "--instance", name, "-", NULL };
	int input = memfd_create("policy", MFD_CLOEXEC), status = -errno;
	size_t length = 0;
	char *text = place_policy(place, &length);

	if (input >= 0 && text && write(input, text, length) == (ssize_t)length &&
	    !lseek(input, 0, SEEK_SET))
		status = execute(arguments, input, nanoseconds, error, size);
	free(text);
	if (input >= 0)
		close(input);
	return status;
}

int command_take(struct place *place, enum turn_kind kind, double *nanoseconds, char *error,
		 size_t size)
{
	char name[40], through[16];
	const char *const up[] = { "waybill",  "up",          "--instance", name,
				   "--cgroup", place->cgroup, NULL };
	const char *const down[] = { "waybill", "down", "--instance", name, NULL };
	const char *const run[] = {
		"waybill", "run", "--through", through, "--", "/bin/true", NULL
	};
	int status = listen_once();

	/* As the bench's cgroup is called: its cleaner knows it by that. */
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(place->cgroup + 1, "/"),
		 place->cgroup + 1);
	snprintf(through, sizeof(through), ":%d", kind == TURN_RUN ? RUN_PORT : SERVICE_PORT);
	*nanoseconds = 0;
	if (status)
		return status;
	switch (kind) {
	case TURN_DOWN:
		return execute(down, -1, nanoseconds, error, size);
	case TURN_RUN:
	case TURN_RUN_DATAGRAMS:
		return execute(run, -1, nanoseconds, error, size);
	default:
		status = execute(up, -1, nanoseconds, error, size);
		if (!status && kind == TURN_UP_DATAGRAMS)
			status = apply(place, name, nanoseconds, error, size);
		return status;
	}
}

static int on_trial(void *data, const struct program_trial *trial)
{
	struct programs *programs = data;

	if (programs->count < PROGRAMS_MAX)
		programs->trial[programs->count++] = *trial;
	return 0;
}

int programs_measure(struct programs *programs, char *error, size_t size)
{
	struct message message = {};
	int status;

	programs->count = 0;
	status = programs_try(on_trial, programs, &message);
	if (status)
		snprintf(error, size, "%.200s", message.text);
	return status;
}

void programs_table(const struct programs *programs)
{
	double milliseconds = 0, instructions = 0;

	printf("\n%-58s %12s %9s\n", "what the verifier goes through", "instructions", "ms");
	for (size_t i = 0; i < programs->count; i++) {
		const struct program_trial *trial = &programs->trial[i];

		printf("  %-56s %12u %9.1f", trial->name, trial->instructions, trial->milliseconds);
		printf(trial->verdict == PROGRAM_LOADS ? "\n" : "   does not load: %s\n",
		       trial->reason);
		instructions += trial->instructions;
		milliseconds += trial->milliseconds;
	}
	printf("  %-56s %12.0f %9.1f\n", "all", instructions, milliseconds);
}

void programs_json(const struct programs *programs)
{
	for (size_t i = 0; i < programs->count; i++) {
		const struct program_trial *trial = &programs->trial[i];

		printf("%s\n    { \"name\": \"%s\", \"verdict\": \"%s\", \"instructions\": %u, "
		       "\"milliseconds\": %.3f }",
		       i ? "," : "", trial->name, program_verdict_name(trial->verdict),
		       trial->instructions, trial->milliseconds);
	}
}
