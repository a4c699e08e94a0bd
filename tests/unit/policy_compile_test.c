// SPDX-License-Identifier: BSD-2-Clause
/*
 * The compiled image says the same as the policy that it was made from: thousands of random
 * policies and connections against a reference, the largest policies that there can be, and the
 * errors of what cannot be compiled.
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

#include "../../platform/policy_image.h"
#include "policy_random.h"

/* With "s/" before them these two have the same FNV-1a, found by search. */
#define COLLIDES_A "f439599"
#define COLLIDES_B "f622382"

/* Directories stand in for cgroups: all that counts of one is its inode number. */
static char root[] = "/tmp/policy_compile_test.XXXXXX";

/* Parents before children. */
static const char *const directories[] = {
	"/a",   "/a/b", "/a/b/c", "/a/b/c/d", "/a/b/c/d/e", "/a/x",
	"/a.b", "/f",   "/f/g",   "/f-g",     "/z",
};

#define DIRECTORIES (sizeof(directories) / sizeof(directories[0]))

static void path_of(char *path, size_t size, const char *cgroup)
{
	if (snprintf(path, size, "%s%s", root, cgroup) >= (int)size)
		abort();
}

static int make_cgroups(void **state)
{
	char path[256];
	size_t i;

	(void)state;
	if (!mkdtemp(root))
		return -1;
	for (i = 0; i < DIRECTORIES; i++) {
		path_of(path, sizeof(path), directories[i]);
		if (mkdir(path, 0700))
			return -1;
	}
	return 0;
}

static int remove_cgroups(void **state)
{
	char path[256];
	size_t i;

	(void)state;
	for (i = DIRECTORIES; i--;) {
		path_of(path, sizeof(path), directories[i]);
		rmdir(path);
	}
	return rmdir(root);
}

static struct policy_target target = { .cgroup_root = root, .generation = 7 };

static struct policy_image compile(const struct policy *policy)
{
	struct message message = { .text = "" };
	struct policy_image image;
	int error = policy_compile(policy, &target, &image, &message);

	if (error)
		print_error("%s\n", message.text);
	assert_int_equal(error, 0);
	return image;
}

static const struct policy_header *header_of(const struct policy_image *image)
{
	return policy_line(image, 0);
}

/* The nearest named cgroup, as the kernel half looks for it: NULL if there is none. */
static const struct policy_cell *cell_of(const struct policy_image *image, const char *cgroup)
{
	const struct policy_header *header = header_of(image);
	const struct policy_cell *cell = NULL, *found;
	char path[256], *end;
	struct stat status;
	int level = 0;

	path_of(path, sizeof(path), cgroup);
	if (!strcmp(cgroup, "/"))
		return NULL;
	for (end = path + strlen(root); *end; level++) {
		char after;

		end += 1 + strcspn(end + 1, "/");
		after = *end;
		*end = 0;
		assert_int_equal(stat(path, &status), 0);
		*end = after;
		found = policy_hash_find(image, &header->cgroups, status.st_ino);
		if (header->cgroup_levels >> (level + 1) & 1)
			cell = found ? found : cell;
		else
			assert_null(found);
	}
	return cell;
}

/* The filters that match according to the image have to be those of the reference, in its order. */
static void compare_filters(const struct policy *policy, const struct policy_image *image,
			    const struct connection *connection)
{
	const struct policy_header *header = header_of(image);
	const struct policy_cell *cell = cell_of(image, connection->cgroup);
	struct policy_query query = {
		.remote = &connection->remote,
		.udp = connection->udp,
		.uid = connection->user,
		.gid = connection->group,
		.interface = connection->interface,
		.local = &connection->local,
		.cgroup_line = cell ? cell->value : header->cgroup_none,
	};
	const struct filter *expected[POLICY_FILTERS_MAX];
	size_t count = reference_matches(policy, connection, expected), i = 0;
	struct policy_match match;
	uint32_t filter = POLICY_FILTERS_MAX;

	if (policy_match(image, header, &query, &match))
		filter = policy_next(header, &match, 0);
	for (; filter != POLICY_FILTERS_MAX; filter = policy_next(header, &match, filter + 1)) {
		const struct policy_filter *line = policy_filter(image, header, filter);
		const struct policy_service *service;

		assert_non_null(line);
		assert_true(i < count);
		assert_string_equal(line->name, expected[i]->name);
		assert_int_equal(line->action, expected[i]->action);
		assert_int_equal(line->weight, expected[i]->weight);
		service = policy_service(image, header, line->slot);
		assert_non_null(service);
		assert_string_equal(service->name, expected[i]->service);
		assert_true(filter >= service->first_filter &&
			    filter < service->first_filter + service->filters);
		i++;
	}
	assert_int_equal(i, count);
}

static void compare_identity(const struct policy *policy, const struct policy_image *image,
			     uint32_t user, const char *cgroup)
{
	const struct policy_header *header = header_of(image);
	const struct policy_cell *cell = cell_of(image, cgroup);
	uint32_t by_cgroup = cell ? cell->value2 : header->cgroup_none_services, by_user;
	uint64_t mask = 0;
	size_t i, slot;

	by_user = policy_table_find(image, header->service_user, policy_value32(user), 32);
	if (by_cgroup && by_user)
		mask = *(const uint64_t *)policy_line(image, by_cgroup) &
		       *(const uint64_t *)policy_line(image, by_user);
	for (i = 0; i < policy->services; i++) {
		const struct service *service = &policy->service[i];
		const struct policy_cell *id =
			policy_hash_find(image, &header->ids, policy_service_id(service->name));

		assert_non_null(id);
		slot = id->value;
		assert_string_equal(policy_service(image, header, slot)->name, service->name);
		assert_int_equal(mask >> slot & 1,
				 reference_is_service(policy, service, user, cgroup));
	}
}

