// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill explain`: what would become of a connection, and why. Nothing is connected: the policy
 * is asked, and the kernel who listens.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../platform/policy/value.h"
#include "explain.h"
#include "output.h"

struct options {
	struct common common;
	const char *file, *command, *cgroup, *interface, *application;
	unsigned int pid;
	bool has_user, has_group;
	uid_t user, group;
	bool udp;
	bool v6; /* the socket is of IPv6, also where the destination is not */
	const char *destination;
	struct waybill_address remote, local;
};

enum { OPTION_COMMAND = 256, OPTION_APPLICATION, OPTION_PROTOCOL, OPTION_LOCAL, OPTION_INTERFACE };

static const struct argp_option options[] = {
	{ 0, 0, 0, 0, "Who connects; without any of these the caller does:", 1 },
	{ "pid", 'p', "PID", 0, "That process, with its user, group, cgroup and network namespace",
	  1 },
	{ "command", OPTION_COMMAND, "NAME", 0, "The process of that name, if there is one alone",
	  1 },
	{ "user", 'u', "USER", 0, "As that user, and his group", 1 },
	{ "group", 'g', "GROUP", 0, "As that group", 1 },
	{ "cgroup", 'c', "PATH", 0, "In that cgroup", 1 },
	{ "application", OPTION_APPLICATION, "PATH", 0, "Executing that file", 1 },
	{ 0, 0, 0, 0, "How:", 2 },
	{ "protocol", OPTION_PROTOCOL, "tcp|udp", 0, "The default is tcp", 2 },
	{ "local", OPTION_LOCAL, "ADDRESS", 0, "From a socket bound to that address", 2 },
	{ "interface", OPTION_INTERFACE, "NAME", 0, "From a socket bound to that device", 2 },
	{ 0, 0, 0, 0, "By which policy:", 3 },
	{ "file", 'f', "POLICY", 0, "By that file, and not by the policy in force", 3 },
	{ 0 },
};

static const char documentation[] =
	"Say what would become of a connection, and why: each service in order, its state, the "
	"filter that decides, the first condition that fails of each that does not; then what "
	"becomes of the connection that the service makes, and so on to the end.\v"
	"Nothing is connected. DESTINATION is an address; IPv6 is in brackets.\n\n"
	"EXAMPLES:\n"
	"  waybill explain 192.0.2.1:443\n"
	"  waybill explain --command curl 192.0.2.1:443\n"
	"  waybill explain --user alice --cgroup /user.slice [2001:db8::1]:25\n"
	"  waybill explain --file new.yaml --protocol udp --user dns 192.0.2.53:53\n"
	"  waybill explain --json 192.0.2.1:443 | jq -r '.through[]'\n"
	"\nEXIT STATUS:\n"
	"  0  a service would see the connection, and it would arrive\n"
	"  1  failed: standard error says what, why and how to mend it\n"
	"  2  wrong usage\n"
	"  3  the instance is not up, or no policy is in force\n"
	"  4  it would go straight to its destination: no service sees it\n"
	"  5  it would be refused\n";

/* An address, IPv4 as ::ffff:a.b.c.d. Returns whether it is one. */
static bool parse_address(const char *text, struct waybill_address *address)
{
	*address = (struct waybill_address){ .family = AF_INET };
	if (inet_pton(AF_INET, text, address->address + 12) == 1) {
		address->address[10] = address->address[11] = 0xff;
		return true;
	}
	address->family = AF_INET6;
	if (inet_pton(AF_INET6, text, address->address) != 1)
		return false;
	if (IN6_IS_ADDR_V4MAPPED((struct in6_addr *)address->address))
		address->family = AF_INET;
	return true;
}

static void parse_destination(struct options *given, const char *text, struct argp_state *state)
{
	const char *colon = strrchr(text, ':');
	struct reason reason;
	struct range port;
	char host[64];

	if (!colon || (*text == '[') != (colon > text && colon[-1] == ']'))
		argp_error(state, "\"%s\" is not ADDRESS:PORT, with IPv6 in brackets", text);
	if (value_ports(colon + 1, &port, &reason))
		argp_error(state, "\"%s\": port %s", text, reason.text);
	if (port.from != port.to)
		argp_error(state, "\"%s\": one port, not a range", text);
	given->v6 = *text == '[';
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text) - 2 * given->v6, text + given->v6);
	if (!parse_address(host, &given->remote) || (strchr(host, ':') != NULL) != given->v6)
		argp_error(state,
			   "\"%s\" is not an address (names of hosts are not looked up; IPv6 is "
			   "in brackets)",
			   host);
	given->remote.port = htons(port.from);
	given->destination = text;
}

