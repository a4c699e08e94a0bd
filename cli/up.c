// SPDX-License-Identifier: BSD-2-Clause
/* `waybill up`: makes an instance and attaches it, or renews the programs of one that is up. */
#include <stdio.h>

#include "command.h"
#include "holders.h"
#include "json.h"

struct up {
	struct common common;
	const char *cgroup;
	uint32_t connections; /* 0: as usual */
};

static const struct argp_option options[] = {
	{ "cgroup", 'c', "PATH", 0,
	  "Attach to this cgroup and all below it, as /system.slice (all of them)", 1 },
	{ "connections", 'n', "NUMBER", 0,
	  "Room for so many redirected connections at once, of which a user may have half: 64 to "
	  "1048576 (262144). Each takes up to a KiB while it is open, and 48 bytes from the start",
	  1 },
	{ 0 },
};

static const char documentation[] =
	"Attach Waybill to this host, or to one cgroup with all below it. Nothing is redirected "
	"until a policy is applied, and nothing stays running: all of it is in the kernel.\v"
	"An instance that is up gets the programs of this version, without a gap.\n\n"
	"EXAMPLES:\n"
	"  waybill up\n"
	"  waybill up --cgroup /user.slice --instance users\n" EXIT_STATUS_HELP;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct up *up = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		common_begin(state);
		return 0;
	case 'c':
		up->cgroup = argument;
		return 0;
	case 'n':
		up->connections = option_number("connections", argument, CONNECTIONS_MIN,
						CONNECTIONS_MAX, state);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is not an option; a cgroup follows --cgroup", argument);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* What is bound already no hook can keep from being bound. It is no reason not to be up. */
static json_t *warn_of_holders(struct instance *instance)
{
	struct message message = { "" };
	struct holders holders;

	if (holders_find(instance, &holders, &message))
		complain("warning: cannot tell who has bound addresses that are for connections "
			 "and flows: %s",
			 message.text);
	for (size_t i = 0; i < holders.count && i < HOLDERS_SHOWN; i++)
		complain("warning: %s, an address that is for connections or flows which are "
			 "redirected (" HOLDERS_MEND ")",
			 holders.shown[i].text);
	if (holders.count > HOLDERS_SHOWN)
		complain("warning: so do %zu other sockets (--json lists all)",
			 holders.count - HOLDERS_SHOWN);
	return holders.array;
}

int command_up(int argc, char **argv)
{
	static const struct argp argp = { options,        parse_option, NULL, documentation,
					  common_options, NULL,         NULL };
	struct message message = { "" };
	struct instance *instance;
	const char *cgroup;
	json_t *holders;
	struct up up = { 0 };
	bool renewed;
	int status;

	command_parse(&argp, argc, argv, &up);
	if (require_root())
		return EXIT_FAILED;
	if (instance_up(up.common.instance, up.cgroup, up.connections, &renewed, &message))
		return complain("%s", message.text);
	status = open_instance(&up.common, &instance);
	if (status)
		return status;
	cgroup = instance_control(instance)->cgroup_path;
	holders = warn_of_holders(instance);
	if (up.common.json)
		json_print(json_pack("{s:s, s:o, s:b, s:O}", "instance", up.common.instance,
				     "cgroup", json_text(cgroup, -1), "renewed", renewed,
				     "address_holders", holders));
	else
		printf("instance %s is up on cgroup %s%s\n", up.common.instance, cgroup,
		       renewed ? " (its programs were renewed)" : "");
	json_decref(holders);
	instance_close(instance);
	return EXIT_OK;
}
