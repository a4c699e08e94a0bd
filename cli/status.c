// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill status`: what is in force in the kernel, as read back from there, and whether the
 * services that it names listen.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "../platform/explain.h"
#include "command.h"
#include "json.h"
#include "status.h"

struct options {
	struct common common;
	bool verbose;
};

static const struct argp_option options[] = {
	{ "verbose", 'v', 0, 0, "Show counters that are zero too, and what they mean", 1 },
	{ 0 },
};

static const char documentation[] =
	"Show the policy in force, its services in the order in which they see connections, "
	"whether they listen, and the counters.\v"
	"Ends with 3 if the instance is not up.\n\n"
	"EXAMPLES:\n"
	"  waybill status\n"
	"  waybill status -v\n"
	"  waybill status --json | jq '.services[] | {name, listening}'\n" EXIT_STATUS_HELP;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct options *given = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		common_begin(state);
		return 0;
	case 'v':
		given->verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is not an option", argument);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Listeners can be looked for only in our own network namespace. */
static bool is_elsewhere(const struct control *control)
{
	uint64_t own;

	return !netns_cookie(&own) && own != control->netns;
}

static void gather_services(struct status *status, struct instance *instance)
{
	const struct policy_header *header = status->names.header;
	struct service_status *service;
	struct explanation explanation;
	struct listener who;
	bool known = header && !explain_begin(&explanation, &status->names.image,
					      instance_control(instance), NULL);

	while (header && status->services < header->services &&
	       status->services < POLICY_SERVICES_MAX) {
		service = &status->service[status->services];
		service->service = policy_service(&status->names.image, header, status->services);
		if (!service->service)
			return;
		service->alive4 = known && explain_listener(&explanation, status->services, AF_INET,
							    false, &who) == LISTENER_ALIVE;
		service->alive6 =
			known && explain_listener(&explanation, status->services, AF_INET6, false,
						  &who) == LISTENER_ALIVE;
		/* Without counters they stay 0. */
		instance_service_counters(instance, service->service->id, &service->counters);
		status->services++;
	}
}

int status_gather(struct status *status, struct instance *instance, struct message *message)
{
	struct key_ring ring;
	int error = instance_keys(instance, &ring, message);

	status->key = ring.current;
	/* The keys themselves are nothing to keep in our memory. */
	explicit_bzero(&ring, sizeof(ring));
	if (!error)
		error = instance_counters(instance, status->counters, message);
	if (error)
		return error;
	status->cgroup = instance_control(instance)->cgroup_path;
	status->elsewhere = is_elsewhere(instance_control(instance));
	names_open(&status->names, instance);
	if (status->names.header)
		status->source =
			policy_line(&status->names.image, status->names.header->source_line);
	gather_services(status, instance);
	return 0;
}

int command_status(int argc, char **argv)
{
	static const struct argp argp = { options,        parse_option, NULL, documentation,
					  common_options, NULL,         NULL };
	struct message message = { "" };
	struct status status = { 0 };
	struct instance *instance;
	struct options given = { 0 };
	int result;

	command_parse(&argp, argc, argv, &given);
	if (require_root())
		return EXIT_FAILED;
	result = open_instance(&given.common, &instance);
	if (result == EXIT_NOT_UP && given.common.json)
		json_print(json_pack("{s:s, s:b}", "instance", given.common.instance, "up", 0));
	if (result)
		return result;
	status.instance = given.common.instance;
	status.verbose = given.verbose;
	if (status_gather(&status, instance, &message))
		result = complain("%s", message.text);
	else if (given.common.json)
		status_print_json(&status);
	else
		status_print(&status);
	if (!result && instance_cgroup_check(instance, &message))
		result = complain("%s", message.text);
	names_close(&status.names);
	instance_close(instance);
	return result;
}
