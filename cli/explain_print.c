// SPDX-License-Identifier: BSD-2-Clause
/* The two faces of `waybill explain`: for people, and as JSON. */
#include <arpa/inet.h>
#include <limits.h>
#include <string.h>

#include "explain.h"
#include "json.h"

static const struct {
	const char *name;
	enum paint paint;
} listeners[] = {
	[LISTENER_UNKNOWN] = { "unknown", PAINT_NONE },
	[LISTENER_ALIVE] = { "alive", PAINT_GOOD },
	[LISTENER_DOWN] = { "down", PAINT_BAD },
	[LISTENER_ANOTHERS] = { "another's", PAINT_BAD },
	[LISTENER_SHARED] = { "shared", PAINT_BAD },
	[LISTENER_OUTSIDE] = { "outside", PAINT_BAD },
	[LISTENER_NONE] = { "no endpoint", PAINT_NOTE },
	[LISTENER_UNREACHABLE] = { "unreachable", PAINT_NOTE },
};

static const struct policy_filter *filter_at(const struct explained *explained, uint32_t number)
{
	return policy_filter(explained->explanation.image, explained->explanation.header, number);
}

/* Who connects in a step: the originator, or the service that was redirected to before. */
static const char *connector(const struct explained *explained, size_t step)
{
	const struct explain_step *before = &explained->step[step - 1];

	if (step)
		return before->service[before->slot].service->name;
	return explained->process.pid ? explained->process.comm : "the application";
}

static struct text why(const struct explained *explained, const struct explain_step *step,
		       uint32_t slot)
{
	const struct explain_service *at = &step->service[slot];
	const struct policy_filter *filter = filter_at(explained, at->filter);
	const char *name = filter ? filter->name : "";
	struct text out = { "" };

#define SAY(...) snprintf(out.text, sizeof(out.text), __VA_ARGS__)
	switch (at->decision) {
	case DECISION_SEEN:
		if (step->query.seen >> slot & 1)
			SAY("the records say that it has seen it");
		else if (step->presumed == slot)
			SAY("it is who connects, by its identity");
		else
			SAY("it comes before %s, who connects",
			    step->service[step->presumed].service->name);
		break;
	case DECISION_NO_FILTER:
		SAY(at->service->filters ? "no filter of it matches" : "it has no filters");
		break;
	case DECISION_PERMIT:
		SAY("filter %s permits: on to the next", name);
		break;
	case DECISION_REDIRECT:
		if (step->decision == DECISION_HOP_LIMIT)
			SAY("filter %s redirects, but there are %u hops already", name,
			    step->query.hop_count);
		else
			SAY("filter %s redirects", name);
		break;
	case DECISION_BLOCK:
		SAY("filter %s blocks", name);
		break;
	case DECISION_DOWN_PASS:
		SAY("filter %s redirects, but it is down: on to the next", name);
		break;
	case DECISION_UNHEARD:
		SAY("filter %s redirects, but nobody listens at that address of this host: refused",
		    name);
		break;
	case DECISION_DOWN_BLOCK:
		SAY("filter %s redirects, but it is down: refused", name);
		break;
	default:
		SAY("it is not asked");
	}
#undef SAY
	return out;
}

/* The word of monitor for it; "-" if it is not asked. */
static const char *decision_word(const struct explain_step *step, uint32_t slot)
{
	if (slot == step->slot && step->decision == DECISION_HOP_LIMIT)
		return decision_name(step->decision);
	return step->service[slot].decision ? decision_name(step->service[slot].decision) : "-";
}

static enum paint decision_paint(const struct explain_step *step, uint32_t slot)
{
	if (slot != step->slot)
		return PAINT_NONE;
	return step->decision == DECISION_REDIRECT ? PAINT_GOOD : PAINT_BAD;
}

/*
 * The filters before the one that decides, or all of them, with what each fails by, one call a
 * filter. Of a service that is not asked there are none to tell.
 */
static void each_failed(const struct explained *explained, const struct explain_step *step,
			uint32_t slot,
			void (*each)(void *data, const struct policy_filter *filter,
				     const char *condition, const char *value),
			void *data)
{
	const struct explain_service *at = &step->service[slot];
	uint32_t filter = at->service->first_filter, end = filter + at->service->filters;
	char value[PATH_MAX];
	const char *condition;

	if (!at->decision || at->decision == DECISION_SEEN)
		return;
	for (; filter < end && filter != at->filter; filter++) {
		condition = explain_failed(&explained->explanation, &step->query, filter, value,
					   sizeof(value));
		if (condition)
			each(data, filter_at(explained, filter), condition, value);
	}
}

