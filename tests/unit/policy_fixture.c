// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the tests of compiled policies share: cgroups and executables to name, and questions to ask.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "policy_fixture.h"

/* Directories stand in for cgroups: all that counts of one is its inode number. */
static char root[] = "/tmp/policy_test.XXXXXX";

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

int make_cgroups(void **state)
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

int remove_cgroups(void **state)
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

struct policy_target target = {
	.cgroup_root = root,
	.generation = 7,
	.executable = random_executable,
};

struct policy_image compile(const struct policy *policy)
{
	struct message message = { .text = "" };
	struct policy_image image;
	int error = policy_compile(policy, &target, &image, &message);

	if (error)
		print_error("%s\n", message.text);
	assert_int_equal(error, 0);
	return image;
}

/* The nearest named cgroup, as the kernel half looks for it: NULL if there is none. */
const struct policy_cell *cell_of(const struct policy_image *image, const char *cgroup)
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

struct question question_of(const struct policy_image *image, const struct client *connection)
{
	const struct policy_header *header = header_of(image);
	const struct policy_more *more = header->more ? policy_line(image, header->more) : NULL;
	const struct policy_cell *cell = cell_of(image, connection->cgroup);
	struct policy_executable executable = random_executable_number(connection->application);
	struct question question = {
		.to = { .destination = connection->remote,
			.hop_count = connection->onward,
			.udp = connection->udp },
		.local = connection->local,
		.netns = connection->netns,
		.scope = cell ? cell->key : 0,
		.uid = connection->user,
		.gid = connection->group,
		.interface = connection->interface,
		.original =
			connection->onward ? random_application_number(connection->original) : 0,
	};

	if (more)
		question.application = policy_application_find(image, more, &executable);
	return question;
}

bool matches(const struct policy_image *image, const struct question *question, struct match *match)
{
	uint32_t application;

	return match_destination(image, header_of(image), &question->to, match) &&
	       match_rest(image, header_of(image), question, match, &application);
}

/* Compiles, unless the exceptions of a filter leave nothing: that is refused, and said. */
bool possible(struct policy *policy, struct policy_image *image)
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
struct policy_image compile_possible(struct policy *policy)
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

/* Takes away what was random of its conditions. */
void any_connection(struct filter *filter)
{
	struct conditions *both[] = { &filter->match, &filter->except };
	size_t i;

	for (i = 0; i < 2; i++) {
		both[i]->remotes = both[i]->locals = both[i]->ports = both[i]->users =
			both[i]->groups = both[i]->interfaces = both[i]->namespaces = 0;
		while (both[i]->cgroups)
			free(both[i]->cgroup[--both[i]->cgroups]);
		while (both[i]->applications)
			free(both[i]->application[--both[i]->applications]);
		while (both[i]->originals)
			free(both[i]->original[--both[i]->originals]);
	}
	filter->match.tcp = filter->match.udp = true;
}

void compare_filters(const struct policy *policy, const struct policy_image *image,
		     const struct client *connection)
{
	const struct policy_header *header = header_of(image);
	struct question question = question_of(image, connection);
	const struct filter *expected[POLICY_FILTERS_MAX];
	size_t count = reference_matches(policy, connection, expected), i = 0;
	struct match match;
	uint32_t filter = POLICY_FILTERS_MAX;

	if (matches(image, &question, &match))
		filter = match_next(image, header, &match, 0);
	for (; filter != POLICY_FILTERS_MAX;
	     filter = match_next(image, header, &match, filter + 1)) {
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
