// SPDX-License-Identifier: BSD-2-Clause
/*
 * Foretells what the kernel half decides on a connection: the same decision (decision/decide.h)
 * over the same image, with sock_diag's word on who listens where the hooks look a socket up. What
 * it came by on the way is kept, for people.
 */
#include "explain.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "instance.h"

/* The nearest cgroup, itself or above, that the policy names, by its id; 0 if there is none. */
static uint64_t scope_of(const struct explanation *explanation, const char *cgroup)
{
	const struct policy_header *header = explanation->header;
	size_t mount = strlen(explanation->mount);
	char path[PATH_MAX], *slash;
	uint64_t id;

	snprintf(path, sizeof(path), "%s%s", explanation->mount, cgroup);
	for (;;) {
		if (!cgroup_id(path, &id) &&
		    policy_hash_find(explanation->image, &header->cgroups, id))
			return id;
		slash = strrchr(path, '/');
		if (!slash || slash < path + mount)
			return 0;
		*slash = '\0';
	}
}

uint64_t explain_identity(const struct explanation *explanation, uint32_t uid, const char *cgroup,
			  bool makers)
{
	return services_of(explanation->image, explanation->header, uid,
			   scope_of(explanation, cgroup), makers);
}

/* Whether the hooks run for what is in a cgroup. */
static bool is_ours(const struct explanation *explanation, const char *cgroup)
{
	return !explanation->control || cgroup_is_below(cgroup, explanation->control->cgroup_path);
}

/* Answers DECISION_ASK: who listens at an address. */
static void listener_find(const struct explanation *explanation,
			  const struct waybill_address *endpoint, bool udp,
			  struct decision *decision, struct listener *who)
{
	char cgroup[PATH_MAX];

	decision->listens = FOUND_NOBODY;
	if (listener_look_up(endpoint, udp, who))
		return;
	if (cgroup_path(who->cgroup, cgroup, sizeof(cgroup)))
		strcpy(cgroup, "/");
	decision->listener_uid = who->uid;
	decision->listener_scope = scope_of(explanation, cgroup);
	if (!is_ours(explanation, cgroup))
		decision->listens = FOUND_OUTSIDE;
	else
		decision->listens = who->shared ? FOUND_SHARED : FOUND_LISTENER;
}

/* What that is to one of the services. */
static enum explain_listener listener_of(const struct explanation *explanation,
					 const struct decision *decision, uint32_t slot)
{
	struct decision alone = *decision;

	if (decision->listens == FOUND_NOBODY)
		return LISTENER_DOWN;
	if (decision->listens == FOUND_OUTSIDE)
		return LISTENER_OUTSIDE;
	if (decide_services(explanation->image, explanation->header, decision) >> slot & 1)
		return LISTENER_ALIVE;
	/* Would it be the service's, if nobody shared it? */
	alone.listens = FOUND_LISTENER;
	return decide_services(explanation->image, explanation->header, &alone) >> slot & 1 ?
		       LISTENER_SHARED :
		       LISTENER_ANOTHERS;
}

enum explain_listener explain_listener(const struct explanation *explanation, uint32_t slot,
				       uint16_t family, bool udp, struct listener *who)
{
	const struct policy_service *service =
		policy_service(explanation->image, explanation->header, slot);
	struct waybill_address endpoint;
	struct decision decision = {};

	if (!service || !service_endpoint(service, family, udp, &endpoint))
		return LISTENER_NONE;
	listener_find(explanation, &endpoint, udp, &decision, who);
	return listener_of(explanation, &decision, slot);
}

/* The listener at a service's own endpoint, which is looked for once. */
static struct explain_known *listener_known(struct explanation *explanation,
					    const struct question *question, uint32_t slot)
{
	uint16_t family = question->to.destination.family;
	struct explain_known *known =
		&explanation->known[slot][family == AF_INET6][question->to.udp];
	const struct policy_service *service =
		policy_service(explanation->image, explanation->header, slot);
	struct waybill_address endpoint;

	if (known->listener != LISTENER_UNKNOWN)
		return known;
	if (!service_endpoint(service, family, question->to.udp, &endpoint)) {
		known->listener = LISTENER_NONE;
		return known;
	}
	listener_find(explanation, &endpoint, question->to.udp, &known->found, &known->who);
	known->listener = listener_of(explanation, &known->found, slot);
	return known;
}

