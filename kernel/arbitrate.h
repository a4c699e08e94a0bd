/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The decision as the kernel half takes it: step by step, by the policy in force, telling of each
 * step, and looking for the listeners that it asks for. What to do about it is the affair of the
 * hook.
 */
#ifndef WAYBILL_KERNEL_ARBITRATE_H
#define WAYBILL_KERNEL_ARBITRATE_H

#include "../decision/step.h"
#include "ask.h"

/*
 * Begins a decision. Returns whether a filter can match the destination: the cheap question, and
 * for most connections the only one.
 */
GLOBAL int decide_destination(const struct subject *to, struct decision *decision)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;

	if (!to || !decision || !image)
		return 0;
	/* What cannot be goes on to be refused. */
	if (!header)
		return 1;
	decide_start(header, decision);
	return match_destination(image, header, to, &decision->match);
}

/* The parts of a step, by the policy in force, if it is the decision's. */
GLOBAL int step_conditions(const struct question *question, struct decision *decision)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;

	if (!question || !decision || !header || header->generation != decision->generation)
		return DECIDE_CHANGED;
	return match_rest(image, header, question, &decision->match, &decision->application);
}

GLOBAL int step_filter(const struct decision *decision)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;

	if (!decision || !header || header->generation != decision->generation)
		return DECIDE_CHANGED;
	return match_next(image, header, &decision->match, decision->next);
}

GLOBAL int step_follow(const struct question *question, struct decision *decision, __u32 found)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;

	if (!question || !decision || !header || header->generation != decision->generation)
		return DECIDE_CHANGED;
	decide_turn(image, header, question, found, decision);
	return 0;
}

static inline int decide_conditions(const void *image, const struct question *question,
				    struct decision *decision)
{
	return step_conditions(question, decision);
}

static inline int decide_filter(const void *image, const struct decision *decision)
{
	return step_filter(decision);
}

static inline int decide_follow(const void *image, const struct question *question,
				struct decision *decision, __u32 found)
{
	return step_follow(question, decision, found);
}

/* Looks for the listener that the decision asks about. */
GLOBAL int decide_ask(struct bpf_sock_addr *ctx, const struct question *question,
		      struct decision *decision)
{
	const void *image = policy_in_force();
	const struct policy_header *header = image ? policy_line(image, 0) : 0;
	const struct policy_service *service;
	struct waybill_address endpoint;

	if (!question || !decision || !header || header->generation != decision->generation)
		return 0;
	service = policy_service(image, header, decision->slot);
	if (!service || !decide_endpoint(service, question, decision, &endpoint))
		return 0;
	decision->listens = listener_find(ctx, image, header, &endpoint, &decision->listener_scope,
					  &decision->listener_uid);
	return 1;
}

/* Refuses, counted. Not with EPERM: kernel clients such as NFS retry that without end. */
static __always_inline int refuse(int error, __u32 verdict, const struct question *question,
				  const struct decision *decision)
{
	report(verdict, 0, decision->service, decision->filter, &question->to);
	bpf_set_retval(-error);
	return REFUSE;
}

/*
 * Decides. ask_addresses() and ask_socket() have filled in what they know, and decide_destination()
 * said yes. Returns ALLOW or REFUSE, then all is done; or ARBITRATE_REDIRECT.
 */
#define ARBITRATE_REDIRECT 2
/*
 * A turn for each service, and four before and after them; three times that, since the policy may
 * be swapped meanwhile. If it is swapped without end the connection is refused.
 */
#define ARBITRATE_TURNS (3 * (POLICY_SERVICES_MAX + 4))

GLOBAL int arbitrate(struct bpf_sock_addr *ctx, struct question *question,
		     struct decision *decision, const struct history *history)
{
	int asked = 0, again = 0, changed;
	__u32 i;

	if (!question || !decision)
		return REFUSE;
	LOOP
	for (i = 0; i < ARBITRATE_TURNS; i++) {
		if (!asked) {
			if (again && !decide_destination(&question->to, decision))
				decide_end(decision, DECISION_NO_FILTER);
			else
				asked = ask_policy(question, decision, history);
			again = 1;
		} else {
			changed = decide_step(0, question, decision);
			if (!changed && decision->verdict == DECISION_ASK) {
				decide_ask(ctx, question, decision);
				changed = step_follow(question, decision, POLICY_FILTERS_MAX);
			}
			if (changed) {
				asked = 0;
				continue;
			}
		}
		if (decision->verdict && decision->verdict != DECISION_REDIRECT)
			report(decision->verdict, 0, decision->service, decision->filter,
			       &question->to);
		if (decision->step == DECIDE_END)
			break;
	}
	if (decision->step != DECIDE_END)
		return refuse(ECONNREFUSED, DECISION_BROKEN, question, decision);
	switch (decision->verdict) {
	case DECISION_REDIRECT:
		return ARBITRATE_REDIRECT;
	case DECISION_BLOCK:
	case DECISION_DOWN_BLOCK:
	case DECISION_BROKEN:
		bpf_set_retval(-ECONNREFUSED);
		return REFUSE;
	case DECISION_HOP_LIMIT:
		bpf_set_retval(-ELOOP);
		return REFUSE;
	}
	return ALLOW;
}

#endif