/* Compiles, unless the exceptions of a filter leave nothing: that is refused, and said. */
static bool possible(struct policy *policy, struct policy_image *image)
{
	struct message message = { .text = "" };
	int error = policy_compile(policy, &target, image, &message);

	if (!error)
		return true;
	assert_int_equal(error, -EINVAL);
	assert_non_null(strstr(message.text, "can match nothing: its exceptions leave no"));
	return false;
}

/* Takes filters that can match nothing out of a policy that is to be compiled as it is. */
static struct policy_image compile_possible(struct policy *policy)
{
	struct policy_image image;

	while (!possible(policy, &image))
		for (size_t i = 0; i < policy->filters; i++) {
			struct conditions *except = &policy->filter[i].except;

			except->remotes = except->locals = except->ports = except->users =
				except->groups = except->interfaces = 0;
		}
	return image;
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
			struct connection connection = random_connection(policy);

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
		struct connection connection = random_connection(policy);

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
		struct connection connection = random_connection(policy);

		compare_filters(policy, &image, &connection);
	}
	free(image.line);
	policy_free(policy);
}

static void an_image_too_large_is_refused_with_its_size(void **state)
{
	struct message message;
	struct policy_image image;
	struct policy *policy;
	unsigned long over;
	int i, byte;

	(void)state;
	random_seed(43);
	policy = random_policy(1, 1);
	for (i = 0; i < 280000; i++) {
		struct prefix prefix = { .length = 128 };

		for (byte = 0; byte < 16; byte++)
			prefix.address[byte] = random_number();
		add_prefix(&policy->filter[0], prefix);
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

/* Takes away what was random of its conditions. */
static void any_connection(struct filter *filter)
{
	struct conditions *both[] = { &filter->match, &filter->except };
	size_t i;

	for (i = 0; i < 2; i++) {
		both[i]->remotes = both[i]->locals = both[i]->ports = both[i]->users =
			both[i]->groups = both[i]->interfaces = 0;
		while (both[i]->cgroups)
			free(both[i]->cgroup[--both[i]->cgroups]);
	}
	filter->match.tcp = filter->match.udp = true;
}

static void a_policy_without_conditions_has_no_trees(void **state)
{
	struct policy *policy = random_policy(0, 0);
	const struct policy_header *header;
	struct policy_image image = compile(policy);
	struct connection connection = random_connection(policy);

	(void)state;
	header = header_of(&image);
	assert_int_equal(header->remote4, POLICY_LEAF);
	assert_int_equal(header->cgroup_none, 0);
	assert_int_equal(header->tcp, 0);
	compare_filters(policy, &image, &connection);
	free(image.line);
	policy_free(policy);

	policy = random_policy(1, 1);
	any_connection(&policy->filter[0]);
	policy->filter[0].action = POLICY_PERMIT;
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

/* One prefix costs a line for each level of the tree that it goes down, and no more. */
static void a_prefix_costs_its_levels(void **state)
{
	static const struct prefix ten = { .address = { [10] = 0xff, 0xff, 10 }, 8, true };
	static const struct prefix site = { .address = { 0x20, 1, 0xd, 0xb8 }, 32, false };
	struct policy *policy = random_policy(1, 1);
	struct filter *filter = &policy->filter[0];
	struct policy_image image;
	size_t lines;

	(void)state;
	any_connection(filter);
	filter->action = POLICY_PERMIT;
	image = compile(policy);
	lines = image.lines;
	free(image.line);
	add_prefix(filter, ten);
	image = compile(policy);
	assert_int_equal(image.lines, lines + 2);
	free(image.line);
	add_prefix(filter, site);
	image = compile(policy);
	assert_int_equal(image.lines, lines + 2 + 7);
	free(image.line);
	free(filter->match.port);
	filter->match.port = calloc(1, sizeof(*filter->match.port));
	filter->match.ports = 1;
	filter->match.port[0] = (struct range){ 443, 443 };
	image = compile(policy);
	assert_int_equal(image.lines, lines + 2 + 7 + 4);
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
	"    when_down: pass }\n"
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
		cmocka_unit_test(random_policies_say_the_same_compiled),
		cmocka_unit_test(the_most_filters_say_the_same_compiled),
		cmocka_unit_test(a_hundred_thousand_prefixes_say_the_same_compiled),
		cmocka_unit_test(an_image_too_large_is_refused_with_its_size),
		cmocka_unit_test(a_policy_without_conditions_has_no_trees),
		cmocka_unit_test(a_prefix_costs_its_levels),
		cmocka_unit_test(a_hash_finds_every_key),
		cmocka_unit_test(the_image_has_all_that_the_policy_says),
		cmocka_unit_test(filter_ids_are_different),
		cmocka_unit_test(what_cannot_be_compiled_is_said),
		cmocka_unit_test(a_policy_not_from_a_file_is_checked),
	};

	return cmocka_run_group_tests(tests, make_cgroups, remove_cgroups);
}
