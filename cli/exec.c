// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill exec`: becomes a command in the identity of a service, so that what it listens with and
 * connects onward with counts as the service's. Into the cgroup first, so that no socket is made
 * outside; then the listeners, as the service's user but still with root's right to low ports; then
 * the user for good.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "command.h"
#include "exec_sockets.h"
#include "names.h"
#include "run_child.h"

#define GROUP_NOBODY 65534 /* of a user that has no name, and so no group that we could know */

struct exec {
	struct common common; /* the instance alone */
	const char *service_name, *user_name;
	bool listen;
	char **command;
	size_t inherited; /* sockets */
	struct instance *instance;
	struct names names;
	const struct policy_service *service;
	struct run_user user;
	struct exec_sockets sockets;
};

static const struct argp_option options[] = {
	{ "service", 's', "NAME", 0, "The service of the policy in force that the command is", 1 },
	{ "listen", 'l', 0, 0,
	  "Make the sockets that listen at the service's endpoint, and hand them to the command as "
	  "systemd does (LISTEN_FDS)",
	  1 },
	{ "user", 'u', "USER", 0,
	  "Where the policy tells the service by cgroup alone: run the command as this user (under "
	  "sudo: as who called it)",
	  1 },
	{ "instance", 'i', "NAME", 0, "The instance that is meant (" INSTANCE_DEFAULT ")", 10 },
	{ 0 },
};

static const char documentation[] =
	"Start a service in its identity: in its cgroup, and as its user, as the policy in force tells "
	"it.\v"
	"The process becomes the command, as with env(1). Sockets that were handed to `waybill exec` "
	"itself are passed on; inetd's connection is standard input as ever.\n\n"
	"EXAMPLES:\n"
	"  waybill exec --service audit -- waybill-relay --listen :9002\n"
	"  waybill exec --service audit --listen -- waybill-relay --service audit\n"
	"  systemd-socket-activate -l 127.0.0.1:9002 waybill exec -s audit -- waybill-relay\n"
	"\nEXIT STATUS:\n"
	"  that of the command, or\n"
	"  1    failed before it began: standard error says what, why and the mend\n"
	"  2    wrong usage\n"
	"  3    the instance is not up\n"
	"  126  the command cannot be run\n"
	"  127  there is no such command\n";

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct exec *exec = state->input;

	switch (key) {
	case 's':
		exec->service_name = argument;
		return 0;
	case 'l':
		exec->listen = true;
		return 0;
	case 'u':
		exec->user_name = argument;
		return 0;
	case 'i':
		exec->common.instance = argument;
		return 0;
	case ARGP_KEY_ARG:
		/* The command begins here, and its options are its own. */
		exec->command = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!exec->service_name)
			argp_error(state, "which service? Give --service NAME");
		if (!exec->command)
			argp_error(state, "start what? Give a command after --");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int find_service(struct exec *exec)
{
	const struct policy_header *header;
	char known[512] = "";
	size_t used = 0;

	names_open(&exec->names, exec->instance);
	header = exec->names.header;
	if (!header)
		return complain(
			"no policy is applied, so nobody is a service (waybill apply FILE)");
	for (uint32_t slot = 0; slot < header->services; slot++) {
		const struct policy_service *service =
			policy_service(&exec->names.image, header, slot);

		if (!service)
			break;
		if (!strcmp(service->name, exec->service_name)) {
			exec->service = service;
			return EXIT_OK;
		}
		if (used < sizeof(known))
			used += snprintf(known + used, sizeof(known) - used, "%s%s",
					 used ? ", " : "", service->name);
	}
	return complain("service \"%s\" is not in the policy in force (which has: %s)",
			exec->service_name, known[0] ? known : "none");
}

/* Who the command is: the service's user, or whoever may be if it has none. */
static int find_user(struct exec *exec)
{
	struct message message = { "" };

	if (!exec->service->has_user) {
		if (run_user_find(&exec->user, exec->user_name, &message))
			return complain("%s", message.text);
		return EXIT_OK;
	}
	if (exec->user_name)
		return complain("--user: the policy says that service %s is user %u (leave --user "
				"out)",
				exec->service->name, exec->service->user);
	/* Users of policies may be mere numbers. */
	run_user_by_id(&exec->user, exec->service->user, GROUP_NOBODY);
	return EXIT_OK;
}

