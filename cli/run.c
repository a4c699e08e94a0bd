// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill run`: sends the connections of one command, and of its children, through listeners
 * that already run. An engine of its own, pinned nowhere, with a policy made here, on a cgroup
 * made for the command; all of it is gone when the command ends, or when we are killed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "run_child.h"
#include "run_listener.h"

#define LISTENERS_MAX WAYBILL_HOPS_MAX /* more could not see one connection */
#define WEIGHT_STEP 100
#define RECORDS_EXPIRE (600 * 1000000000ULL)
#define DATAGRAM_IDLE (60 * 1000000000ULL)
#define EXIT_SIGNAL 128
#define PATIENCE 3 /* seconds, before we say what we wait for */

struct run {
	struct listener listener[LISTENERS_MAX];
	size_t listeners;
	const char *user_name;
	char **command;
	struct run_user user;
	struct run_cgroup cgroup;
	struct run_signals signals;
	struct guardian guardian;
	struct instance *instance;
};

static const struct argp_option options[] = {
	{ "through", 't', "ADDRESS:PORT", 0,
	  "A listener that is to see the connections; :PORT means 127.0.0.1 and ::1. Given more "
	  "than once, they see them in this order",
	  1 },
	{ "user", 'u', "USER", 0,
	  "Run the command as this user (under sudo: as who called it); root keeps root", 1 },
	{ 0 },
};

static const char documentation[] =
	"Run a command whose TCP connections, and those of its children, go through services that "
	"already listen on this host, whoever runs them. No policy file is needed.\v"
	"A service that hands the records on is followed by the next one; after one that does not "
	"the connection goes straight. While a service is down, and over an address family that it "
	"does not listen on, connections are refused. When the command ends, processes that it "
	"left behind are killed and everything is removed; also when `waybill run` is killed.\n\n"
	"EXAMPLES:\n"
	"  sudo waybill run --through :9001 -- curl https://example.org/\n"
	"  sudo waybill run -t :9001 -t 127.0.0.1:9002 -- apt-get update\n"
	"  sudo waybill run -t [::1]:9001 --user nobody -- wget https://example.org/\n"
	"\nEXIT STATUS:\n"
	"  that of the command, or\n"
	"  1    failed before it began: standard error says what, why and the mend\n"
	"  2    wrong usage\n"
	"  126  the command cannot be run\n"
	"  127  there is no such command\n"
	"  128  and the number of the signal that ended it\n";

