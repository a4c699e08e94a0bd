// SPDX-License-Identifier: BSD-2-Clause
/*
 * Every step of a decision (decision/decide.h) is what an independent reference says of the same
 * policy and situation, also when it is begun anew by another policy; it never takes more steps
 * than DECIDE_STEPS, and what cannot be ends refused.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "decide_reference.h"
#include "policy_fixture.h"

/* A policy, its image, and what is decided by it. */
struct bench {
	uint64_t seed;
	struct policy *policy;
	struct policy_image image;
	struct situation situation;
	struct question question;
};

static void check(const struct bench *bench, bool holds, const char *what)
{
	if (holds)
		return;
	print_error("seed %llu: %s\n", (unsigned long long)bench->seed, what);
	situation_print(bench->policy, &bench->situation);
	fail();
}

static size_t place_of(const struct bench *bench, uint32_t slot)
{
	const struct policy_service *line =
		policy_service(&bench->image, header_of(&bench->image), slot);
	size_t i;

	check(bench, line != NULL, "there is no such slot");
	for (i = 0; strcmp(bench->policy->service[i].name, line->name); i++)
		;
	return i;
}

static uint64_t nearest(const struct policy_image *image, const char *cgroup)
{
	const struct policy_cell *cell = cell_of(image, cgroup);

	return cell ? cell->key : 0;
}

/* What the hooks and the records say. */
static struct question ask(const struct policy_image *image, const struct situation *situation)
{
	const char *another = random_cgroup[random_below(RANDOM_CGROUPS)];
	struct question question = question_of(image, &situation->connection);
	unsigned int i;

	question.to.hop_count = situation->records;
	question.unreachable = situation->unreachable;
	for (i = 0; i < situation->records; i++)
		question.seen |= services_of_hop(image, header_of(image),
						 policy_service_id(situation->record[i].service),
						 situation->record[i].presumed);
	/* Without records it is the cgroup that the policy names. Of an originator either is. */
	question.cgroup = question.scope;
	if (!situation->records)
		return question;
	if (situation->recorded == 0)
		question.cgroup = 1ULL << 50;
	else if (situation->recorded == 1 && question.cgroup)
		question.scope = nearest(image, another);
	else if (situation->recorded == 2)
		question.cgroup = 0;
	return question;
}

/* The contexts of random policies begin with their numbers. */
static int context_number(void *data, const void *bytes, size_t size, uint32_t *number,
			  struct message *message)
{
	memcpy(number, bytes, sizeof(*number));
	return 0;
}

/* Returns false if there is no policy to be had of this seed. */
static bool bench_begin(struct bench *bench, uint64_t seed)
{
	bench->seed = seed;
	random_seed(seed);
	target.generation = seed;
	target.context_number = context_number;
	bench->policy = random_decidable();
	if (possible(bench->policy, &bench->image))
		return true;
	policy_free(bench->policy);
	return false;
}

static void bench_situate(struct bench *bench)
{
	bench->situation = random_situation(bench->policy);
	bench->question = ask(&bench->image, &bench->situation);
}

static void bench_end(struct bench *bench)
{
	free(bench->image.line);
	policy_free(bench->policy);
}

/* The address of a flow will do as any other: it is left out, if it is one. */
static struct waybill_address endpoint_told(const struct bench *bench,
					    struct waybill_address endpoint)
{
	static const uint8_t flow4[13] = { [10] = 0xff, 0xff, 127 };
	static const uint8_t flow6[13] = WAYBILL_FLOW_PREFIX6;
	bool v4 = endpoint.family == AF_INET;

	if (!bench->question.to.udp)
		return endpoint;
	check(bench,
	      !memcmp(endpoint.address, v4 ? flow4 : flow6, 13) &&
		      endpoint.address[13] >> 4 == (v4 ? 6 : 0),
	      "datagrams go to what is not the address of a flow");
	memset(endpoint.address, 0, sizeof(endpoint.address));
	return endpoint;
}