static const char *mend_entering(int error)
{
	return error == -EBUSY ?
		       "it has controllers for cgroups below it: tell the service by one of "
		       "those" :
		       "is it there, and is cgroup2 mounted for writing?";
}

static int enter_cgroup(struct exec *exec)
{
	const char *above = instance_control(exec->instance)->cgroup_path;
	struct run_cgroup cgroup = { .lock = -1 };
	char own[PATH_MAX], path[PATH_MAX / 2];
	struct message message = { "" };
	int error = cgroup_of_process(getpid(), own, sizeof(own));

	if (error)
		return complain("/proc/self/cgroup: %s (is cgroup2 mounted?)", strerror(-error));
	if (!exec->service->cgroup) {
		if (cgroup_is_below(own, above))
			return EXIT_OK;
		return complain("cgroup %s, where this runs, is outside of %s, where the instance "
				"is: a service is down there (run it in a cgroup below that)",
				own, above);
	}
	error = cgroup_path(exec->service->cgroup, path, sizeof(path));
	if (error == -ENOENT)
		return complain("the cgroup of service %s was removed since the policy was applied "
				"(make it, and apply the policy again)",
				exec->service->name);
	if (!error && cgroup_is_below(own, path))
		return EXIT_OK;
	if (!error)
		error = cgroup_mount(cgroup.directory, sizeof(cgroup.directory) / 2, &message);
	if (!error) {
		strcat(cgroup.directory, path);
		cgroup.lock = open(cgroup.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		error = cgroup.lock < 0 ? -errno : run_cgroup_enter(&cgroup);
		close(cgroup.lock);
	}
	if (error)
		return complain("cannot enter cgroup %s of service %s: %s (%s)", path,
				exec->service->name, strerror(-error), mend_entering(error));
	return EXIT_OK;
}

/*
 * The maker of a socket is the user of the file system, and the binder the real one. With root as
 * the effective one, ports below 1024 are no obstacle.
 */
static int listen_as_service(struct exec *exec, struct message *message)
{
	const struct run_user *user = &exec->user;
	int error;

	if (user->change) {
		if (setresuid(user->uid, -1, -1))
			return -errno;
		setfsuid(user->uid);
	}
	error = exec_sockets_listen(&exec->sockets, exec->service, message);
	if (user->change)
		setfsuid(geteuid());
	return error;
}

/* Returns only if it fails. */
static int become(struct exec *exec)
{
	struct message message = { "" };
	int error = 0;

	if (exec->listen && listen_as_service(exec, &message))
		return complain("%s", message.text[0] ? message.text : "cannot change the user");
	names_close(&exec->names);
	instance_close(exec->instance);
	if (exec->listen)
		error = exec_sockets_hand_over(&exec->sockets);
	else if (exec->inherited)
		error = exec_sockets_pass_on();
	if (error)
		return complain("cannot hand the sockets over: %s", strerror(-error));
	error = run_user_become(&exec->user);
	if (error)
		return complain("cannot become user %u: %s (root is needed, with CAP_SETUID and "
				"CAP_SETGID)",
				exec->user.uid, strerror(-error));
	return run_command_exec(exec->command);
}

int command_exec(int argc, char **argv)
{
	static const struct argp argp = { options,       parse_option, "-- COMMAND [ARGUMENT...]",
					  documentation, NULL,         NULL,
					  NULL };
	static struct exec exec;
	int status;

	exec.inherited = exec_sockets_inherited();
	command_parse(&argp, argc, argv, &exec);
	if (exec.listen && exec.inherited)
		return complain("--listen: sockets were handed over already (leave --listen out)");
	if (require_root())
		return EXIT_FAILED;
	status = open_instance(&exec.common, &exec.instance);
	if (!status)
		status = find_service(&exec);
	if (!status)
		status = find_user(&exec);
	if (!status)
		status = enter_cgroup(&exec);
	return status ? status : become(&exec);
}