/* Whether a socket bound to this interface reaches no service, as in kernel/ask.h. */
static bool is_unreachable(const struct explanation *explanation, const struct explain_query *query)
{
	if (query->interface && query->interface != 1)
		return true;
	return query->udp && query->remote.family == AF_INET6 && explanation->control &&
	       explanation->netns != explanation->control->datagrams6;
}

struct question explain_question(const struct explanation *explanation,
				 const struct explain_query *query)
{
	const struct policy_header *header = explanation->header;
	const struct policy_more *more =
		header->more ? policy_line(explanation->image, header->more) : NULL;
	struct question question = {
		.to = { .destination = query->remote,
			.hop_count = query->hop_count,
			.udp = query->udp },
		.unreachable = is_unreachable(explanation, query),
		.local = query->local,
		.netns = explanation->netns,
		.scope = scope_of(explanation, query->cgroup),
		.seen = query->seen,
		.uid = query->uid,
		.gid = query->gid,
		.original = query->original,
		.interface = query->interface,
	};

	question.cgroup = question.scope;
	if (more)
		question.application =
			policy_application_find(explanation->image, more, &query->executable);
	return question;
}

/* Whether the destination is a service's own endpoint. */
static bool services_listen_at(const struct explanation *explanation,
			       const struct question *question)
{
	const struct policy_cell *cell =
		endpoint_find(explanation->image, explanation->header, &question->to);
	struct decision decision = {};
	struct listener who;

	if (!cell)
		return false;
	listener_find(explanation, &question->to.destination, question->to.udp, &decision, &who);
	return decide_services(explanation->image, explanation->header, &decision) >> cell->value &
	       1;
}

/* One step of the decision, which is about a service, or about all. Keeps what it says. */
static void step_keep(struct explanation *explanation, const struct question *question,
		      struct decision *decision, struct explain_step *step)
{
	struct explain_service *at = &step->service[decision->slot];
	struct listener who;

	switch (decision->verdict) {
	case DECISION_NOTHING:
		return;
	case DECISION_ASK:
		if (decision->step == DECIDE_ENDPOINT) {
			listener_find(explanation, &question->to.destination, question->to.udp,
				      decision, &who);
		} else {
			const struct explain_known *known =
				listener_known(explanation, question, decision->slot);

			decision->listens = known->found.listens;
			decision->listener_uid = known->found.listener_uid;
			decision->listener_scope = known->found.listener_scope;
		}
		return;
	case DECISION_NO_RECORDS:
		step->presumed = decision->slot;
		return;
	case DECISION_TO_SERVICE:
		step->slot = decision->slot;
		step->decision = decision->verdict;
		return;
	case DECISION_NO_FILTER:
		step->decision = decision->verdict;
		return;
	case DECISION_SEEN:
	case DECISION_PERMIT:
	case DECISION_DOWN_PASS:
		at->decision = decision->verdict;
		return;
	}
	/* The last one. To a service too many it would have been redirected. */
	at->decision =
		decision->verdict == DECISION_HOP_LIMIT ? DECISION_REDIRECT : decision->verdict;
	step->decision = decision->verdict;
	step->slot = decision->slot;
	step->filter = decision->number;
}

/* Whether nobody listens where a connection goes, on this host, and the policy minds. */
static bool is_unheard(const struct explanation *explanation, const struct question *question)
{
	const struct waybill_address *to = &question->to.destination;
	struct listener who;

	return !question->to.udp && address_is_loopback((const uint32_t *)to->address) &&
	       !(explanation->header->flags & POLICY_REDIRECT_UNHEARD) &&
	       listener_look_up(to, false, &who);
}

/* The decision, as the kernel half takes it. match_destination() has said yes. */
static void decide(struct explanation *explanation, const struct question *question,
		   const struct match *match, struct explain_step *step)
{
	struct decision decision = { .match = *match };

	step->decision = DECISION_PERMIT;
	decide_start(explanation->header, &decision);
	for (int i = 0; i < DECIDE_STEPS && decision.step != DECIDE_END; i++) {
		decide_step(explanation->image, question, &decision);
		step_keep(explanation, question, &decision, step);
	}
	if (step->decision == DECISION_REDIRECT && is_unheard(explanation, question))
		step->decision = step->service[step->slot].decision = DECISION_UNHEARD;
	step->application = decision.application;
	if (step->decision == DECISION_NO_FILTER || step->decision == DECISION_TO_SERVICE)
		return;
	/*
	 * Of those that no filter is for: whether they came to their turn, and whether they saw it.
	 */
	for (uint32_t slot = 0; slot < step->services; slot++) {
		struct explain_service *at = &step->service[slot];

		at->seen = decision.seen >> slot & 1;
		if (!at->decision && slot <= step->slot)
			at->decision = at->seen ? DECISION_SEEN : DECISION_NO_FILTER;
	}
}