/* Answers a step, and notes what it says. */
static void note(const struct bench *bench, struct decision *decision, struct course *course)
{
	const struct policy_header *header = header_of(&bench->image);
	const struct policy_service *service =
		policy_service(&bench->image, header, decision->slot);
	const struct policy_filter *filter = policy_filter(&bench->image, header, decision->number);
	const struct somebody *somebody = &bench->situation.at_destination;
	struct told told = { .verdict = decision->verdict,
			     .service = decision->service,
			     .filter = decision->filter };

	/* Whoever is told of the step looks for more by its slot and number. */
	check(bench, !decision->service || (service && service->id == decision->service),
	      "the slot is another service's");
	check(bench, !decision->filter || (filter && filter->id == decision->filter),
	      "the number is another filter's");
	check(bench, course->count < COURSE_MAX, "it says more than it may");
	if (decision->verdict == DECISION_ASK) {
		if (!decide_endpoint(service, &bench->question, decision, &told.endpoint))
			return;
		if (decision->step == DECIDE_LISTENER) {
			told.endpoint = endpoint_told(bench, told.endpoint);
			somebody = &bench->situation.at_service[place_of(bench, decision->slot)];
		}
		decision->listens = somebody->found;
		decision->listener_uid = somebody->user;
		decision->listener_scope = nearest(&bench->image, somebody->cgroup);
	} else if (decision->verdict == DECISION_REDIRECT) {
		told.endpoint = endpoint_told(bench, decision->endpoint);
		told.context = decision->context;
		told.context_size = decision->context_size;
	} else if (decision->verdict == DECISION_NOTHING) {
		if (decision->step != DECIDE_END)
			return;
		told.service = told.filter = 0;
	}
	course->told[course->count++] = told;
}

/* Takes a decision, up to so many steps of it. What was in its memory before must not count. */
static void take(const struct bench *bench, struct decision *decision, int steps,
		 struct course *course)
{
	const struct policy_header *header = header_of(&bench->image);
	int i;

	memset(course, 0, sizeof(*course));
	decide_start(header, decision);
	check(bench,
	      decision->generation == header->generation && decision->step == DECIDE_BEGIN &&
		      decision->verdict == DECISION_NOTHING && !decision->next &&
		      !decision->service && !decision->filter && !decision->presumed &&
		      !decision->application,
	      "something is left of what was");
	if (!match_destination(&bench->image, header, &bench->question.to, &decision->match)) {
		course->told[course->count++].verdict = DECISION_NO_FILTER;
		return;
	}
	for (i = 0; i < steps && decision->step != DECIDE_END; i++) {
		decide_step(&bench->image, &bench->question, decision);
		note(bench, decision, course);
	}
	course->presumed = decision->presumed;
	if (!course->count || course->told[course->count - 1].verdict == DECISION_NO_FILTER)
		return;
	course->application = decision->application;
	if (course->told[course->count - 1].verdict == DECISION_TO_SERVICE)
		return;
	for (i = 0; i < header->services; i++)
		if (decision->seen >> i & 1)
			course->passed_over |= 1ULL << place_of(bench, i);
}

/* The verdicts that were come by. */
static size_t came[DECISION_ASK + 1];

static void compare(const struct bench *bench, struct decision *decision)
{
	struct course expected, course;
	size_t i;

	reference_decide(bench->policy, &bench->situation, &expected);
	take(bench, decision, DECIDE_STEPS, &course);
	for (i = 0; i < course.count; i++)
		came[course.told[i].verdict]++;
	if (!memcmp(&course, &expected, sizeof(course)))
		return;
	course_print("decided", &course);
	course_print("reference", &expected);
	check(bench, false, "they differ");
}

#define POLICIES 2500
#define SITUATIONS 160

static void every_step_is_what_the_reference_says(void **state)
{
	static const enum verdict verdicts[] = {
		DECISION_NOTHING,   DECISION_NO_FILTER, DECISION_PERMIT,     DECISION_REDIRECT,
		DECISION_BLOCK,     DECISION_DOWN_PASS, DECISION_DOWN_BLOCK, DECISION_TO_SERVICE,
		DECISION_HOP_LIMIT, DECISION_SEEN,      DECISION_NO_RECORDS, DECISION_ASK,
	};
	size_t compared = 0, i;
	uint64_t seed, each;
	struct bench bench;

	(void)state;
	for (seed = 1; seed <= POLICIES; seed++) {
		if (!bench_begin(&bench, seed))
			continue;
		for (each = 0; each < SITUATIONS; each++) {
			struct decision decision;

			/* What the stack has. */
			for (i = 0; i < sizeof(decision); i++)
				((uint8_t *)&decision)[i] = random_number() >> 32;
			bench_situate(&bench);
			compare(&bench, &decision);
			compared++;
		}
		bench_end(&bench);
	}
	print_message("%zu decisions compared\n", compared);
	for (i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++) {
		if (came[verdicts[i]] <= compared / 1000)
			print_error("verdict %u: only %zu times\n", verdicts[i], came[verdicts[i]]);
		assert_true(came[verdicts[i]] > compared / 1000);
	}
}

