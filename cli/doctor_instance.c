// SPDX-License-Identifier: BSD-2-Clause
/* The instance itself: whether its programs run, who else does, and how full its tables are. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"

#define FULL_PERCENT 80
#define PLACES 256 /* there are two for each service, and those that are not needed any more */

/* Where option hooks are, or were. */
struct place {
	uint64_t cgroup;
	size_t effective;
	bool gone;
};

struct links {
	struct doctor *doctor;
	size_t effective, wrong;
	struct place place[PLACES];
	size_t places;
};

static void on_option(struct links *links, const struct link_report *report)
{
	struct place *place = links->place;

	while (place < links->place + links->places && place->cgroup != report->cgroup)
		place++;
	if (place == links->place + PLACES)
		return;
	if (place == links->place + links->places)
		links->place[links->places++] = (struct place){ .cgroup = report->cgroup };
	place->effective += report->state == LINK_EFFECTIVE;
	place->gone = place->gone || report->state == LINK_ORPHANED;
}

static int on_link(void *data, const struct link_report *report)
{
	struct links *links = data;
	char thing[64];

	if (report->option)
		on_option(links, report);
	snprintf(thing, sizeof(thing), "link %.50s", report->name);
	links->wrong += report->state != LINK_EFFECTIVE;
	switch (report->state) {
	case LINK_EFFECTIVE:
		links->effective++;
		break;
	case LINK_MISSING:
		doctor_find(links->doctor, SEVERITY_ERROR, thing,
			    "waybill up, which makes it again",
			    "it is not pinned: its hook does nothing");
		break;
	case LINK_ORPHANED:
		if (report->option)
			break;
		doctor_find(links->doctor, SEVERITY_ERROR, thing,
			    "waybill down, then waybill up on a cgroup that stays",
			    "the cgroup that it was attached to was removed: its program runs for "
			    "nobody");
		break;
	case LINK_INERT:
		doctor_find(links->doctor, SEVERITY_ERROR, thing, "waybill down, then waybill up",
			    "program %u is attached to cgroup %" PRIu64
			    ", but the kernel does not run it there",
			    report->program, report->cgroup);
		break;
	case LINK_UNKNOWN:
		doctor_find(links->doctor, SEVERITY_WARNING, thing, NULL,
			    "it cannot be asked about: %s", strerror(-report->error));
		break;
	}
	return 0;
}

static void examine_place(struct doctor *doctor, const struct place *place)
{
	char path[PATH_MAX];

	if (place->gone)
		doctor_find(doctor, SEVERITY_WARNING, "option hooks",
			    "apply the policy again; or give services a slice that stays",
			    "cgroup %" PRIu64 ", on which they sat, was removed: services that are "
			    "in a new one of its path get no records",
			    place->cgroup);
	else if (cgroup_path(place->cgroup, path, sizeof(path)))
		doctor_find(doctor, SEVERITY_WARNING, "option hooks", NULL,
			    "they sit on cgroup %" PRIu64 ", whose path cannot be found from here",
			    place->cgroup);
	else if (place->effective < option_hooks())
		doctor_find(doctor, SEVERITY_ERROR, "option hooks", "apply the policy again",
			    "%zu of %zu sit on %s: services below it get no records",
			    place->effective, option_hooks(), path);
	else
		doctor_find(doctor, SEVERITY_OK, "option hooks", NULL, "they sit on %s", path);
}

/* Where they sit decides which services are answered, and whose calls cost more. */
static void examine_places(struct doctor *doctor, const struct links *links)
{
	for (size_t i = 0; i < links->places; i++)
		examine_place(doctor, &links->place[i]);
	if (!links->places && doctor->status.names.header)
		doctor_find(doctor, SEVERITY_ERROR, "option hooks", "apply the policy again",
			    "they sit nowhere: no service gets records");
}

