// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a compiled image holds, how large the largest may be, and the errors of what cannot be
 * compiled.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../platform/policy/image.h"
#include "policy_fixture.h"

/* With "s/" before them these two have the same FNV-1a, found by search. */
#define COLLIDES_A "f439599"
#define COLLIDES_B "f622382"

/*
 * Ranges of users that overlap at random: at each end of one another set of filters begins, so there
 * is nothing to skip, and no two lines are equal.
 */
static void an_image_too_large_is_refused_with_its_size(void **state)
{
	enum { FILTERS = 1000, RANGES = 950, LONGEST = 100000 };
	struct policy_image image;
	struct message message;
	struct policy *policy;
	unsigned long over;
	int i, j;

	(void)state;
	random_seed(43);
	policy = random_policy(1, FILTERS);
	for (i = 0; i < FILTERS; i++) {
		struct conditions *match = &policy->filter[i].match;

		any_connection(&policy->filter[i]);
		free(match->user);
		match->user = calloc(RANGES, sizeof(*match->user));
		for (j = 0; j < RANGES; j++) {
			match->user[j].from = random_number() % (UINT32_MAX - LONGEST);
			match->user[j].to = match->user[j].from + random_number() % LONGEST;
		}
		match->users = RANGES;
	}
	assert_int_equal(policy_compile(policy, &target, &image, &message), -E2BIG);
	assert_null(image.line);
	assert_int_equal(sscanf(message.text,
				"random: its image has %lu lines more than the limit of "
				"4194304 (use fewer prefixes;",
				&over),
			 1);
	assert_in_range(over, 1, 4000000);
	policy_free(policy);
}

/* A policy of one filter that any connection matches, of a service that its cgroup tells. */
static struct policy *plain_policy(void)
{
	struct policy *policy = random_policy(1, 1);
	struct service *service = &policy->service[0];

	free(service->identity.cgroup);
	free(service->listener.cgroup);
	service->listener = (struct service_identity){ 0 };
	service->identity = (struct service_identity){ .cgroup = strdup(random_cgroup[0]) };
	any_connection(&policy->filter[0]);
	policy->filter[0].action = POLICY_PERMIT;
	return policy;
}

static void a_policy_without_conditions_has_no_trees(void **state)
{
	struct policy *policy = random_policy(0, 0);
	const struct policy_header *header;
	struct policy_image image = compile(policy);
	struct client connection = random_connection(policy);

	(void)state;
	header = header_of(&image);
	assert_int_equal(header->remote4, POLICY_LEAF);
	assert_int_equal(header->cgroup_none, 0);
	assert_int_equal(header->tcp, 0);
	compare_filters(policy, &image, &connection);
	free(image.line);
	policy_free(policy);

	policy = plain_policy();
	image = compile(policy);
	header = header_of(&image);
	assert_true(header->remote4 > POLICY_LEAF);
	assert_int_equal(header->remote6, header->remote4);
	assert_int_equal(header->remote_port, header->remote4);
	assert_int_equal(header->user, header->remote4);
	assert_int_equal(header->tcp, header->remote4 & ~POLICY_LEAF);
	assert_int_equal(header->more, 0);
	free(image.line);
	policy_free(policy);
}

/* A table with one range is one skip, or a few; eight of them are a line. */
static void a_prefix_costs_a_skip(void **state)
{
	static const struct prefix ten = { .address = { [10] = 0xff, 0xff, 10 }, 8, true };
	static const struct prefix host = { .address = { 0x20, 1, 0xd, 0xb8, [15] = 1 },
					    128,
					    false };
	static const struct prefix beside = { .address = { 0x20, 1, 0xd, 0xb8, [15] = 2 },
					      128,
					      false };
	struct policy *policy = plain_policy();
	struct filter *filter = &policy->filter[0];
	struct policy_image image;
	size_t lines;

	(void)state;
	image = compile(policy);
	lines = image.lines;
	free(image.line);
	add_prefix(filter, ten);
	image = compile(policy);
	assert_int_equal(image.lines, lines + 1);
	assert_int_equal(header_of(&image)->remote4 & (POLICY_LEAF | POLICY_SKIP), POLICY_SKIP);
	free(image.line);
	add_prefix(filter, host);
	free(filter->match.port);
	filter->match.port = calloc(1, sizeof(*filter->match.port));
	filter->match.ports = 1;
	filter->match.port[0] = (struct range){ 443, 443 };
	filter->match.udp = false;
	image = compile(policy);
	assert_int_equal(image.lines, lines + 1);
	free(image.line);
	/* Two ways out, at the last bits: a line for these, and skips to it. */
	add_prefix(filter, beside);
	image = compile(policy);
	assert_int_equal(image.lines, lines + 2);
	free(image.line);
	policy_free(policy);
}

