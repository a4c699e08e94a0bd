/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arbitration in the plainest way there is: what docs/design.md and docs/policy.md say, of a
 * policy as its file has it. It knows nothing of slots, images and steps.
 */
#ifndef WAYBILL_TESTS_DECIDE_REFERENCE_H
#define WAYBILL_TESTS_DECIDE_REFERENCE_H

#include "decide_situation.h"

/* What is told of a decision: that of one service, that somebody is looked for, or how it ends. */
struct told {
	uint32_t verdict; /* the last one is DECISION_NOTHING if it goes straight on */
	uint32_t service, filter;
	/* DECISION_ASK: where; DECISION_REDIRECT: to where. A flow's address is left out. */
	struct waybill_address endpoint;
	uint32_t context, context_size;
};

/* That the destination is not a service's, who set no records, two of each service, the end. */
#define COURSE_MAX (2 * POLICY_SERVICES_MAX + 3)

/* The whole of a decision. What it does not say is all 0, so two of them compare as memory. */
struct course {
	struct told told[COURSE_MAX];
	size_t count;
	uint64_t passed_over; /* services, by their place in the policy */
	uint32_t presumed;    /* id of the service that set no records */
	uint32_t application; /* number of that of whoever connects */
};

void reference_decide(const struct policy *policy, const struct situation *situation,
		      struct course *course);

/* For people. */
void course_print(const char *who, const struct course *course);

#endif
