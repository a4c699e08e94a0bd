// SPDX-License-Identifier: BSD-2-Clause
/*
 * Compiles the conditions on applications and network namespaces. A path stands for the file that
 * is there now: two paths of one file are one application.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../record/service_id.h"
#include "message.h"
#include "number.h"

/* One place where a filter names a number. */
struct mention {
	uint64_t number;
	unsigned int filter;
	bool except;
};

/* A condition under construction. */
struct numbers {
	struct mention *mention;
	size_t mentions;
	struct bitmap none; /* filters that are met by numbers which nobody names */
	struct policy_cell *cell;
	size_t cells;
};

static int numbers_begin(struct numbers *numbers, size_t most)
{
	numbers->mention = calloc(most + 1, sizeof(*numbers->mention));
	numbers->cell = calloc(most + 1, sizeof(*numbers->cell));
	return numbers->mention && numbers->cell ? 0 : -ENOMEM;
}

static void numbers_end(struct numbers *numbers)
{
	free(numbers->mention);
	free(numbers->cell);
}

static void mention(struct numbers *numbers, uint64_t number, unsigned int filter, bool except)
{
	numbers->mention[numbers->mentions++] = (struct mention){ number, filter, except };
}

/* By number; exceptions last, since they prevail. */
static int compare_mentions(const void *left, const void *right)
{
	const struct mention *a = left, *b = right;

	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return a->except - b->except;
}

/* A cell with a result line for each number, and the line of all others. */
static int numbers_share(struct numbers *numbers, struct image_builder *builder, uint32_t *none)
{
	int error = image_share(builder, &numbers->none, none);
	size_t i = 0;

	qsort(numbers->mention, numbers->mentions, sizeof(*numbers->mention), compare_mentions);
	while (!error && i < numbers->mentions) {
		struct policy_cell *cell = &numbers->cell[numbers->cells++];
		struct bitmap accepting = numbers->none;

		cell->key = numbers->mention[i].number;
		for (; i < numbers->mentions && numbers->mention[i].number == cell->key; i++)
			if (numbers->mention[i].except)
				bitmap_clear(&accepting, numbers->mention[i].filter);
			else
				bitmap_set(&accepting, numbers->mention[i].filter);
		error = image_share(builder, &accepting, &cell->value);
	}
	return error;
}

/* The result line of a number. */
static uint32_t line_of(const struct numbers *numbers, uint64_t number, uint32_t none)
{
	size_t i;

	for (i = 0; i < numbers->cells; i++)
		if (numbers->cell[i].key == number)
			return numbers->cell[i].value;
	return none;
}

static int compile_namespaces(struct compilation *compilation, struct policy_more *more, bool *any)
{
	struct numbers numbers = { 0 };
	size_t count = 0, i, j;
	int error;

	for (i = 0; i < compilation->policy->filters; i++)
		count += compilation->filter[i]->match.namespaces +
			 compilation->filter[i]->except.namespaces;
	error = numbers_begin(&numbers, count);
	for (i = 0; !error && i < compilation->policy->filters; i++) {
		const struct filter *filter = compilation->filter[i];

		if (!filter->match.namespaces)
			bitmap_set(&numbers.none, i);
		for (j = 0; j < filter->match.namespaces; j++)
			mention(&numbers, filter->match.namespace[j], i, false);
		for (j = 0; j < filter->except.namespaces; j++)
			mention(&numbers, filter->except.namespace[j], i, true);
	}
	if (!error)
		error = numbers_share(&numbers, &compilation->builder, &more->namespace_none);
	if (!error)
		error = image_hash(&compilation->builder, numbers.cell, numbers.cells,
				   &more->namespaces);
	*any |= count > 0;
	numbers_end(&numbers);
	return error;
}

/* The applications of the policy, each once. */
struct applications {
	struct compilation *compilation;
	struct policy_application *entry;
	size_t count;
	struct numbers at_hand, original; /* the first by place in entry, from 1 */
};

static int refuse(const struct applications *applications, unsigned int number, const char *key,
		  const char *path, int error, const char *what)
{
	const struct compilation *compilation = applications->compilation;
	const struct filter *filter = compilation->filter[number];

	policy_error(compilation->message, compilation->policy->source, filter->line,
		     "filter \"%s\": %s \"%s\" %s", filter->name, key, excerpt(path).text, what);
	return error;
}

static bool same(const struct policy_executable *a, const struct policy_executable *b)
{
	return a->inode == b->inode && a->device == b->device && a->generation == b->generation;
}

