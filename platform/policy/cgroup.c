// SPDX-License-Identifier: BSD-2-Clause
/*
 * Compiles the cgroups of a policy. Sorted so that a cgroup follows the one it is below, each
 * inherits what holds above it. "/" is every cgroup and needs no cell: it is what holds in none.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cgroup.h"
#include "message.h"

/* header->cgroup_levels has a bit for each level. */
#define LEVELS 32

enum mention_kind {
	MENTION_FILTER,
	MENTION_EXCEPT,
	MENTION_SERVICE,
	MENTION_LISTENER,
	MENTION_NO_SERVICE
};

/* One place where the policy names a cgroup. */
struct mention {
	const char *path;
	enum mention_kind kind;
	size_t index;
};

/* What holds in a cgroup. */
struct scope {
	const char *path;
	struct bitmap filters, exceptions;
	uint64_t services[POLICY_SERVICES_WORDS];
	bool no_service;
};

struct cgroups {
	struct compilation *compilation;
	const struct policy_header *header;
	struct mention *mention;
	size_t mentions;
	struct policy_cell *cell;
	size_t cells;
	struct scope scope[LEVELS + 1]; /* the root, then the ancestors of the cgroup at hand */
	uint32_t levels;
};

/* As strcmp, but '/' comes before everything else: whatever is below a cgroup directly follows it.
 */
static int compare_mentions(const void *left, const void *right)
{
	const unsigned char *a = (const unsigned char *)((const struct mention *)left)->path;
	const unsigned char *b = (const unsigned char *)((const struct mention *)right)->path;

	for (; *a && *a == *b; a++)
		b++;
	if (*a && *b && (*a == '/' || *b == '/'))
		return *a == '/' ? -1 : 1;
	return *a - *b;
}

static void apply(struct scope *scope, const struct mention *mention)
{
	if (mention->kind == MENTION_FILTER)
		bitmap_set(&scope->filters, mention->index);
	else if (mention->kind == MENTION_EXCEPT)
		bitmap_set(&scope->exceptions, mention->index);
	else if (mention->kind == MENTION_SERVICE)
		scope->services[POLICY_SERVICE] |= 1ULL << mention->index;
	else if (mention->kind == MENTION_LISTENER)
		scope->services[POLICY_LISTENER] |= 1ULL << mention->index;
	else
		scope->no_service = true;
}

/* Notes a mention; those of the root hold everywhere at once. */
static void note(struct cgroups *cgroups, const char *path, enum mention_kind kind, size_t index)
{
	struct mention mention = { path, kind, index };

	if (!path || !strcmp(path, "/"))
		apply(&cgroups->scope[0], &mention);
	else
		cgroups->mention[cgroups->mentions++] = mention;
}

static int collect(struct cgroups *cgroups)
{
	const struct compilation *compilation = cgroups->compilation;
	const struct policy *policy = compilation->policy;
	size_t count = 2 * policy->services + policy->no_services + 1, i, j;

	for (i = 0; i < policy->filters; i++)
		count += policy->filter[i].match.cgroups + policy->filter[i].except.cgroups;
	cgroups->mention = calloc(count, sizeof(*cgroups->mention));
	cgroups->cell = calloc(count, sizeof(*cgroups->cell));
	if (!cgroups->mention || !cgroups->cell)
		return -ENOMEM;
	cgroups->scope[0].path = "";
	for (i = 0; i < policy->filters; i++) {
		const struct filter *filter = compilation->filter[i];

		if (!filter->match.cgroups)
			note(cgroups, NULL, MENTION_FILTER, i);
		for (j = 0; j < filter->match.cgroups; j++)
			note(cgroups, filter->match.cgroup[j], MENTION_FILTER, i);
		for (j = 0; j < filter->except.cgroups; j++)
			note(cgroups, filter->except.cgroup[j], MENTION_EXCEPT, i);
	}
	for (i = 0; i < policy->services; i++) {
		const struct service_identity *listener = &compilation->service[i]->listener;

		note(cgroups, compilation->service[i]->identity.cgroup, MENTION_SERVICE, i);
		if (listener->has_user || listener->cgroup)
			note(cgroups, listener->cgroup, MENTION_LISTENER, i);
	}
	for (i = 0; i < policy->no_services; i++)
		note(cgroups, policy->no_service[i], MENTION_NO_SERVICE, i);
	qsort(cgroups->mention, cgroups->mentions, sizeof(*cgroups->mention), compare_mentions);
	return 0;
}