static void add_listener(struct argp_state *state, struct run *run, const char *text)
{
	struct listener *listener = &run->listener[run->listeners];
	struct message message;

	if (run->listeners == LISTENERS_MAX)
		argp_error(state, "--through: more than %d", LISTENERS_MAX);
	if (listener_parse(listener, text, &message))
		argp_error(state, "--through: %s", message.text);
	for (size_t i = 0; i < run->listeners; i++)
		if (run->listener[i].port == listener->port)
			argp_error(state,
				   "--through: %s and %s have the same port (give one of the "
				   "services another; :%u is both 127.0.0.1 and ::1)",
				   run->listener[i].text, text, listener->port);
	run->listeners++;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct run *run = state->input;

	switch (key) {
	case 't':
		add_listener(state, run, argument);
		return 0;
	case 'u':
		run->user_name = argument;
		return 0;
	case ARGP_KEY_ARG:
		/* The command begins here, and its options are its own. */
		run->command = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!run->listeners)
			argp_error(state, "through what? Give --through :PORT");
		if (!run->command)
			argp_error(state, "run what? Give a command after --");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/*
 * Two engines on one connection would not know of each other. Ours is on every cgroup, but has
 * filters for the run's own alone: another one matters if it covers that too.
 */
static int refuse_others(void)
{
	struct message message = { "" };
	char **names, taken[64] = "";
	size_t count;

	if (instance_list(&names, &count, &message))
		return complain("%s", message.text);
	for (size_t i = 0; i < count; i++) {
		struct instance *instance;

		if (!instance_open(names[i], &instance, &message)) {
			if (!strcmp(instance_control(instance)->cgroup_path, "/"))
				snprintf(taken, sizeof(taken), "%s", names[i]);
			instance_close(instance);
		}
		free(names[i]);
	}
	free(names);
	if (!taken[0])
		return 0;
	return complain(
		"instance %s is up on every cgroup: two engines on one connection would not "
		"know of each other (put the services in its policy, or `waybill down "
		"--instance %s` first)",
		taken, taken);
}

static int apply_policy(struct run *run, struct message *message)
{
	struct service service[LISTENERS_MAX] = { 0 };
	struct filter filter[LISTENERS_MAX] = { 0 };
	char name[LISTENERS_MAX][32], path[64], *cgroup = path;
	struct policy policy = {
		.source = (char[]){ "waybill run" },
		.hop_limit = WAYBILL_HOPS_MAX,
		.records_expire = RECORDS_EXPIRE,
		.datagram_idle = DATAGRAM_IDLE,
		.service = service,
		.services = run->listeners,
		.filter = filter,
		.filters = run->listeners,
		/* The command may run as the same user as a service, and is none all the same. */
		.no_service = &cgroup,
		.no_services = 1,
	};
	struct apply_result result;

	snprintf(path, sizeof(path), "%s", run->cgroup.path);
	for (size_t i = 0; i < run->listeners; i++) {
		const struct listener *listener = &run->listener[i];

		snprintf(name[i], sizeof(name[i]), "through-%zu", i + 1);
		service[i] = (struct service){
			.name = name[i],
			.weight = (run->listeners - i) * WEIGHT_STEP,
			.tcp = listener->port,
			.udp = listener->datagrams ? listener->port : 0,
			.has4 = listener->has4,
			.has6 = listener->has6,
			.identity = { .has_user = true, .user = listener->user },
			.when_down = POLICY_DOWN_BLOCK,
		};
		memcpy(service[i].address4, listener->address4, sizeof(listener->address4));
		memcpy(service[i].address6, listener->address6, sizeof(listener->address6));
		filter[i] = (struct filter){
			.name = name[i],
			.service = name[i],
			.match = { .tcp = true,
				   .udp = listener->datagrams,
				   .cgroup = &cgroup,
				   .cgroups = 1 },
			.action = POLICY_REDIRECT,
		};
	}
	return instance_apply(run->instance, &policy, &result, message);
}

static bool takes_datagrams(const struct run *run)
{
	for (size_t i = 0; i < run->listeners; i++)
		if (run->listener[i].datagrams)
			return true;
	return false;
}

static int prepare(struct run *run)
{
	struct message message = { "" };
	int error;

	if (refuse_others())
		return EXIT_FAILED;
	error = instance_create_private(NULL, 0, &run->instance, &message);
	if (!error)
		error = apply_policy(run, &message);
	if (error)
		return complain("%s", message.text);
	error = guardian_start(&run->guardian, &run->cgroup, takes_datagrams(run) ? getpid() : 0);
	if (error)
		return complain("cannot start the guardian: %s", strerror(-error));
	/* Only now, so that the guardian ends it. */
	if (takes_datagrams(run) && instance_datagrams6(run->instance, getpid(), &message))
		return complain("%s", message.text);
	return EXIT_OK;
}

/* Lets the guardian end what is left, and ends it ourselves if the guardian could not. */
static void finish(struct run *run)
{
	const struct timespec patience = { .tv_sec = PATIENCE };
	bool said = false;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (run->guardian.pid)
		close(run->guardian.leash);
	while (run->guardian.pid && !waitpid(run->guardian.pid, NULL, WNOHANG)) {
		if (sigtimedwait(&child, NULL, &patience) < 0 && errno == EAGAIN && !said) {
			said = true;
			complain("waiting for processes of the command that do not die, in %s",
				 run->cgroup.directory);
		}
	}
	if (run_cgroup_end(run->cgroup.directory, -1))
		complain("%s stays behind (waybill down removes it)", run->cgroup.directory);
}

static int run_command(struct run *run)
{
	int early = run_signals_early(&run->signals);
	pid_t child;

	if (early)
		return EXIT_SIGNAL + early;
	child = run_child_start(run->command, &run->cgroup, &run->user, &run->signals,
				run->guardian.leash);
	if (child < 0)
		return complain("cannot start a process: %s", strerror(-child));
	return run_child_wait(child, &run->guardian, &run->cgroup, &run->signals);
}

int command_run(int argc, char **argv)
{
	static const struct argp argp = { options,       parse_option, "-- COMMAND [ARGUMENT...]",
					  documentation, NULL,         NULL,
					  NULL };
	struct message message = { "" };
	static struct run run;
	int status;

	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &run))
		return EXIT_USAGE;
	if (require_root())
		return EXIT_FAILED;
	if (run_user_find(&run.user, run.user_name, &message))
		return complain("%s", message.text);
	for (size_t i = 0; i < run.listeners; i++)
		if (listener_find(&run.listener[i], &message))
			return complain("%s", message.text);
	run_signals_hold(&run.signals);
	if (run_cgroup_make(&run.cgroup, &message))
		return complain("%s", message.text);
	status = prepare(&run);
	if (!status)
		status = run_command(&run);
	finish(&run);
	instance_close(run.instance);
	return status;
}
