// SPDX-License-Identifier: BSD-2-Clause
/* Options that select flows, read as the policy file reads its values, and what they fit. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../platform/policy_value.h"
#include "flow_select.h"

enum { OPTION_FLOW = 256, OPTION_BEFORE_POLICY };

static const struct argp_option options[] = {
	{ 0, 0, 0, 0, "Which connections:", 1 },
	{ "service", 's', "NAME", 0, "Those that this service has accepted", 1 },
	{ "user", 'u', "USER", 0, "Those that this user began", 1 },
	{ "pid", 'p', "PID", 0, "Those that this process began", 1 },
	{ "destination", 'd', "PREFIX[:PORT]", 0,
	  "Those that were to go there: 192.0.2.0/24, 192.0.2.1:443, [2001:db8::/32]:80-89, :443",
	  1 },
	{ "flow", OPTION_FLOW, "ID", 0, "That one, by its id as --json shows it", 1 },
	{ "before-policy", OPTION_BEFORE_POLICY, 0, 0, "Those that an earlier policy redirected",
	  1 },
	{ "all", 'a', 0, 0, "All", 1 },
	{ 0 },
};

/* PREFIX, PREFIX:PORTS or :PORTS; an IPv6 prefix with ports is in brackets. */
static void parse_destination(struct selection *selection, const char *text,
			      struct argp_state *state)
{
	const char *colon = strrchr(text, ':'), *end = text + strlen(text);
	struct reason reason = { "" };
	char prefix[64];
	size_t length;

	/* More than one colon, and no brackets: IPv6 without ports. */
	if (colon && text[0] != '[' && strchr(text, ':') != colon)
		colon = NULL;
	if (colon && text[0] == '[' && colon[-1] != ']')
		colon = NULL;
	if (colon && value_ports(colon + 1, &selection->ports, &reason))
		argp_error(state, "--destination \"%s\": port %s", text, reason.text);
	selection->has_ports = colon;
	end = colon ? colon : end;
	if (text[0] == '[' && end[-1] == ']') {
		text++;
		end--;
	}
	length = end - text;
	if (!length)
		return;
	snprintf(prefix, sizeof(prefix), "%.*s", (int)length, text);
	if (length >= sizeof(prefix) || value_prefix(prefix, &selection->prefix, &reason))
		argp_error(state, "--destination \"%s\" %s", text,
			   reason.text[0] ? reason.text : "is too long");
	selection->has_prefix = true;
}

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
		selection->destination = argument;
		parse_destination(selection, argument, state);
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
	return selection->service || selection->destination || selection->all ||
	       selection->before_policy || selection->has_user || selection->has_pid ||
	       selection->has_flow;
}

static bool in_prefix(const struct prefix *prefix, const struct waybill_address *address)
{
	unsigned int length = prefix->length + (prefix->v4 ? 96 : 0);

	if (prefix->v4 != (address->family == AF_INET))
		return false;
	for (unsigned int bit = 0; bit < length; bit++)
		if ((prefix->address[bit / 8] ^ address->address[bit / 8]) & 0x80 >> bit % 8)
			return false;
	return true;
}

bool flow_is_older(const struct names *names, const struct flow *flow)
{
	return names->header && flow->entry->accepted.hop.time < names->header->applied;
}

bool selection_fits(const struct selection *selection, const struct names *names,
		    const struct flow *flow)
{
	const struct records_hop *first = flow->hop[0], *last = &flow->entry->accepted.hop;
	uint16_t port = ntohs(first->destination.port);

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
	if (selection->has_ports && (port < selection->ports.from || port > selection->ports.to))
		return false;
	return !selection->has_prefix || in_prefix(&selection->prefix, &first->destination);
}
