// SPDX-License-Identifier: BSD-2-Clause
/* Ids to names: asks a copy of the policy image in force, as the kernel half asks its own. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"

#define RENEW_INTERVAL 1000000000ULL

static void load(struct names *names)
{
	struct message message;

	names->loaded = boottime_now();
	names->header = NULL;
	if (names->instance && !instance_policy(names->instance, &names->image, &message))
		names->header = policy_line(&names->image, 0);
}

void names_open(struct names *names, struct instance *instance)
{
	memset(names, 0, sizeof(*names));
	names->instance = instance;
	load(names);
}

void names_close(struct names *names)
{
	free(names->image.line);
	memset(names, 0, sizeof(*names));
}

void names_renew(struct names *names, uint32_t service, uint32_t filter)
{
	struct names fresh;

	if ((!service || names_service(names, service)) && (!filter || names_filter(names, filter)))
		return;
	if (boottime_now() - names->loaded < RENEW_INTERVAL)
		return;
	names_open(&fresh, names->instance);
	names_close(names);
	*names = fresh;
}

const char *names_service(const struct names *names, uint32_t id)
{
	const struct policy_service *service;

	for (uint32_t slot = 0; id && names->header && slot < names->header->services; slot++) {
		service = policy_service(&names->image, names->header, slot);
		if (service && service->id == id)
			return service->name;
	}
	return NULL;
}

const char *names_filter(const struct names *names, uint32_t id)
{
	const struct policy_filter *filter;

	for (uint32_t i = 0; id && names->header && i < names->header->filters; i++) {
		filter = policy_filter(&names->image, names->header, i);
		if (filter && filter->id == id)
			return filter->name;
	}
	return NULL;
}

static struct text name_or_number(const char *name, uint32_t id)
{
	struct text out;

	if (name || !id)
		snprintf(out.text, sizeof(out.text), "%s", name ? name : "-");
	else
		snprintf(out.text, sizeof(out.text), "%08" PRIx32, id);
	return out;
}

const struct policy_application *names_application_at(const struct names *names, uint32_t place)
{
	const struct policy_more *more = names->header && names->header->more ?
						 policy_line(&names->image, names->header->more) :
						 NULL;
	const struct policy_cell *cell;

	for (uint32_t i = 0; more && more->executables.first && i < more->executables.cells; i++) {
		cell = policy_line(&names->image, more->executables.first + i / 8);
		if (cell && cell[i % 8].key && !place--)
			return policy_line(&names->image, cell[i % 8].value);
	}
	return NULL;
}

const char *names_application(const struct names *names, uint32_t number)
{
	const struct policy_application *application;

	for (uint32_t i = 0; number && (application = names_application_at(names, i)); i++)
		if (application->number == number)
			return application->path;
	return NULL;
}

struct text text_service(const struct names *names, uint32_t id)
{
	return name_or_number(names_service(names, id), id);
}

struct text text_filter(const struct names *names, uint32_t id)
{
	return name_or_number(names_filter(names, id), id);
}
