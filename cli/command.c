// SPDX-License-Identifier: BSD-2-Clause
/* Options, checks and complaints that the subcommands have in common. */
#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../platform/policy/value.h"
#include "command.h"

static const struct argp_option options[] = {
	{ "instance", 'i', "NAME", 0, "The instance that is meant (" INSTANCE_DEFAULT ")", 10 },
	{ "json", 'j', 0, 0, "Print JSON, for programs", 10 },
	{ 0 },
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct common *common = state->input;

	switch (key) {
	case 'i':
		if (!*argument)
			argp_error(state, "--instance: the name is empty");
		common->instance = argument;
		return 0;
	case 'j':
		common->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp common_argp = { .options = options, .parser = parse_option };

const struct argp_child common_options[] = { { &common_argp, 0, NULL, 0 }, { 0 } };

void common_begin(struct argp_state *state)
{
	state->child_inputs[0] = state->input;
}

uint64_t option_number(const char *option, const char *text, uint64_t from, uint64_t to,
		       struct argp_state *state)
{
	struct reason reason;
	uint64_t number;

	if (value_number(text, from, to, &number, &reason))
		argp_error(state, "--%s \"%s\" %s", option, text, reason.text);
	return number;
}

error_t common_only(int key, char *argument, struct argp_state *state)
{
	switch (key) {
	case ARGP_KEY_INIT:
		common_begin(state);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is not an option", argument);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void command_parse(const struct argp *argp, int argc, char **argv, void *input)
{
	struct common *common = input;

	common->instance = INSTANCE_DEFAULT;
	argp_err_exit_status = EXIT_USAGE;
	/* Options of `run` end where its command begins; the others do not mind. */
	if (argp_parse(argp, argc, argv, ARGP_IN_ORDER, NULL, input))
		exit(EXIT_USAGE);
}

int complain(const char *format, ...)
{
	va_list arguments;
	char text[2048];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	/* One call, so that lines of several processes do not mix. */
	fprintf(stderr, "waybill: %s\n", text);
	return EXIT_FAILED;
}

static uint64_t capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, data))
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

bool is_privileged(void)
{
	uint64_t have = capabilities();

	/* CAP_SYS_ADMIN stands for CAP_BPF; only it may mount bpffs and enter other cgroups. */
	return have >> CAP_SYS_ADMIN & have >> CAP_NET_ADMIN & 1;
}

int require_root(void)
{
	if (is_privileged())
		return 0;
	if (geteuid() == 0)
		return complain("root lacks CAP_SYS_ADMIN or CAP_NET_ADMIN here (give both to this "
				"container or service, or run it on the host)");
	return complain("needs root: run it with sudo");
}

static void suggest_instances(void)
{
	struct message message;
	char **names;
	size_t count;

	if (instance_list(&names, &count, &message))
		return;
	for (size_t i = 0; i < count; i++) {
		fprintf(stderr, "%s%s", i ? ", " : "waybill: up are: ", names[i]);
		free(names[i]);
	}
	if (count)
		fputc('\n', stderr);
	free(names);
}

int open_instance(const struct common *common, struct instance **instance)
{
	struct message message = { "" };
	int error = instance_open(common->instance, instance, &message);

	if (!error)
		return 0;
	complain("%s", message.text);
	if (error != -ENOENT)
		return EXIT_FAILED;
	suggest_instances();
	return EXIT_NOT_UP;
}
