/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One step of a decision, of three parts. Whoever includes this says how he takes them: user space
 * calls what decide.h has for each; the eBPF programs do so in functions of their own, since their
 * stack is short, and each of these finds the policy in force by itself.
 */
#ifndef WAYBILL_DECISION_STEP_H
#define WAYBILL_DECISION_STEP_H

#include "decide.h"

/* What a part returns if another policy came between: the decision has to begin anew. */
#define DECIDE_CHANGED (-1)

/* match_rest(), once for a decision: 1 if some filter can match, else 0. */
static inline int decide_conditions(const void *image, const struct question *question,
				    struct decision *decision);
/* match_next(), from the filter that the decision has come to. */
static inline int decide_filter(const void *image, const struct decision *decision);
/* decide_turn(). Returns 0. */
static inline int decide_follow(const void *image, const struct question *question,
				struct decision *decision, __u32 found);

/*
 * After the last step, which has set step to DECIDE_END, the verdict is REDIRECT, to the endpoint;
 * BLOCK, DOWN_BLOCK, HOP_LIMIT or BROKEN, refused; or anything else: straight on.
 */
POLICY_INLINE int decide_step(const void *image, const struct question *question,
			      struct decision *decision)
{
	int found = POLICY_FILTERS_MAX, matches = 1;

	if (decision->step == DECIDE_BEGIN) {
		matches = decide_conditions(image, question, decision);
		if (matches == DECIDE_CHANGED)
			return DECIDE_CHANGED;
	}
	if (matches && decide_wants_filter(decision)) {
		found = decide_filter(image, decision);
		if (found == DECIDE_CHANGED)
			return DECIDE_CHANGED;
	}
	return decide_follow(image, question, decision, found);
}

#endif