void explain_connect(struct explanation *explanation, const struct explain_query *query,
		     struct explain_step *step)
{
	const struct policy_image *image = explanation->image;
	const struct policy_header *header = explanation->header;
	struct question question;
	struct match match;
	bool matches;

	*step = (struct explain_step){
		.query = *query,
		.decision = DECISION_NO_FILTER,
		.filter = POLICY_FILTERS_MAX,
		.slot = POLICY_SERVICES_MAX,
		.presumed = POLICY_SERVICES_MAX,
		.outside = !is_ours(explanation, query->cgroup),
	};
	address_resolve(&step->query.remote, &step->query.local);
	address_bound_for(&step->query.remote, &step->query.local);
	question = explain_question(explanation, &step->query);
	matches = match_destination(image, header, &question.to, &match);
	if (matches)
		matches = match_rest(image, header, &question, &match, &step->application) &&
			  match_next(image, header, &match, 0) < POLICY_FILTERS_MAX;
	for (uint32_t slot = 0; slot < header->services && slot < POLICY_SERVICES_MAX; slot++) {
		struct explain_service *at = &step->service[step->services++];
		const struct explain_known *known = listener_known(explanation, &question, slot);

		at->service = policy_service(image, header, slot);
		at->listener = known->listener;
		if (question.unreachable && at->listener != LISTENER_NONE)
			at->listener = LISTENER_UNREACHABLE;
		else
			at->who = known->who;
		at->seen = step->query.seen >> slot & 1;
		at->filter = matches ?
				     match_next(image, header, &match, at->service->first_filter) :
				     POLICY_FILTERS_MAX;
		if (at->filter >= at->service->first_filter + at->service->filters)
			at->filter = POLICY_FILTERS_MAX;
		if (!matches && !step->outside)
			at->decision = DECISION_NO_FILTER;
	}
	if (step->outside)
		return;
	/* As datagram_send() does. */
	if (query->udp && flow_of_address(&question.to.destination) &&
	    services_listen_at(explanation, &question))
		step->decision = DECISION_FLOW_FOREIGN;
	else if (matches)
		decide(explanation, &question, &match, step);
}

/* The connect of the service that the one before was redirected to. */
static struct explain_query query_onward(const struct explanation *explanation,
					 const struct explain_step *step)
{
	const struct policy_more *more = policy_line(explanation->image, explanation->header->more);
	struct explain_query query = step->query;
	bool presumed = step->presumed < POLICY_SERVICES_MAX;

	if (!query.onward)
		query.original = step->application;
	/* Whoever listens is who connects. */
	query.application = NULL;
	query.executable = (struct policy_executable){ 0 };
	if (explanation->header->more && more->executables.first)
		executable_of_process(process_of_socket(step->service[step->slot].who.inode),
				      &query.executable);

	query.onward = true;
	query.hop_count += presumed ? 2 : 1;
	if (presumed)
		query.seen |= services_up_to(1ULL << step->presumed);
	query.seen |= 1ULL << step->slot;
	query.interface = 0;
	query.local = (struct waybill_address){ .family = query.remote.family };
	if (query.local.family == AF_INET)
		memcpy(query.local.address, query.remote.address, 12);
	return query;
}

int explain_follow(struct explanation *explanation, const struct explain_query *query,
		   struct explain_step **steps, size_t *count)
{
	struct explain_query next = *query;

	*steps = NULL;
	*count = 0;
	for (;;) {
		struct explain_step *more = reallocarray(*steps, *count + 1, sizeof(**steps));

		if (!more) {
			free(*steps);
			*steps = NULL;
			return -ENOMEM;
		}
		*steps = more;
		explain_connect(explanation, &next, &more[(*count)++]);
		/* It ends: each redirection adds a service, and none is added twice. */
		if (more[*count - 1].decision != DECISION_REDIRECT)
			return 0;
		next = query_onward(explanation, &more[*count - 1]);
	}
}

int explain_begin(struct explanation *explanation, const struct policy_image *image,
		  const struct control *control, struct message *message)
{
	*explanation = (struct explanation){
		.image = image,
		.header = policy_line(image, 0),
		.control = control,
	};
	netns_cookie(&explanation->netns);
	return cgroup_mount(explanation->mount, sizeof(explanation->mount), message);
}
