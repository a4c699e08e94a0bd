/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was open before a policy was applied, and would not be as it is after: what an earlier policy
 * redirected, and what none did and this one would redirect or refuse.
 */
#ifndef WAYBILL_CLI_EXISTING_H
#define WAYBILL_CLI_EXISTING_H

#include <jansson.h>

#include "flow_reset.h"

struct existing_count {
	size_t redirected, unredirected;
};

/* Ends what is older than the policy in force. */
int existing_reset(struct instance *instance, struct existing_count *count,
		   struct message *message);
/*
 * What that would be if a policy that is only an image were in force. Prints those that nobody has
 * redirected to standard output, or into an array if there is one.
 */
int existing_list(struct instance *instance, const struct policy_image *image, json_t *array,
		  struct existing_count *count, struct message *message);

#endif