static int refuse(const struct cgroups *cgroups, const struct mention *mention, int error,
		  const char *what)
{
	const struct compilation *compilation = cgroups->compilation;
	const char *kind = "nobody's", *name = "service";
	unsigned int line = 0;

	if (mention->kind == MENTION_FILTER || mention->kind == MENTION_EXCEPT) {
		kind = "filter";
		name = compilation->filter[mention->index]->name;
		line = compilation->filter[mention->index]->line;
	} else if (mention->kind == MENTION_SERVICE || mention->kind == MENTION_LISTENER) {
		kind = mention->kind == MENTION_SERVICE ? "service" : "listener of service";
		name = compilation->service[mention->index]->name;
		line = compilation->service[mention->index]->line;
	}
	policy_error(compilation->message, compilation->policy->source, line,
		     "%s \"%s\": cgroup \"%s\" %s", kind, name, excerpt(mention->path).text, what);
	return error;
}

/* The id of a cgroup is the inode number of its directory. */
static int find_id(const struct cgroups *cgroups, const struct mention *mention, __u64 *id)
{
	char path[8192];
	struct stat status;

	if (snprintf(path, sizeof(path), "%s%s", cgroups->compilation->target->cgroup_root,
		     mention->path) >= (int)sizeof(path))
		return refuse(cgroups, mention, -EINVAL, "has too long a path");
	if (lstat(path, &status) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return refuse(
				cgroups, mention, -ENOENT,
				"does not exist (start what makes it first, or mend the path)");
		return refuse(cgroups, mention, -errno, strerror(errno));
	}
	if (!S_ISDIR(status.st_mode) || !status.st_ino)
		return refuse(cgroups, mention, -ENOENT, "is not a cgroup");
	*id = status.st_ino;
	return 0;
}

static bool is_below(const char *path, const char *ancestor)
{
	size_t length = strlen(ancestor);

	return !strncmp(path, ancestor, length) && path[length] == '/';
}

static int count_levels(const char *path)
{
	int levels = 0;

	for (; *path; path++)
		levels += *path == '/';
	return levels;
}

/* The lines of a scope: of its filters, and of its services. */
static int share_scope(struct image_builder *builder, const struct scope *scope, uint32_t *filters,
		       uint32_t *services)
{
	struct bitmap mask = { 0 }, accepting = scope->filters;
	size_t i;
	int error;

	for (i = 0; i < POLICY_WORDS; i++)
		accepting.word[i] &= ~scope->exceptions.word[i];
	error = image_share(builder, &accepting, filters);
	if (!scope->no_service)
		memcpy(mask.word, scope->services, sizeof(scope->services));
	return error ? error : image_share(builder, &mask, services);
}

static struct policy_service *service_line(const struct cgroups *cgroups, size_t slot)
{
	uint32_t line = cgroups->header->service_line + slot;

	return (void *)cgroups->compilation->builder.line[line];
}

/* Compiles the cgroup of the mentions from first to before end, which are all of the same one. */
static int compile_cgroup(struct cgroups *cgroups, size_t first, size_t end, size_t *depth)
{
	const struct mention *mention = &cgroups->mention[first];
	struct policy_cell *cell = &cgroups->cell[cgroups->cells];
	int level = count_levels(mention->path), error;
	struct scope *scope;

	if (level >= LEVELS)
		return refuse(cgroups, mention, -EINVAL,
			      "is too deep (31 levels below the root at most)");
	error = find_id(cgroups, mention, &cell->key);
	if (error)
		return error;
	while (*depth && !is_below(mention->path, cgroups->scope[*depth].path))
		(*depth)--;
	scope = &cgroups->scope[++*depth];
	*scope = cgroups->scope[*depth - 1];
	scope->path = mention->path;
	for (; first < end; first++) {
		apply(scope, &cgroups->mention[first]);
		if (cgroups->mention[first].kind == MENTION_SERVICE)
			service_line(cgroups, cgroups->mention[first].index)->cgroup = cell->key;
	}
	cgroups->levels |= 1U << level;
	cgroups->cells++;
	return share_scope(&cgroups->compilation->builder, scope, &cell->value, &cell->value2);
}

int cgroups_compile(struct compilation *compilation, struct policy_header *header)
{
	struct cgroups *cgroups = calloc(1, sizeof(*cgroups));
	size_t first, end, depth = 0;
	int error;

	if (!cgroups)
		return -ENOMEM;
	cgroups->compilation = compilation;
	cgroups->header = header;
	error = collect(cgroups);
	for (first = 0; !error && first < cgroups->mentions; first = end) {
		end = first + 1;
		while (end < cgroups->mentions &&
		       !strcmp(cgroups->mention[first].path, cgroups->mention[end].path))
			end++;
		error = compile_cgroup(cgroups, first, end, &depth);
	}
	if (!error)
		error = image_hash(&compilation->builder, cgroups->cell, cgroups->cells,
				   &header->cgroups);
	if (!error)
		error = share_scope(&compilation->builder, &cgroups->scope[0], &header->cgroup_none,
				    &header->cgroup_none_services);
	header->cgroup_levels =
		cgroups->levels && compilation->target->levels_unknown ? ~0U : cgroups->levels;
	free(cgroups->mention);
	free(cgroups->cell);
	free(cgroups);
	return error;
}