static void parse_group(struct options *given, const char *text, struct argp_state *state)
{
	struct reason reason;
	struct range range;

	if (value_groups(text, &range, &reason))
		argp_error(state, "--group \"%s\" %s", text, reason.text);
	if (range.from != range.to)
		argp_error(state, "--group \"%s\": one group, not a range", text);
	given->group = range.from;
	given->has_group = true;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct options *given = state->input;
	struct reason reason;
	uint64_t number;

	switch (key) {
	case ARGP_KEY_INIT:
		common_begin(state);
		return 0;
	case 'p':
		if (value_number(argument, 1, INT32_MAX, &number, &reason))
			argp_error(state, "--pid \"%s\" %s", argument, reason.text);
		given->pid = number;
		return 0;
	case OPTION_COMMAND:
		given->command = argument;
		return 0;
	case 'u':
		if (value_user(argument, &given->user, &reason))
			argp_error(state, "--user \"%s\" %s", argument, reason.text);
		given->has_user = true;
		return 0;
	case 'g':
		parse_group(given, argument, state);
		return 0;
	case 'c':
		if (value_check_cgroup(argument, &reason))
			argp_error(state, "--cgroup \"%s\" %s", argument, reason.text);
		given->cgroup = argument;
		return 0;
	case OPTION_APPLICATION:
		given->application = argument;
		return 0;
	case OPTION_PROTOCOL:
		given->udp = !strcmp(argument, "udp");
		if (!given->udp && strcmp(argument, "tcp"))
			argp_error(state, "--protocol \"%s\" is neither tcp nor udp", argument);
		return 0;
	case OPTION_LOCAL:
		if (!parse_address(argument, &given->local))
			argp_error(state, "--local \"%s\" is not an address", argument);
		return 0;
	case OPTION_INTERFACE:
		given->interface = argument;
		return 0;
	case 'f':
		given->file = argument;
		return 0;
	case ARGP_KEY_ARG:
		if (given->destination)
			argp_error(state, "one destination at a time");
		parse_destination(given, argument, state);
		return 0;
	case ARGP_KEY_END:
		if (!given->destination)
			argp_error(state, "name a destination, as 192.0.2.1:443");
		if (given->pid && given->command)
			argp_error(state, "--pid or --command, not both");
		if (given->local.family && !given->v6 && given->local.family != AF_INET)
			argp_error(state, "--local is of IPv6, and the destination is not");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

struct search {
	const char *command;
	unsigned int found[8];
	size_t count;
};

static bool is_called(unsigned int pid, void *data)
{
	struct search *search = data;
	char comm[64];

	/* The kernel keeps 15 bytes of a name. */
	if (process_comm(pid, comm, sizeof(comm)) || strncmp(comm, search->command, 15))
		return false;
	if (search->count < sizeof(search->found) / sizeof(*search->found))
		search->found[search->count] = pid;
	search->count++;
	return false;
}

/* 0 or an exit code, after a complaint. */
static int find_command(const char *command, unsigned int *pid)
{
	struct search search = { .command = command };
	char list[128] = "";

	process_find(is_called, &search);
	if (!search.count)
		return complain("no process is called \"%s\"", command);
	if (search.count == 1) {
		*pid = search.found[0];
		return 0;
	}
	for (size_t i = 0; i < search.count && i < sizeof(search.found) / sizeof(*search.found);
	     i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%u", i ? ", " : "",
			 search.found[i]);
	return complain("%zu processes are called \"%s\": choose one with --pid (%s%s)",
			search.count, command, list,
			search.count > sizeof(search.found) / sizeof(*search.found) ? ", .." : "");
}

static int find_originator(const struct options *given, struct process *process)
{
	unsigned int pid = given->pid ? given->pid : (unsigned int)getpid();
	const struct passwd *user;
	int status = given->command ? find_command(given->command, &pid) : 0;

	if (status)
		return status;
	if (process_read(pid, process))
		return complain("there is no process %u", pid);
	if (given->has_user) {
		user = getpwuid(given->user);
		process->uid = given->user;
		process->gid = user ? user->pw_gid : given->user;
	}
	if (given->has_group)
		process->gid = given->group;
	if (given->cgroup)
		snprintf(process->cgroup, sizeof(process->cgroup), "%s", given->cgroup);
	if (!given->pid && !given->command &&
	    (given->has_user || given->cgroup || given->application))
		process->pid = 0;
	return 0;
}

/* Services are looked for where the process is. */
static int enter_namespace(unsigned int pid)
{
	struct stat own, other;
	char path[64];
	int descriptor, error = 0;

	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	if (!pid || stat("/proc/self/ns/net", &own))
		return 0;
	descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0 || fstat(descriptor, &other))
		error = errno;
	else if (own.st_ino != other.st_ino && setns(descriptor, CLONE_NEWNET))
		error = errno;
	if (descriptor >= 0)
		close(descriptor);
	return error ? complain("the network namespace of process %u: %s", pid, strerror(error)) :
		       0;
}

static int compile(const char *file, struct policy_image *image, struct message *message)
{
	struct policy *policy;
	int error = policy_load(file, &policy, message);

	if (error)
		return error;
	error = policy_compile_here(policy, image, message);
	policy_free(policy);
	return error;
}

/* The image that is asked, and the instance if it is up. 0 or an exit code, after a complaint. */
static int open_policy(const struct options *given, struct instance **instance,
		       struct policy_image *image)
{
	struct message message = { "" };
	int error;

	*instance = NULL;
	if (given->file) {
		if (is_privileged() && instance_open(given->common.instance, instance, &message))
			*instance = NULL;
		return compile(given->file, image, &message) ? complain("%s", message.text) : 0;
	}
	if (require_root())
		return EXIT_FAILED;
	error = open_instance(&given->common, instance);
	if (error)
		return error;
	error = instance_policy(*instance, image, &message);
	if (error == -ENOENT) {
		complain("no policy is in force on instance %s (waybill apply FILE, or --file)",
			 given->common.instance);
		return EXIT_NOT_UP;
	}
	return error ? complain("%s", message.text) : 0;
}

/*
 * What the originator executes; only root can ask, and only a policy that names some wants to know.
 */
static int find_application(const struct options *given, struct explained *explained)
{
	const struct explanation *explanation = &explained->explanation;
	const struct policy_more *more = policy_line(explanation->image, explanation->header->more);
	struct explain_query *query = &explained->query;
	unsigned int pid = explained->process.pid;
	char path[64];
	int error;

	if (!explanation->header->more || !more->executables.first)
		return 0;
	if (given->application) {
		error = executable_find(given->application, &query->executable,
					explained->application);
		if (error)
			return complain("--application \"%s\": %s", given->application,
					strerror(-error));
	} else if (pid) {
		snprintf(path, sizeof(path), "/proc/%u/exe", pid);
		if (executable_of_process(pid, &query->executable) ||
		    readlink(path, explained->application, sizeof(explained->application) - 1) < 0)
			return complain("the executable of process %u: cannot be read", pid);
	}
	if (explained->application[0])
		query->application = explained->application;
	return 0;
}

static int explain(const struct options *given, struct explained *explained)
{
	struct explain_query *query = &explained->query;
	int status = find_originator(given, &explained->process);
	struct range interface = { 0 };
	struct reason reason;

	if (!status)
		status = enter_namespace(explained->process.pid);
	if (!status && netns_cookie(&explained->explanation.netns))
		status = complain("the network namespace: %s", strerror(errno));
	if (status)
		return status;
	if (given->interface && value_interface(given->interface, &interface, &reason))
		return complain("--interface \"%s\" %s", given->interface, reason.text);
	*query = (struct explain_query){
		.remote = given->remote,
		.local = given->local,
		.udp = given->udp,
		.uid = explained->process.uid,
		.gid = explained->process.gid,
		.cgroup = explained->process.cgroup,
		.interface = interface.from,
	};
	if (!given->local.family)
		parse_address(given->v6 ? "::" : "0.0.0.0", &query->local);
	status = find_application(given, explained);
	if (status)
		return status;
	if (explain_follow(&explained->explanation, query, &explained->step, &explained->steps))
		return complain("out of memory");
	return 0;
}

enum outcome explained_outcome(const struct explained *explained)
{
	switch (explained->step[explained->steps - 1].decision) {
	case DECISION_BLOCK:
	case DECISION_DOWN_BLOCK:
	case DECISION_HOP_LIMIT:
	case DECISION_UNHEARD:
	case DECISION_FLOW_FOREIGN:
		return OUTCOME_REFUSED;
	default:
		return explained->steps > 1 ? OUTCOME_REDIRECT : OUTCOME_STRAIGHT;
	}
}

int command_explain(int argc, char **argv)
{
	static const struct argp argp = { options,       parse_option,   "DESTINATION:PORT",
					  documentation, common_options, NULL,
					  NULL };
	struct explained explained = { 0 };
	struct message message = { "" };
	struct options given = { 0 };
	struct policy_image image = { 0 };
	struct instance *instance;
	int status;

	command_parse(&argp, argc, argv, &given);
	status = open_policy(&given, &instance, &image);
	explained.instance = given.common.instance;
	explained.up = instance;
	explained.file = given.file;
	if (!status && explain_begin(&explained.explanation, &image,
				     instance ? instance_control(instance) : NULL, &message))
		status = complain("%s", message.text);
	if (!status)
		status = explain(&given, &explained);
	if (!status && given.common.json)
		explained_print_json(&explained);
	else if (!status)
		explained_print(&explained);
	if (!status)
		status = explained_outcome(&explained);
	free(explained.step);
	free(image.line);
	instance_close(instance);
	return status;
}
