// SPDX-License-Identifier: BSD-2-Clause
/*
 * The kernel says the same of a policy as a plain reference: a million pairs of random policies and
 * connections, asked in a program that the kernel runs, by the functions of the connect hook.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Before cmocka, which makes a macro of fail(). */
#include "../../platform/instance.h"

#include <cmocka.h>

#include "../unit/policy_fixture.h"
#include "policy_ask.h"

static const char *object_path;
static struct bpf_object *object;
static struct policy_question *questions;
static int program, policies;

static int map_of(const char *name)
{
	return bpf_map__fd(bpf_object__find_map_by_name(object, name));
}

static int set_up(void **state)
{
	if (make_cgroups(state))
		return -1;
	object = bpf_object__open(object_path);
	if (!object || bpf_object__load(object))
		return -1;
	program = bpf_program__fd(bpf_object__find_program_by_name(object, "policy_ask"));
	policies = map_of("policies");
	questions = mmap(NULL, QUESTIONS * sizeof(*questions), PROT_READ | PROT_WRITE, MAP_SHARED,
			 map_of("questions"), 0);
	return questions == MAP_FAILED ? -1 : 0;
}

static int tear_down(void **state)
{
	bpf_object__close(object);
	return remove_cgroups(state);
}

static void put_in_force(const struct policy_image *image)
{
	struct message message;
	int map = image_map(image, &message);
	uint32_t zero = 0;

	assert_true(map >= 0);
	assert_int_equal(bpf_map_update_elem(policies, &zero, &map, BPF_ANY), 0);
	close(map);
}

/* The filters that the kernel found, by name, are those of the reference, in its order. */
static void compare_answer(const struct policy *policy, const struct policy_image *image,
			   const struct client *connection,
			   const struct policy_question *question)
{
	const struct filter *expected[POLICY_FILTERS_MAX];
	size_t count = reference_matches(policy, connection, expected), found = 0;

	for (uint32_t i = 0; i < POLICY_FILTERS_MAX; i++) {
		if (!(question->matching[i / 64] >> i % 64 & 1))
			continue;
		assert_true(found < count);
		assert_string_equal(policy_filter(image, header_of(image), i)->name,
				    expected[found++]->name);
	}
	assert_int_equal(found, count);
}

static void compare(const struct policy *policy, const struct policy_image *image, size_t count)
{
	static struct client connection[QUESTIONS];
	struct policy_questions context = { .count = count };
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &context, .ctx_size_in = sizeof(context));

	put_in_force(image);
	for (size_t i = 0; i < count; i++) {
		connection[i] = random_connection(policy);
		questions[i].question = question_of(image, &connection[i]);
	}
	assert_int_equal(bpf_prog_test_run_opts(program, &run), 0);
	assert_int_equal(run.retval, 0);
	for (size_t i = 0; i < count; i++)
		compare_answer(policy, image, &connection[i], &questions[i]);
}

static void a_million_pairs_say_the_same_in_the_kernel(void **state)
{
	size_t pairs = 0;

	for (unsigned int seed = 0; pairs < 1000000; seed++) {
		struct policy_image image;
		struct policy *policy;

		random_seed(1000000 + seed);
		policy = random_policy(1 + random_below(seed % 10 ? 6 : 64), random_below(40));
		if (possible(policy, &image)) {
			compare(policy, &image, 500);
			pairs += 500;
			free(image.line);
		}
		policy_free(policy);
	}
}

static void the_most_filters_say_the_same_in_the_kernel(void **state)
{
	struct policy_image image;
	struct policy *policy;

	random_seed(815);
	policy = random_policy(POLICY_SERVICES_MAX, POLICY_FILTERS_MAX);
	image = compile_possible(policy);
	compare(policy, &image, QUESTIONS);
	free(image.line);
	policy_free(policy);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_million_pairs_say_the_same_in_the_kernel),
		cmocka_unit_test(the_most_filters_say_the_same_in_the_kernel),
	};

	if (argc < 2)
		return 2;
	if (geteuid())
		return 77;
	object_path = argv[1];
	libbpf_set_print(libbpf_quiet);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
