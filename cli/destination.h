/* SPDX-License-Identifier: BSD-2-Clause */
/* The option --destination PREFIX[:PORT] of several subcommands, and which addresses it fits. */
#ifndef WAYBILL_CLI_DESTINATION_H
#define WAYBILL_CLI_DESTINATION_H

#include <argp.h>

#include "../platform/policy/policy.h"

struct destination {
	const char *text; /* as it was given; NULL: any */
	bool has_prefix, has_ports;
	struct prefix prefix;
	struct range ports;
};

#define DESTINATION_EXAMPLES "192.0.2.0/24, 192.0.2.1:443, [2001:db8::/32]:80-89, :443"

/* Does not return if it is wrong. */
void destination_parse(struct destination *destination, const char *text, struct argp_state *state);
bool destination_fits(const struct destination *destination, const struct waybill_address *address);

#endif
