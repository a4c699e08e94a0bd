// SPDX-License-Identifier: BSD-2-Clause
/*
 * Loads and compiles a policy with the first allocation failing, then the second, and so on until
 * none is left to fail: every time the answer is -ENOMEM with a message, and nothing is lost.
 * Linked with --wrap for the functions that allocate; sanitizers see what is lost.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../platform/policy/policy.h"

static long left = -1; /* allocations that succeed before one fails; negative: all succeed */

static bool fails(void)
{
	if (left < 0)
		return false;
	if (left-- > 0)
		return false;
	errno = ENOMEM;
	return true;
}

#define WRAP(type, name, parameters, arguments)                                                    \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return fails() ? NULL : __real_##name arguments;                                   \
	}

WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *old, size_t size), (old, size))
WRAP(void *, reallocarray, (void *old, size_t count, size_t size), (old, count, size))
WRAP(char *, strdup, (const char *text), (text))
WRAP(char *, strndup, (const char *text, size_t size), (text, size))

static const char text[] =
	"version: 1\n"
	"services:\n"
	"- { name: a, weight: 1, endpoint: { tcp: 1 }, identity: { user: 1, cgroup: / } }\n"
	"filters:\n"
	"- name: b\n"
	"  service: a\n"
	"  match: { remote: [ 10.0.0.0/8, '::/1' ], remote_port: 1-2, user: 0-9, cgroup: /etc }\n"
	"  action: redirect\n"
	"  context: c\n";

/* Returns what loading and compiling returned. */
static int attempt(void)
{
	/* Any tree of directories will do for cgroups. */
	static const struct policy_target target = { .cgroup_root = "" };
	struct message message = { .text = "" };
	struct policy_image image = { 0 };
	struct policy *policy;
	int error = policy_load_text("text", text, strlen(text), &policy, &message);

	if (!error)
		error = policy_compile(policy, &target, &image, &message);
	policy_free(policy);
	free(image.line);
	assert_true(!error == !message.text[0]);
	return error;
}

static void every_allocation_may_fail(void **state)
{
	int error = -ENOMEM;
	long count;

	(void)state;
	for (count = 0; error; count++) {
		left = count;
		error = attempt();
		if (error)
			assert_int_equal(error, -ENOMEM);
		assert_true(count < 10000);
	}
	assert_true(left >= 0); /* at last one was left over */
	left = -1;
	print_message("%ld allocations\n", count);
	assert_true(count > 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation_may_fail) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
