// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill down`: removes an instance, or all of them, whatever state they are in. It also ends
 * what a `waybill run` left whose guardian was killed too.
 */
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "json.h"
#include "run_cgroup.h"

struct down {
	struct common common;
	bool all;
};

struct removal {
	json_t *removed; /* names */
	int status;
};

static const struct argp_option options[] = {
	{ "all", 'a', 0, 0, "Remove every instance", 1 },
	{ 0 },
};

static const char documentation[] =
	"Detach an instance of Waybill and leave nothing of it behind. New connections go straight; "
	"those that are redirected already live on.\v"
	"Cgroups named waybill-run-PID that nobody watches any more, since `waybill run` and its "
	"guardian were both killed, are removed with every process in them.\n\n"
	"EXAMPLES:\n"
	"  waybill down\n"
	"  waybill down --instance users\n"
	"  waybill down --all\n" EXIT_STATUS_HELP;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct down *down = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		common_begin(state);
		/* NULL tells whether --instance is given. */
		down->common.instance = NULL;
		return 0;
	case 'a':
		down->all = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is not an option; a name follows --instance", argument);
		return 0;
	case ARGP_KEY_END:
		if (down->all && down->common.instance)
			argp_error(state, "give --all or --instance, not both");
		if (!down->common.instance)
			down->common.instance = INSTANCE_DEFAULT;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void down_one(struct removal *removal, const struct down *down, const char *name)
{
	struct message message = { "" };
	bool found;

	if (instance_down(name, &found, &message)) {
		removal->status = complain("%s", message.text);
		return;
	}
	if (!found)
		return;
	json_array_append_new(removal->removed, json_text(name, -1));
	if (!down->common.json)
		printf("instance %s is down\n", name);
}

static void down_all(struct removal *removal, const struct down *down)
{
	struct message message = { "" };
	char **names;
	size_t count;

	if (instance_list(&names, &count, &message)) {
		removal->status = complain("%s", message.text);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		down_one(removal, down, names[i]);
		free(names[i]);
	}
	free(names);
	addresses_remove();
}

int command_down(int argc, char **argv)
{
	static const struct argp argp = { options,        parse_option, NULL, documentation,
					  common_options, NULL,         NULL };
	struct removal removal = { .status = EXIT_OK };
	struct message message = { "" };
	struct down down = { 0 };
	size_t leftovers = 0;

	command_parse(&argp, argc, argv, &down);
	if (require_root())
		return EXIT_FAILED;
	removal.removed = json_array();
	if (down.all)
		down_all(&removal, &down);
	else
		down_one(&removal, &down, down.common.instance);
	if (run_cgroups_clean(&leftovers, &message))
		removal.status = complain("%s", message.text);
	if (removal.status == EXIT_OK && !down.all && !leftovers &&
	    !json_array_size(removal.removed)) {
		complain("instance %s is not up: nothing to remove", down.common.instance);
		removal.status = EXIT_NOT_UP;
	}
	if (down.common.json)
		json_print(json_pack("{s:O, s:I}", "removed", removal.removed, "run_cgroups",
				     (json_int_t)leftovers));
	else if (leftovers)
		printf("removed what %zu killed `waybill run` left\n", leftovers);
	json_decref(removal.removed);
	return removal.status;
}
