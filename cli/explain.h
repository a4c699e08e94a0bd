/* SPDX-License-Identifier: BSD-2-Clause */
/* What `waybill explain` found out, for its two faces. */
#ifndef WAYBILL_CLI_EXPLAIN_H
#define WAYBILL_CLI_EXPLAIN_H

#include <limits.h>

#include "../platform/explain.h"
#include "command.h"
#include "processes.h"

struct explained {
	const char *instance;
	bool up;                    /* the instance is */
	const char *file;           /* the policy that was asked, if it is not the one in force */
	struct process process;     /* the originator; pid 0 if it is none in particular */
	char application[PATH_MAX]; /* what it executes, as far as the policy asks for it; or "" */
	struct explanation explanation;
	struct explain_query query;
	struct explain_step *step;
	size_t steps;
};

/* What becomes of the connection, and the code that the command ends with. */
enum outcome {
	OUTCOME_REDIRECT = EXIT_OK, /* a service sees it, and it arrives */
	OUTCOME_STRAIGHT = 4,       /* no service sees it */
	OUTCOME_REFUSED = 5,        /* here or in a service's onward connect */
};
enum outcome explained_outcome(const struct explained *explained);

void explained_print(const struct explained *explained);
void explained_print_json(const struct explained *explained);

#endif