/* Finds or adds the application of a path. */
static int application_of(struct applications *applications, unsigned int filter, const char *key,
			  const char *path, size_t *index)
{
	const struct policy_target *target = applications->compilation->target;
	struct policy_application *entry = &applications->entry[applications->count];
	char real[PATH_MAX];
	size_t i;
	int error;

	if (!target->executable)
		return refuse(applications, filter, key, path, -EOPNOTSUPP,
			      "cannot be asked for here");
	error = target->executable(path, &entry->executable, real);
	if (error == -ENOENT || error == -ENOTDIR)
		return refuse(applications, filter, key, path, -ENOENT,
			      "does not exist (install it first, or mend the path)");
	if (error)
		return refuse(applications, filter, key, path, error,
			      error == -ENOEXEC ? "is not a file that can be executed" :
						  strerror(-error));
	for (i = 0; i < applications->count; i++)
		if (same(&applications->entry[i].executable, &entry->executable)) {
			*index = i;
			return 0;
		}
	entry->number = record_service_id(real);
	snprintf(entry->path, sizeof(entry->path), "%.*s", (int)sizeof(entry->path) - 1, real);
	for (i = 0; i < applications->count; i++)
		if (applications->entry[i].number == entry->number ||
		    policy_executable_key(&applications->entry[i].executable) ==
			    policy_executable_key(&entry->executable))
			return refuse(applications, filter, key, path, -EINVAL,
				      "comes to the same number as another application of the "
				      "policy (use it under another path)");
	*index = applications->count++;
	return 0;
}

static int collect_filter(struct applications *applications, unsigned int number,
			  const struct conditions *conditions, bool except)
{
	size_t i, index;
	int error = 0;

	for (i = 0; !error && i < conditions->applications; i++) {
		error = application_of(applications, number, "application",
				       conditions->application[i], &index);
		if (!error)
			mention(&applications->at_hand, index + 1, number, except);
	}
	for (i = 0; !error && i < conditions->originals; i++) {
		error = application_of(applications, number, "original_application",
				       conditions->original[i], &index);
		if (!error)
			mention(&applications->original, applications->entry[index].number, number,
				except);
	}
	return error;
}

static int collect(struct applications *applications)
{
	const struct compilation *compilation = applications->compilation;
	size_t i, at_hand = 0, original = 0;
	int error;

	for (i = 0; i < compilation->policy->filters; i++) {
		const struct filter *filter = compilation->filter[i];

		at_hand += filter->match.applications + filter->except.applications;
		original += filter->match.originals + filter->except.originals;
	}
	applications->entry = calloc(at_hand + original + 1, sizeof(*applications->entry));
	error = applications->entry ? numbers_begin(&applications->at_hand, at_hand) : -ENOMEM;
	if (!error)
		error = numbers_begin(&applications->original, original);
	for (i = 0; !error && i < compilation->policy->filters; i++) {
		const struct filter *filter = compilation->filter[i];

		if (!filter->match.applications)
			bitmap_set(&applications->at_hand.none, i);
		if (!filter->match.originals)
			bitmap_set(&applications->original.none, i);
		error = collect_filter(applications, i, &filter->match, false);
		if (!error)
			error = collect_filter(applications, i, &filter->except, true);
	}
	return error;
}

static int write_applications(struct applications *applications, struct policy_more *more)
{
	struct image_builder *builder = &applications->compilation->builder;
	struct policy_cell *cell = calloc(applications->count + 1, sizeof(*cell));
	uint32_t first = 0;
	int error = cell ? image_append(builder, applications->count, &first) : -ENOMEM;
	size_t i;

	for (i = 0; !error && i < applications->count; i++) {
		struct policy_application *entry = &applications->entry[i];

		entry->application = line_of(&applications->at_hand, i + 1, more->application_none);
		entry->original =
			line_of(&applications->original, entry->number, more->original_none);
		memcpy(builder->line[first + i], entry, sizeof(*entry));
		cell[i] = (struct policy_cell){ .key = policy_executable_key(&entry->executable),
						.value = first + i };
	}
	if (!error)
		error = image_hash(builder, cell, applications->count, &more->executables);
	if (!error)
		error = image_hash(builder, applications->original.cell,
				   applications->original.cells, &more->originals);
	free(cell);
	return error;
}

int numbers_compile(struct compilation *compilation, struct policy_more *more, bool *any)
{
	struct applications applications = { .compilation = compilation };
	struct image_builder *builder = &compilation->builder;
	int error = collect(&applications);

	*any = applications.count > 0;
	if (!error)
		error = numbers_share(&applications.at_hand, builder, &more->application_none);
	if (!error)
		error = numbers_share(&applications.original, builder, &more->original_none);
	if (!error)
		error = write_applications(&applications, more);
	numbers_end(&applications.at_hand);
	numbers_end(&applications.original);
	free(applications.entry);
	return error ? error : compile_namespaces(compilation, more, any);
}