/* Some steps by one policy, and then all of them by another. */
static void a_decision_that_is_begun_anew_is_as_a_fresh_one(void **state)
{
	uint64_t seed, each;
	struct bench bench, before;

	(void)state;
	for (seed = 10001; seed <= 11000; seed++) {
		if (!bench_begin(&before, 2 * seed))
			continue;
		if (!bench_begin(&bench, 2 * seed + 1)) {
			bench_end(&before);
			continue;
		}
		for (each = 0; each < 60; each++) {
			struct decision decision = { 0 };
			struct course course;

			bench_situate(&before);
			bench_situate(&bench);
			take(&before, &decision, random_below(24), &course);
			compare(&bench, &decision);
		}
		bench_end(&bench);
		bench_end(&before);
	}
}

/*
 * As many services as there can be, each with a filter that redirects everything, and all down. The
 * connection goes to where one of them is said to listen, and is not a service's.
 */
static void most_services(struct bench *bench)
{
	struct situation *situation = &bench->situation;
	size_t i;

	random_seed(7);
	bench->policy = random_policy(POLICY_SERVICES_MAX, POLICY_SERVICES_MAX);
	*situation = (struct situation){ .connection = { .user = 1000, .cgroup = "/" } };
	situation->connection.remote = (struct waybill_address){
		AF_INET, htons(9000), 0, { [10] = 0xff, 0xff, 127, [15] = 1 }
	};
	situation->at_destination.cgroup = "/";
	for (i = 0; i < POLICY_SERVICES_MAX; i++) {
		struct filter *filter = &bench->policy->filter[i];

		bench->policy->service[i].when_down = POLICY_DOWN_PASS;
		situation->at_service[i].cgroup = "/";
		any_connection(filter);
		filter->action = POLICY_REDIRECT;
		free(filter->service);
		filter->service = strdup(bench->policy->service[i].name);
	}
	bench->image = compile(bench->policy);
	bench->question = ask(&bench->image, situation);
}

static void no_decision_takes_more_steps(void **state)
{
	struct course course, expected;
	struct decision decision;
	struct bench bench;

	(void)state;
	most_services(&bench);
	reference_decide(bench.policy, &bench.situation, &expected);
	assert_int_equal(expected.count, 1 + 2 * POLICY_SERVICES_MAX + 1);
	take(&bench, &decision, DECIDE_STEPS, &course);
	assert_int_equal(decision.step, DECIDE_END);
	assert_memory_equal(&course, &expected, sizeof(course));
	bench_end(&bench);
}

static void a_broken_image_refuses(void **state)
{
	struct policy_header *header;
	struct decision decision;
	struct course course;
	struct bench bench;
	int i, steps;

	(void)state;
	most_services(&bench);
	/* A line that does not exist, which a condition comes by before some step. */
	for (i = 0; i < CONDITIONS; i++) {
		for (steps = 1; steps < 20; steps++) {
			take(&bench, &decision, steps, &course);
			assert_true(decision.step != DECIDE_END);
			decision.match.line[i] = POLICY_LINE_BROKEN;
			if (decision.step != DECIDE_SERVICES)
				continue;
			decide_step(&bench.image, &bench.question, &decision);
			assert_int_equal(decision.verdict, DECISION_BROKEN);
			assert_int_equal(decision.step, DECIDE_END);
			assert_int_equal(decide_wants_filter(&decision), 0);
		}
	}
	/* A table in which no leaf is come by: its root is the header. */
	header = (void *)bench.image.line[0];
	header->user = 0;
	take(&bench, &decision, 1, &course);
	assert_int_equal(course.count, 1);
	assert_int_equal(course.told[0].verdict, DECISION_BROKEN);
	assert_int_equal(decision.step, DECIDE_END);
	bench_end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step_is_what_the_reference_says),
		cmocka_unit_test(a_decision_that_is_begun_anew_is_as_a_fresh_one),
		cmocka_unit_test(no_decision_takes_more_steps),
		cmocka_unit_test(a_broken_image_refuses),
	};

	return cmocka_run_group_tests(tests, make_cgroups, remove_cgroups);
}
