// SPDX-License-Identifier: BSD-2-Clause
/* Destinations that people name, read as the policy file reads its values. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "../platform/policy/value.h"
#include "destination.h"

/* PREFIX, PREFIX:PORTS or :PORTS; an IPv6 prefix with ports is in brackets. */
void destination_parse(struct destination *destination, const char *text, struct argp_state *state)
{
	const char *colon = strrchr(text, ':'), *end = text + strlen(text), *begin = text;
	struct reason reason = { "" };
	char prefix[64];
	size_t length;

	destination->text = text;
	/* More than one colon, and no brackets: IPv6 without ports. */
	if (colon && text[0] != '[' && strchr(text, ':') != colon)
		colon = NULL;
	if (colon && text[0] == '[' && colon[-1] != ']')
		colon = NULL;
	if (colon && value_ports(colon + 1, &destination->ports, &reason))
		argp_error(state, "--destination \"%s\": port %s", text, reason.text);
	destination->has_ports = colon;
	end = colon ? colon : end;
	if (begin[0] == '[' && end[-1] == ']') {
		begin++;
		end--;
	}
	length = end - begin;
	if (!length)
		return;
	snprintf(prefix, sizeof(prefix), "%.*s", (int)length, begin);
	if (length >= sizeof(prefix) || value_prefix(prefix, &destination->prefix, &reason))
		argp_error(state, "--destination \"%s\" %s", text,
			   reason.text[0] ? reason.text : "is too long");
	destination->has_prefix = true;
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

bool destination_fits(const struct destination *destination, const struct waybill_address *address)
{
	uint16_t port = ntohs(address->port);

	if (destination->has_ports &&
	    (port < destination->ports.from || port > destination->ports.to))
		return false;
	return !destination->has_prefix || in_prefix(&destination->prefix, address);
}
