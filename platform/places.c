// SPDX-License-Identifier: BSD-2-Clause
/*
 * Where the option hooks sit. A link goes with its cgroup, and systemd removes a unit's when the unit
 * stops: so it is not there that they are attached, but to the nearest cgroup above that no unit
 * owns, as a slice.
 */
#include "instance.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* A path that the hooks belong on: the first bytes of that of a service. */
struct place {
	char path[PATH_MAX];
	const struct service *service;
};

struct search {
	const struct policy *policy;
	const char *root; /* the instance's cgroup */
	struct places *places;
	struct place place[PLACES_MAX];
};

static bool ends_with(const char *name, size_t length, const char *end)
{
	return length > strlen(end) && !strncmp(name + length - strlen(end), end, strlen(end));
}

/*
 * Whether a cgroup of that name comes and goes with a unit. Slices stay when units in them go, and
 * so does init.scope, which has systemd itself.
 */
static bool is_of_unit(const char *name, size_t length)
{
	static const char *const ends[] = { ".service", ".scope", ".socket",
					    ".mount",   ".swap",  ".automount" };

	if (length == strlen("init.scope") && !strncmp(name, "init.scope", length))
		return false;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		if (ends_with(name, length, ends[i]))
			return true;
	return false;
}

/* How much of a path is above all units. What the instance is on, or below, is there to stay. */
static size_t length_above_units(const char *path, const char *root)
{
	size_t length = strcmp(root, "/") ? strlen(root) : 0;

	while (path[length]) {
		size_t name = strcspn(path + length + 1, "/");

		if (is_of_unit(path + length + 1, name))
			break;
		length += 1 + name;
	}
	return length;
}

/* A hook on a cgroup and on one below it would run twice for what is in both. */
static void place_add(struct search *search, const char *path, const struct service *service)
{
	size_t i, kept = 0;

	for (i = 0; i < search->places->count; i++)
		if (cgroup_is_below(path, search->place[i].path))
			return;
	for (i = 0; i < search->places->count; i++)
		if (!cgroup_is_below(search->place[i].path, path))
			search->place[kept++] = search->place[i];
	strcpy(search->place[kept].path, path);
	search->place[kept++].service = service;
	search->places->count = kept;
}

static int service_add(struct search *search, const char *cgroup, const struct service *service,
		       struct message *message)
{
	char path[PATH_MAX];
	size_t length;

	if (!cgroup_is_below(cgroup, search->root))
		return fail(message, -EINVAL,
			    "%s:%u: service \"%s\": its cgroup %s is not below %s, where the "
			    "instance is up (move the service, or bring the instance up on a "
			    "cgroup above both)",
			    search->policy->source, service->line, service->name, cgroup,
			    search->root);
	length = length_above_units(cgroup, search->root);
	if (length >= sizeof(path))
		return fail(message, -ENAMETOOLONG, "%s:%u: service \"%s\": the path is too long",
			    search->policy->source, service->line, service->name);
	snprintf(path, sizeof(path), "%.*s", length ? (int)length : 1, length ? cgroup : "/");
	place_add(search, path, service);
	return 0;
}

static int find_ids(const struct search *search, struct message *message)
{
	char mount[PATH_MAX / 2], path[2 * PATH_MAX];
	int error = cgroup_mount(mount, sizeof(mount), message);

	for (size_t i = 0; !error && i < search->places->count; i++) {
		const struct place *place = &search->place[i];

		snprintf(path, sizeof(path), "%s%s", mount, place->path);
		error = cgroup_id(path, &search->places->id[i]);
		if (error)
			fail(message, error, "%s:%u: service \"%s\": cgroup %s: %s",
			     search->policy->source, place->service->line, place->service->name,
			     place->path, strerror(-error));
	}
	return error;
}

/* Whether the service, or who makes its listener, may be anywhere. */
static bool is_anywhere(const struct service *service)
{
	return !service->identity.cgroup ||
	       (service->listener.has_user && !service->listener.cgroup);
}

/*
 * Above services, and who makes their listeners, since an accepted socket is in its listener's
 * cgroup; or the whole instance, if some have none.
 */
int places_find(const struct instance *instance, const struct policy *policy, struct places *places,
		struct message *message)
{
	struct search *search;
	int error = 0;

	places->count = 0;
	for (size_t i = 0; i < policy->services; i++) {
		if (!is_anywhere(&policy->service[i]))
			continue;
		places->id[0] = instance->control.cgroup;
		places->count = 1;
		return 0;
	}
	search = calloc(1, sizeof(*search));
	if (!search)
		return fail(message, -ENOMEM, "out of memory");
	search->policy = policy;
	search->root = instance->control.cgroup_path;
	search->places = places;
	for (size_t i = 0; !error && i < policy->services; i++) {
		const struct service *service = &policy->service[i];

		error = service_add(search, service->identity.cgroup, service, message);
		if (!error && service->listener.cgroup)
			error = service_add(search, service->listener.cgroup, service, message);
	}
	if (!error)
		error = find_ids(search, message);
	free(search);
	return error;
}