/* Neighbours, copies, and prefixes within others cost nothing, in whatever order they come. */
static void prefixes_that_add_nothing_cost_nothing(void **state)
{
	static const struct prefix prefixes[] = {
		{ .address = { [10] = 0xff, 0xff, 10, 128 }, 9, true },
		{ .address = { [10] = 0xff, 0xff, 10, 1 }, 16, true },
		{ .address = { [10] = 0xff, 0xff, 10 }, 9, true },
		{ .address = { [10] = 0xff, 0xff, 10, 128 }, 9, true },
		{ .address = { [10] = 0xff, 0xff, 10, 1, 2, 3 }, 32, true },
	};
	struct policy *policy = plain_policy();
	struct filter *filter = &policy->filter[0];
	struct policy_image image;
	size_t lines, i;

	(void)state;
	image = compile(policy);
	lines = image.lines;
	free(image.line);
	for (i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		add_prefix(filter, prefixes[i]);
	image = compile(policy);
	assert_int_equal(image.lines, lines + 1);
	free(image.line);
	policy_free(policy);
}

static void a_hash_finds_every_key(void **state)
{
	const size_t keys = 30000;
	struct policy_cell *cell = calloc(keys, sizeof(*cell));
	struct image_builder builder = { 0 };
	struct policy_image image;
	struct policy_hash hash;
	uint32_t first;
	size_t i;

	(void)state;
	/* Inode numbers: some in sequence, some with a generation above. */
	for (i = 0; i < keys; i++)
		cell[i] =
			(struct policy_cell){ .key = i % 2 ? i : i | (i % 100) << 32, .value = i };
	assert_int_equal(image_append(&builder, 1, &first), 0);
	cell[0].key = UINT64_MAX;
	assert_int_equal(image_hash(&builder, cell, keys, &hash), 0);
	image = (struct policy_image){ builder.line, builder.lines };
	assert_true(hash.cells <= 8 * keys);
	for (i = 0; i < keys; i++) {
		const struct policy_cell *found = policy_hash_find(&image, &hash, cell[i].key);

		assert_non_null(found);
		assert_int_equal(found->value, i);
	}
	assert_null(policy_hash_find(&image, &hash, 1ULL << 50));
	image_release(&builder);
	free(cell);
}

static int number_context(void *data, const void *bytes, size_t size, uint32_t *number,
			  struct message *message)
{
	if (size == 3 && !memcmp(bytes, "bad", 3)) {
		snprintf(message->text, sizeof(message->text), "no room for it");
		return -ENOSPC;
	}
	*number = ++*(uint32_t *)data;
	return 0;
}

static const char full[] =
	"version: 1\n"
	"limits: { hops: 5, records_expire: 60s, datagram_idle: 30s }\n"
	"services:\n"
	"- { name: low, weight: 1, endpoint: { tcp: 9001, udp: 9003 }, identity: { user: 990 } }\n"
	"- { name: high, weight: 2, endpoint: { tcp: 9002 }, identity: { cgroup: /a/b },\n"
	"    listener: { user: 0 }, when_down: pass }\n"
	"filters:\n"
	"- { name: one, service: low, action: redirect, context: abc }\n"
	"- { name: two, service: high, weight: 3, action: block }\n"
	"- { name: one, service: high, weight: 4, action: redirect, context: \"x\" }\n";

static void the_image_has_all_that_the_policy_says(void **state)
{
	struct timespec now;
	struct policy_target numbering = target;
	const struct policy_service *service;
	const struct policy_filter *filter;
	const struct policy_header *header;
	const struct policy_cell *cell;
	struct policy_image image;
	struct message message;
	struct policy *policy;
	uint32_t contexts = 10;

	(void)state;
	numbering.context_number = number_context;
	numbering.data = &contexts;
	assert_int_equal(policy_load_text("full.yaml", full, strlen(full), &policy, &message), 0);
	assert_int_equal(policy_compile(policy, &numbering, &image, &message), 0);
	header = header_of(&image);
	assert_int_equal(header->magic, POLICY_MAGIC);
	assert_int_equal(header->layout, POLICY_LAYOUT);
	assert_int_equal(header->hop_limit, 5);
	assert_int_equal(header->generation, 7);
	assert_int_equal(header->lines, image.lines);
	assert_int_equal(header->services, 2);
	assert_int_equal(header->filters, 3);
	assert_int_equal(header->words, 1);
	assert_int_equal(header->records_expire, 60000000000ULL);
	clock_gettime(CLOCK_BOOTTIME, &now);
	assert_true(header->applied <= now.tv_sec * 1000000000ULL + now.tv_nsec);
	assert_true(header->applied + 60000000000 > now.tv_sec * 1000000000ULL);
	/* What "low" redirects, and what is blocked, is of both protocols; "high" has TCP alone. */
	assert_int_equal(*(const uint64_t *)policy_line(&image, header->tcp), 7);
	assert_int_equal(*(const uint64_t *)policy_line(&image, header->udp), 6);
	assert_int_equal(header->flow_idle, 30000);
	assert_int_equal(header->cgroup_levels, 1 << 2);
	assert_string_equal(policy_line(&image, header->source_line), "full.yaml");

	service = policy_service(&image, header, 0);
	assert_string_equal(service->name, "high");
	cell = cell_of(&image, "/a/b");
	assert_int_equal(service->cgroup, cell->key);
	assert_false(service->has_user);
	service = policy_service(&image, header, 1);
	assert_int_equal(service->cgroup, 0);
	assert_true(service->has_user);
	assert_int_equal(service->user, 990);
	service = policy_service(&image, header, 0);
	assert_int_equal(service->id, policy_service_id("high"));
	assert_int_equal(service->weight, 2);
	assert_int_equal(service->tcp_port, htons(9002));
	assert_int_equal(service->udp_port, 0);
	assert_int_equal(service->when_down, POLICY_DOWN_PASS);
	assert_int_equal(service->has4 + service->has6, 2);
	assert_int_equal(service->first_filter, 0);
	assert_int_equal(service->filters, 2);
	service = policy_service(&image, header, 1);
	assert_int_equal(service->udp_port, htons(9003));
	assert_int_equal(service->when_down, POLICY_DOWN_BLOCK);
	assert_int_equal(service->first_filter, 2);
	assert_int_equal(service->filters, 1);
	assert_memory_equal(service->address4, ((uint8_t[]){ 127, 0, 0, 1 }), 4);
	assert_null(policy_service(&image, header, 2));

	filter = policy_filter(&image, header, 0);
	assert_string_equal(filter->name, "one");
	assert_int_equal(filter->id, policy_service_id("high/one"));
	assert_int_equal(filter->slot, 0);
	assert_int_equal(filter->context, 11);
	assert_int_equal(filter->context_size, 1);
	filter = policy_filter(&image, header, 1);
	assert_string_equal(filter->name, "two");
	assert_int_equal(filter->context + filter->context_size, 0);
	filter = policy_filter(&image, header, 2);
	assert_int_equal(filter->id, policy_service_id("low/one"));
	assert_int_equal(filter->slot, 1);
	assert_int_equal(filter->context, 12);

	cell = policy_hash_find(&image, &header->endpoints, 1 + 9001);
	assert_non_null(cell);
	assert_int_equal(cell->value, 1);
	assert_null(policy_hash_find(&image, &header->endpoints, 1 + 9003));
	assert_null(policy_hash_find(&image, &header->endpoints, 1));
	free(image.line);
	policy_free(policy);
}

static void filter_ids_are_different(void **state)
{
	struct policy *policy = random_policy(1, 2);
	const struct policy_header *header;
	struct policy_image image;

	(void)state;
	free(policy->service[0].name);
	policy->service[0].name = strdup("s");
	for (size_t i = 0; i < 2; i++) {
		free(policy->filter[i].service);
		policy->filter[i].service = strdup("s");
		free(policy->filter[i].name);
		policy->filter[i].name = strdup(i ? COLLIDES_B : COLLIDES_A);
		policy->filter[i].weight = 0;
	}
	assert_int_equal(policy_service_id("s/" COLLIDES_A), policy_service_id("s/" COLLIDES_B));
	image = compile(policy);
	header = header_of(&image);
	assert_int_equal(policy_filter(&image, header, 0)->id, policy_service_id("s/" COLLIDES_A));
	assert_int_equal(policy_filter(&image, header, 1)->id,
			 policy_service_id("s/" COLLIDES_A) + 1);
	free(image.line);
	policy_free(policy);
}

static void fails_with(const char *text, int expected, const char *said)
{
	struct policy_target numbering = target;
	struct policy_image image;
	struct message message;
	struct policy *policy;
	uint32_t contexts = 0;

	numbering.context_number = number_context;
	numbering.data = &contexts;
	assert_int_equal(policy_load_text("policy.yaml", text, strlen(text), &policy, &message), 0);
	assert_int_equal(policy_compile(policy, &numbering, &image, &message), expected);
	assert_string_equal(message.text, said);
	assert_null(image.line);
	policy_free(policy);
}

#define SERVICE                                                                                    \
	"version: 1\nservices:\n- { name: a, weight: 1, endpoint: { tcp: 1 }, identity: { user: 1 } }\n"

static void what_cannot_be_compiled_is_said(void **state)
{
	(void)state;
	fails_with(
		SERVICE "filters:\n- name: b\n  service: a\n  action: block\n"
			"  match: { cgroup: [ /a, /nowhere ] }\n",
		-ENOENT,
		"policy.yaml:5: filter \"b\": cgroup \"/nowhere\" does not exist (start what makes "
		"it first, or mend the path)");
	fails_with(
		"version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity: { cgroup: /nowhere }\n",
		-ENOENT,
		"policy.yaml:3: service \"a\": cgroup \"/nowhere\" does not exist (start what makes "
		"it first, or mend the path)");
	fails_with(
		"version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity: { user: 1 }\n  listener: { cgroup: /nowhere }\n",
		-ENOENT,
		"policy.yaml:3: listener of service \"a\": cgroup \"/nowhere\" does not exist (start "
		"what makes it first, or mend the path)");
	fails_with(SERVICE "filters:\n- { name: b, service: a, action: redirect, context: bad }\n",
		   -ENOSPC, "no room for it");
	fails_with(
		SERVICE "filters:\n- { name: b, service: a, action: block, match: { cgroup: "
			"/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2 } }\n",
		-EINVAL,
		"policy.yaml:5: filter \"b\": cgroup "
		"\"/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0...\" is too deep "
		"(31 levels below the root at most)");
}

/* A policy that is not from a file is checked too, without lines. */
static void a_policy_not_from_a_file_is_checked(void **state)
{
	struct policy *policy = random_policy(2, 0);
	struct policy_image image;
	struct message message;

	(void)state;
	policy->service[1].weight = policy->service[0].weight = 5;
	assert_int_equal(policy_compile(policy, &target, &image, &message), -EINVAL);
	assert_string_equal(
		message.text,
		"random: services \"service-1\" and \"service-0\" have the same weight 5, "
		"which leaves their order to accident (give one another weight)");
	policy_free(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_too_large_is_refused_with_its_size),
		cmocka_unit_test(a_policy_without_conditions_has_no_trees),
		cmocka_unit_test(a_prefix_costs_a_skip),
		cmocka_unit_test(prefixes_that_add_nothing_cost_nothing),
		cmocka_unit_test(a_hash_finds_every_key),
		cmocka_unit_test(the_image_has_all_that_the_policy_says),
		cmocka_unit_test(filter_ids_are_different),
		cmocka_unit_test(what_cannot_be_compiled_is_said),
		cmocka_unit_test(a_policy_not_from_a_file_is_checked),
	};

	return cmocka_run_group_tests(tests, make_cgroups, remove_cgroups);
}
