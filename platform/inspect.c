// SPDX-License-Identifier: BSD-2-Clause
/*
 * What is attached, as the kernel tells: a link can be pinned and do nothing, because its cgroup was
 * removed; and other programs can sit on the same hooks.
 */
#include "instance.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define PROGRAMS_MAX 256 /* on one hook; the kernel allows 64 a cgroup */
#define LINKS_MAX 512

/* The programs that a cgroup runs on a hook, those of cgroups above included. */
static int effective(int cgroup, enum bpf_attach_type type, uint32_t ids[PROGRAMS_MAX],
		     uint32_t *count)
{
	*count = PROGRAMS_MAX;
	return bpf_prog_query(cgroup, type, BPF_F_QUERY_EFFECTIVE, NULL, ids, count);
}

static void inspect(int link, struct link_report *report)
{
	struct bpf_link_info info = {};
	uint32_t ids[PROGRAMS_MAX], count, size = sizeof(info);
	int cgroup;

	report->state = LINK_UNKNOWN;
	report->error = bpf_obj_get_info_by_fd(link, &info, &size);
	if (report->error)
		return;
	report->program = info.prog_id;
	report->state = LINK_ORPHANED;
	/* The kernel shows 0 for a cgroup that was removed. */
	cgroup = info.cgroup.cgroup_id ? cgroup_open(info.cgroup.cgroup_id) : -ENOENT;
	if (info.cgroup.cgroup_id)
		report->cgroup = info.cgroup.cgroup_id;
	if (cgroup == -ENOENT)
		return;
	report->state = LINK_UNKNOWN;
	report->error =
		cgroup < 0 ? cgroup : effective(cgroup, info.cgroup.attach_type, ids, &count);
	if (cgroup >= 0)
		close(cgroup);
	if (report->error)
		return;
	report->state = LINK_INERT;
	for (uint32_t i = 0; i < count; i++)
		if (ids[i] == info.prog_id)
			report->state = LINK_EFFECTIVE;
}

static int inspect_pin(struct instance *instance, const char *name,
		       int (*each)(void *data, const struct link_report *report), void *data)
{
	struct link_report report = { .name = name, .state = LINK_MISSING };
	char path[PATH_MAX];
	int link;

	report.option = link_cgroup(name, &report.cgroup);

	snprintf(path, sizeof(path), "%s/links/%s", instance->directory, name);
	link = bpf_obj_get(path);
	if (link >= 0) {
		inspect(link, &report);
		close(link);
	} else if (errno != ENOENT) {
		report.state = LINK_UNKNOWN;
		report.error = -errno;
	}
	return each(data, &report);
}

/* The families of which every program has to be attached to the instance's cgroup. */
static unsigned int families_wanted(struct instance *instance)
{
	return PROGRAMS_CONNECTIONS | (datagrams_wanted(instance) ? PROGRAMS_DATAGRAMS : 0);
}

int instance_links(struct instance *instance,
		   int (*each)(void *data, const struct link_report *report), void *data,
		   struct message *message)
{
	unsigned int families = families_wanted(instance);
	const struct kernel_program *program = NULL;
	struct dirent *entry;
	char path[PATH_MAX];
	DIR *directory;
	int error = 0;

	while (!error && (program = kernel_program_next(program, families)))
		error = inspect_pin(instance, program->name, each, data);
	snprintf(path, sizeof(path), "%s/links", instance->directory);
	directory = opendir(path);
	if (!directory)
		return fail(message, -errno, "%s: %s", path, strerror(errno));
	while (!error && (entry = readdir(directory))) {
		program = kernel_program_of(entry->d_name);
		if (entry->d_name[0] != '.' && !(program && program->family & families))
			error = inspect_pin(instance, entry->d_name, each, data);
	}
	closedir(directory);
	return error;
}

size_t option_hooks(void)
{
	const struct kernel_program *program = NULL;
	size_t count = 0;

	while ((program = kernel_program_next(program, PROGRAMS_OPTIONS)))
		count++;
	return count;
}

struct own {
	uint32_t id[LINKS_MAX];
	size_t count;
};

static int keep_own(void *data, const struct link_report *report)
{
	struct own *own = data;

	if (own->count < LINKS_MAX && report->program)
		own->id[own->count++] = report->program;
	return 0;
}

static bool is_own(const struct own *own, uint32_t id)
{
	for (size_t i = 0; i < own->count; i++)
		if (own->id[i] == id)
			return true;
	return false;
}

static int foreign(const char *hook, uint32_t id,
		   int (*each)(void *data, const struct foreign_program *program), void *data)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);
	int program = bpf_prog_get_fd_by_id(id);

	/* It may have gone. */
	if (program < 0)
		return 0;
	bpf_obj_get_info_by_fd(program, &info, &size);
	close(program);
	return each(data, &(struct foreign_program){ hook, info.name, id });
}

/* Whether the hook was asked about already, or there is none. */
static bool is_hooked_before(const struct kernel_program *program)
{
	const struct kernel_program *other = NULL;

	while ((other = kernel_program_next(other, PROGRAMS_ALL)) != program)
		if (other->type == program->type)
			return true;
	return !program->hook;
}

int instance_foreign_programs(struct instance *instance,
			      int (*each)(void *data, const struct foreign_program *program),
			      void *data, struct message *message)
{
	const struct kernel_program *program = NULL;
	uint32_t ids[PROGRAMS_MAX], count;
	struct own own = { .count = 0 };
	int cgroup, error = instance_links(instance, keep_own, &own, message);

	if (error)
		return error;
	cgroup = cgroup_open(instance->control.cgroup);
	if (cgroup < 0)
		return fail(message, cgroup, "cgroup %s: %s", instance->control.cgroup_path,
			    strerror(-cgroup));
	while (!error && (program = kernel_program_next(program, PROGRAMS_ALL))) {
		if (is_hooked_before(program) || effective(cgroup, program->type, ids, &count))
			continue;
		for (uint32_t i = 0; !error && i < count; i++)
			if (!is_own(&own, ids[i]))
				error = foreign(program->hook, ids[i], each, data);
	}
	close(cgroup);
	return error;
}
