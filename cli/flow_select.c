// SPDX-License-Identifier: BSD-2-Clause
/* Options that select flows, read as the policy file reads its values, and what they fit. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../platform/policy/value.h"
#include "flow_select.h"

enum { OPTION_FLOW = 256, OPTION_BEFORE_POLICY };

static const struct argp_option options[] = {
	{ 0, 0, 0, 0, "Which connections:", 1 },
	{ "service", 's', "NAME", 0, "Those that this service has accepted", 1 },
	{ "user", 'u', "USER", 0, "Those that this user began", 1 },
	{ "pid", 'p', "PID", 0, "Those that this process began", 1 },
	{ "destination", 'd', "PREFIX[:PORT]", 0,
	  "Those that were to go there: " DESTINATION_EXAMPLES, 1 },
	{ "flow", OPTION_FLOW, "ID", 0, "That one, by its id as --json shows it", 1 },
	{ "before-policy", OPTION_BEFORE_POLICY, 0, 0, "Those that an earlier policy redirected",
	  1 },
	{ "all", 'a', 0, 0, "All", 1 },
	{ 0 },
};

static uint64_t parse_number(const char *name, const char *text, int base, uint64_t most,
			     struct argp_state *state)
{
	const char *digits = base == 16 ? "0123456789abcdefABCDEF" : "0123456789";
	unsigned long long value;

	errno = 0;
	value = strtoull(text, NULL, base);
	if (!*text || text[strspn(text, digits)] || errno || value > most)
		argp_error(state, "--%s: \"%s\" is not a %s", name, text,
			   base == 16 ? "flow id of 16 hexadecimal digits" : "number of a process");
	return value;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct selection *selection = state->input;
	struct reason reason;

	switch (key) {
	case 's':
		selection->service = argument;
		return 0;
	case 'u':
		if (value_user(argument, &selection->user, &reason))
			argp_error(state, "--user \"%s\" %s", argument, reason.text);
		selection->has_user = true;
		return 0;
	case 'p':
		selection->pid = parse_number("pid", argument, 10, INT32_MAX, state);
		selection->has_pid = true;
		return 0;
	case 'd':
		destination_parse(&selection->destination, argument, state);
		return 0;
	case OPTION_FLOW:
		selection->flow = parse_number("flow", argument, 16, UINT64_MAX, state);
		selection->has_flow = true;
		return 0;
	case OPTION_BEFORE_POLICY:
		selection->before_policy = true;
		return 0;
	case 'a':
		selection->all = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp selection_argp = { .options = options, .parser = parse_option };

bool selection_given(const struct selection *selection)
{
	return selection->service || selection->destination.text || selection->all ||
	       selection->before_policy || selection->has_user || selection->has_pid ||
	       selection->has_flow;
}

bool flow_is_older(const struct names *names, const struct flow *flow)
{
	return names->header && flow->entry->hop.time < names->header->applied;
}

bool selection_fits(const struct selection *selection, const struct names *names,
		    const struct flow *flow)
{
	const struct records_hop *first = flow->hop[0], *last = &flow->entry->hop;

	/* By its id: a service that has left the policy still has flows. */
	if (selection->service && policy_service_id(selection->service) != last->service)
		return false;
	if (selection->has_user && first->client.uid != selection->user)
		return false;
	if (selection->has_pid && first->client.pid != selection->pid)
		return false;
	if (selection->has_flow && last->flow != selection->flow)
		return false;
	if (selection->before_policy && !flow_is_older(names, flow))
		return false;
	return destination_fits(&selection->destination, &first->destination);
}