static const char *meaning(const char *hook)
{
	if (!strncmp(hook, "connect", 7) || !strncmp(hook, "sendmsg", 7))
		return "an address that it rewrites before us is the one that filters see; after "
		       "us, redirected traffic may go elsewhere";
	if (strstr(hook, "sockopt"))
		return "it may hide or change the options that services ask for";
	if (!strcmp(hook, "sockops"))
		return "it sees the same events; harmless unless it changes the connection";
	return "it sees what we see, and may refuse or rewrite it";
}

static int on_foreign(void *data, const struct foreign_program *program)
{
	char thing[64];

	snprintf(thing, sizeof(thing), "hook %s", program->hook);
	doctor_find(data, SEVERITY_NOTE, thing, NULL,
		    "program %u \"%s\" of somebody else runs too: %s", program->id,
		    text_printable(program->name, 16).text, meaning(program->hook));
	return 0;
}

static void examine_fill(struct doctor *doctor, const struct table_fill *table, size_t count,
			 bool of_users)
{
	char thing[64];
	size_t full = 0;

	for (size_t i = 0; i < count; i++) {
		snprintf(thing, sizeof(thing), "%s %s", of_users ? "share of" : "table",
			 table[i].name);
		/* Of these the oldest entry gives way: they are meant to be full. */
		if (!strcmp(table[i].name, "flow_answers") || !strcmp(table[i].name, "homes") ||
		    table[i].used * 100 < table[i].size * FULL_PERCENT)
			continue;
		full++;
		doctor_find(doctor, SEVERITY_WARNING, thing,
			    of_users ? "see whose connections they are: waybill flows, waybill "
				       "status -v" :
				       "end what is not needed, or apply fewer contexts",
			    "%" PRIu64 " of %" PRIu64
			    " are used: when it is full, new ones are refused",
			    table[i].used, table[i].size);
	}
	if (!full)
		doctor_find(doctor, SEVERITY_OK, of_users ? "shares" : "tables", NULL,
			    "none is used to %d %%", FULL_PERCENT);
}

static int count_older(void *data, const struct flow *flow)
{
	struct doctor *doctor = data;
	const struct policy_header *header = doctor->status.names.header;

	if (header && flow->entry->hop.time < header->applied)
		doctor->older++;
	return 0;
}

static void examine_flows(struct doctor *doctor)
{
	struct message message = { "" };

	if (instance_flows(doctor->instance, count_older, doctor, &message))
		doctor_find(doctor, SEVERITY_WARNING, "flows", NULL, "%s", message.text);
	else if (doctor->older)
		doctor_find(doctor, SEVERITY_NOTE, "flows",
			    "waybill flows --reset --before-policy ends them",
			    "%zu connection%s open that an earlier policy redirected: the one in "
			    "force does not touch them",
			    doctor->older, doctor->older == 1 ? " is" : "s are");
	else
		doctor_find(doctor, SEVERITY_OK, "flows", NULL, "none is older than the policy");
}

void doctor_instance(struct doctor *doctor)
{
	struct table_fill table[TABLES], share[SHARES];
	struct links links = { .doctor = doctor };
	struct message message = { "" };

	if (instance_links(doctor->instance, on_link, &links, &message))
		doctor_find(doctor, SEVERITY_ERROR, "links", NULL, "%s", message.text);
	else if (!links.wrong)
		doctor_find(doctor, SEVERITY_OK, "links", NULL,
			    "the programs of all %zu run on their cgroups", links.effective);
	examine_places(doctor, &links);
	if (instance_foreign_programs(doctor->instance, on_foreign, doctor, &message))
		doctor_find(doctor, SEVERITY_WARNING, "hooks", NULL, "%s", message.text);
	if (instance_tables(doctor->instance, table, &message) ||
	    instance_shares(doctor->instance, share, &message)) {
		doctor_find(doctor, SEVERITY_WARNING, "tables", NULL, "%s", message.text);
	} else {
		examine_fill(doctor, table, TABLES, false);
		examine_fill(doctor, share, SHARES, true);
	}
	examine_flows(doctor);
}