static void add_failed(void *data, const struct policy_filter *filter, const char *condition,
		       const char *value)
{
	for (int i = 0; i < 4; i++)
		listing_add(data, PAINT_NONE, "%s", "");
	listing_add(data, PAINT_DIM, "not filter %s: %s %s is not in it", filter->name, condition,
		    value);
}

static void add_listener(struct listing *listing, const struct explain_service *at)
{
	enum paint paint = listeners[at->listener].paint;
	char cgroup[PATH_MAX];

	if (at->listener != LISTENER_ANOTHERS && at->listener != LISTENER_OUTSIDE) {
		listing_add(listing, paint, "%s", listeners[at->listener].name);
		return;
	}
	if (cgroup_path(at->who.cgroup, cgroup, sizeof(cgroup)))
		strcpy(cgroup, "?");
	listing_add(listing, paint, "%s (%s in %s)", listeners[at->listener].name,
		    text_user(at->who.uid).text, cgroup);
}

static void print_step(const struct explained *explained, size_t number)
{
	const struct explain_step *step = &explained->step[number];
	struct listing listing;

	printf("\n%s%s connects to %s%s\n", paint_begin(PAINT_BOLD), connector(explained, number),
	       text_address(&step->query.remote).text, paint_end(PAINT_BOLD));
	if (step->outside || !step->services)
		return;
	listing_begin(&listing, "SERVICE", "WEIGHT", "LISTENER", "DECISION", "WHY", NULL);
	for (uint32_t slot = 0; slot < step->services; slot++) {
		const struct explain_service *at = &step->service[slot];

		listing_add(&listing, PAINT_BOLD, "%s", at->service->name);
		listing_add(&listing, PAINT_NONE, "%u", at->service->weight);
		add_listener(&listing, at);
		listing_add(&listing, decision_paint(step, slot), "%s", decision_word(step, slot));
		listing_add(&listing, PAINT_NONE, "%s", why(explained, step, slot).text);
		each_failed(explained, step, slot, add_failed, &listing);
	}
	listing_end(&listing);
}

/* Why a connect is refused, or goes straight, completed from "because" or so. */
static struct text reason(const struct explained *explained)
{
	const struct explain_step *step = &explained->step[explained->steps - 1];
	const struct policy_filter *filter = filter_at(explained, step->filter);
	const char *service =
		step->slot < step->services ? step->service[step->slot].service->name : "";
	struct text out;

#define SAY(...) snprintf(out.text, sizeof(out.text), __VA_ARGS__)
	if (step->outside)
		SAY("it is outside of the instance's cgroup %.80s",
		    explained->explanation.control->cgroup_path);
	else if (step->decision == DECISION_BLOCK)
		SAY("filter %s of %s blocks", filter->name, service);
	else if (step->decision == DECISION_DOWN_BLOCK)
		SAY("%s, where filter %s sends it, is down", service, filter->name);
	else if (step->decision == DECISION_UNHEARD)
		SAY("nobody listens at that address of this host (limits: { unheard: redirect } if "
		    "something else answers there)");
	else if (step->decision == DECISION_PERMIT)
		SAY("each service that is asked lets it pass, or has seen it");
	else
		SAY("%s", decision_meaning(step->decision));
#undef SAY
	return out;
}

static void print_outcome(const struct explained *explained)
{
	static const enum paint paints[] = {
		[OUTCOME_REDIRECT] = PAINT_GOOD,
		[OUTCOME_STRAIGHT] = PAINT_NOTE,
		[OUTCOME_REFUSED] = PAINT_BAD,
	};
	enum outcome outcome = explained_outcome(explained);
	size_t last = explained->steps - 1;

	printf("\n%s", paint_begin(paints[outcome]));
	for (size_t i = 0; i < last; i++)
		printf("%s%s", i ? ", then " : "goes to service ", connector(explained, i + 1));
	if (outcome == OUTCOME_REFUSED)
		printf("%s%s: %s", last ? "; there the onward connect is " : "", "refused",
		       reason(explained).text);
	else if (last)
		printf(", then straight to %s",
		       text_address(&explained->step[last].query.remote).text);
	else
		printf("straight to %s: %s", text_address(&explained->step[last].query.remote).text,
		       reason(explained).text);
	printf("%s\n", paint_end(paints[outcome]));
	if (last)
		printf("(if each service carries the records on, and connects to where it was asked "
		       "to)\n");
}

