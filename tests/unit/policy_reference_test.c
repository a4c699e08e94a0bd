// SPDX-License-Identifier: BSD-2-Clause
/*
 * The compiled image says the same as the policy that it was made from: a million pairs of random
 * policies and connections against a reference, asked in user space.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy_fixture.h"

static void compare_identity(const struct policy *policy, const struct policy_image *image,
			     uint32_t user, const char *cgroup)
{
	static const __u64 nobody[POLICY_SERVICES_WORDS];
	const struct policy_header *header = header_of(image);
	const struct policy_cell *cell = cell_of(image, cgroup);
	uint32_t by_cgroup = cell ? cell->value2 : header->cgroup_none_services, by_user;
	const __u64 *users, *cgroups;
	size_t i, slot;

	by_user = policy_table_find(image, header->service_user, policy_value32(user), 32);
	users = by_user ? policy_line(image, by_user) : nobody;
	cgroups = by_cgroup ? policy_line(image, by_cgroup) : nobody;
	for (i = 0; i < policy->services; i++) {
		const struct service *service = &policy->service[i];
		const struct policy_cell *id =
			policy_hash_find(image, &header->ids, policy_service_id(service->name));

		assert_non_null(id);
		slot = id->value;
		assert_string_equal(policy_service(image, header, slot)->name, service->name);
		for (int maker = 0; maker < 2; maker++)
			assert_int_equal(policy_services(users, cgroups, maker) >> slot & 1,
					 reference_is_service(policy, service, user, cgroup,
							      maker));
	}
}

static void random_policies_say_the_same_compiled(void **state)
{
	size_t policies = 5400, connections = 250, impossible = 0, i, j;

	(void)state;
	for (i = 0; i < policies; i++) {
		struct policy_image image;
		struct policy *policy;

		random_seed(i);
		policy = random_policy(1 + random_below(i % 10 ? 6 : 64), random_below(40));
		if (!possible(policy, &image)) {
			policy_free(policy);
			impossible++;
			continue;
		}
		for (j = 0; j < connections; j++) {
			struct client connection = random_connection(policy);

			compare_filters(policy, &image, &connection);
			compare_identity(policy, &image, connection.user, connection.cgroup);
		}
		free(image.line);
		policy_free(policy);
	}
	/* A million pairs, less those whose policies say of themselves that they cannot match. */
	print_message("%zu of %zu policies could match nothing\n", impossible, policies);
	assert_true(impossible < policies / 4);
}

static void the_most_filters_say_the_same_compiled(void **state)
{
	struct policy_image image;
	struct policy *policy;
	int i;

	(void)state;
	random_seed(4711);
	policy = random_policy(POLICY_SERVICES_MAX, POLICY_FILTERS_MAX);
	image = compile_possible(policy);
	assert_int_equal(header_of(&image)->words, POLICY_WORDS);
	for (i = 0; i < 500; i++) {
		struct client connection = random_connection(policy);

		compare_filters(policy, &image, &connection);
	}
	free(image.line);
	policy_free(policy);
}

static void a_hundred_thousand_prefixes_say_the_same_compiled(void **state)
{
	const int prefixes = 100000;
	struct policy_image image;
	struct policy *policy;
	int i;

	(void)state;
	random_seed(42);
	policy = random_policy(4, 16);
	for (i = 0; i < prefixes; i++) {
		struct prefix prefix = random_prefix();

		/* As real lists have them: long IPv4 prefixes, IPv6 up to the length of a site. */
		if (prefix.v4)
			*(uint32_t *)(prefix.address + 12) = random_number() & 0xf0ffffff;
		else
			memset(prefix.address + 6, 0, 10);
		prefix.length = prefix.v4 ? 28 : 48;
		add_prefix(&policy->filter[random_below(policy->filters)], prefix);
	}
	image = compile_possible(policy);
	for (i = 0; i < 500; i++) {
		struct client connection = random_connection(policy);

		compare_filters(policy, &image, &connection);
	}
	free(image.line);
	policy_free(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_policies_say_the_same_compiled),
		cmocka_unit_test(the_most_filters_say_the_same_compiled),
		cmocka_unit_test(a_hundred_thousand_prefixes_say_the_same_compiled),
	};

	return cmocka_run_group_tests(tests, make_cgroups, remove_cgroups);
}
