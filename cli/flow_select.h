/* SPDX-License-Identifier: BSD-2-Clause */
/* Which flows are meant: the options of `waybill flows` that select, all of which have to fit. */
#ifndef WAYBILL_CLI_FLOW_SELECT_H
#define WAYBILL_CLI_FLOW_SELECT_H

#include <argp.h>

#include "destination.h"
#include "names.h"

struct selection {
	const char *service;            /* NULL: any */
	struct destination destination; /* of the originator */
	bool all, before_policy, has_user, has_pid, has_flow;
	uid_t user; /* of the originator, like the process */
	uint32_t pid;
	uint64_t flow;
};

extern const struct argp selection_argp; /* its input is a selection, all zero */

/* Whether any option was given, be it --all. */
bool selection_given(const struct selection *selection);
bool selection_fits(const struct selection *selection, const struct names *names,
		    const struct flow *flow);
/* Whether it was redirected by a policy that is no longer in force: it stays as it was. */
bool flow_is_older(const struct names *names, const struct flow *flow);

#endif