void explained_print(const struct explained *explained)
{
	const struct process *process = &explained->process;
	const struct policy_header *header = explained->explanation.header;
	const struct explain_query *query = &explained->query;

	printf("%s to %s, by ", query->udp ? "datagram" : "connection",
	       text_address(&query->remote).text);
	if (process->pid)
		printf("%s[%u], ", text_printable(process->comm, sizeof(process->comm)).text,
		       process->pid);
	printf("user %s, group %u, cgroup %s\n", text_user(process->uid).text, process->gid,
	       process->cgroup);
	if (!explained->file)
		printf("policy in force on instance %s, generation %u: %s\n", explained->instance,
		       header->generation,
		       (const char *)policy_line(explained->explanation.image,
						 header->source_line));
	else if (explained->up)
		printf("policy %s, as if in force on instance %s\n", explained->file,
		       explained->instance);
	else
		printf("policy %s, as if in force on the whole host\n", explained->file);
	for (size_t i = 0; i < explained->steps; i++)
		print_step(explained, i);
	print_outcome(explained);
}

static void append_failed(void *data, const struct policy_filter *filter, const char *condition,
			  const char *value)
{
	json_array_append_new(data,
			      json_pack("{s:s, s:s, s:o}", "filter", filter->name, "condition",
					condition, "value", json_text(value, -1)));
}

static json_t *service_object(const struct explained *explained, const struct explain_step *step,
			      uint32_t slot)
{
	const struct explain_service *at = &step->service[slot];
	const struct policy_filter *filter = filter_at(explained, at->filter);
	json_t *failed = json_array();
	bool found = at->listener == LISTENER_ALIVE || at->listener == LISTENER_ANOTHERS ||
		     at->listener == LISTENER_SHARED || at->listener == LISTENER_OUTSIDE;
	char cgroup[PATH_MAX];

	each_failed(explained, step, slot, append_failed, failed);
	if (!found || cgroup_path(at->who.cgroup, cgroup, sizeof(cgroup)))
		found = false;
	return json_pack("{s:s, s:I, s:s, s:o, s:o, s:b, s:o, s:o, s:s, s:o}", "name",
			 at->service->name, "weight", (json_int_t)at->service->weight, "listener",
			 listeners[at->listener].name, "listener_user",
			 found ? json_integer(at->who.uid) : json_null(), "listener_cgroup",
			 found ? json_text(cgroup, -1) : json_null(), "seen", at->seen, "decision",
			 at->decision ? json_string(decision_word(step, slot)) : json_null(),
			 "filter", filter ? json_string(filter->name) : json_null(), "why",
			 why(explained, step, slot).text, "not_matched", failed);
}

static json_t *step_object(const struct explained *explained, size_t number)
{
	const struct explain_step *step = &explained->step[number];
	const struct policy_filter *filter = filter_at(explained, step->filter);
	json_t *services = json_array();

	for (uint32_t slot = 0; slot < step->services; slot++)
		json_array_append_new(services, service_object(explained, step, slot));
	return json_pack(
		"{s:o, s:o, s:I, s:s, s:o, s:o, s:o}", "connects",
		json_text(connector(explained, number), -1), "destination",
		json_address(&step->query.remote), "hop_count", (json_int_t)step->query.hop_count,
		"decision", decision_name(step->decision), "service",
		step->slot < step->services ? json_string(step->service[step->slot].service->name) :
					      json_null(),
		"filter", filter ? json_string(filter->name) : json_null(), "services", services);
}

void explained_print_json(const struct explained *explained)
{
	static const char *const verdicts[] = {
		[OUTCOME_REDIRECT] = "redirected",
		[OUTCOME_STRAIGHT] = "straight",
		[OUTCOME_REFUSED] = "refused",
	};
	const struct process *process = &explained->process;
	const struct policy_header *header = explained->explanation.header;
	json_t *steps = json_array(), *through = json_array(), *originator;

	for (size_t i = 0; i < explained->steps; i++) {
		json_array_append_new(steps, step_object(explained, i));
		if (i)
			json_array_append_new(through, json_string(connector(explained, i)));
	}
	originator = json_pack("{s:o, s:o, s:I, s:I, s:o}", "pid",
			       process->pid ? json_integer(process->pid) : json_null(), "comm",
			       process->pid ? json_text(process->comm, -1) : json_null(), "uid",
			       (json_int_t)process->uid, "gid", (json_int_t)process->gid, "cgroup",
			       json_text(process->cgroup, -1));
	json_print(json_pack("{s:s, s:b, s:o, s:o, s:s, s:o, s:o, s:s, s:o, s:o, s:o}", "instance",
			     explained->instance, "up", explained->up, "file",
			     explained->file ? json_text(explained->file, -1) : json_null(),
			     "generation",
			     explained->file ? json_null() : json_integer(header->generation),
			     "protocol", explained->query.udp ? "udp" : "tcp", "destination",
			     json_address(&explained->query.remote), "originator", originator,
			     "verdict", verdicts[explained_outcome(explained)], "reason",
			     explained_outcome(explained) == OUTCOME_REDIRECT ?
				     json_null() :
				     json_string(reason(explained).text),
			     "through", through, "steps", steps));
}
