// SPDX-License-Identifier: BSD-2-Clause
/*
 * Programs on cgroups, through links. Of a pinned instance each link is pinned as soon as it is
 * made, so a link is either pinned or gone when we are killed; of a private one the process
 * holds them. The option hooks have links of their own, for each place above services.
 */
#include "instance.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "waybill.skel.h"

static bool link_is_pinned(const struct instance *instance, const char *name)
{
	char path[PATH_MAX];

	if (!instance->directory[0])
		return false;
	snprintf(path, sizeof(path), "%s/links/%s", instance->directory, name);
	return !access(path, F_OK);
}

/* Attaches a program that is given by its descriptor, and pins or keeps the link. */
static int link_make(struct instance *instance, int program, enum bpf_attach_type type, int cgroup,
		     const char *name, struct message *message)
{
	char path[PATH_MAX];
	int descriptor, error = 0;

	descriptor = bpf_link_create(program, cgroup, type, NULL);
	if (descriptor < 0)
		return fail(message, descriptor, "cannot attach %s to the cgroup: %s", name,
			    strerror(-descriptor));
	if (instance->directory[0]) {
		snprintf(path, sizeof(path), "%s/links/%s", instance->directory, name);
		if (bpf_obj_pin(descriptor, path) && errno != EEXIST)
			error = fail(message, -errno, "%s: cannot pin the link: %s", path,
				     strerror(errno));
		close(descriptor);
		return error;
	}
	int *links = reallocarray(instance->links, instance->link_count + 1, sizeof(*links));

	if (!links) {
		close(descriptor);
		return fail(message, -ENOMEM, "out of memory");
	}
	instance->links = links;
	instance->links[instance->link_count++] = descriptor;
	return 0;
}

static int instance_cgroup_open(const struct instance *instance, const char *directory,
				struct message *message)
{
	int cgroup;

	if (directory) {
		cgroup = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		cgroup = cgroup < 0 ? -errno : cgroup;
	} else {
		cgroup = cgroup_open(instance->control.cgroup);
	}
	if (cgroup < 0)
		fail(message, cgroup, "the instance's cgroup %s: %s (is it one of cgroup2?)",
		     instance->control.cgroup_path, strerror(-cgroup));
	return cgroup;
}

int attach_programs(struct instance *instance, struct waybill_bpf *programs, unsigned int families,
		    const char *directory, struct message *message)
{
	const struct kernel_program *program = NULL;
	int cgroup = instance_cgroup_open(instance, directory, message), error = 0;

	if (cgroup < 0)
		return cgroup;
	while (!error && (program = kernel_program_next(program, families)))
		if (!link_is_pinned(instance, program->name))
			error = link_make(instance,
					  bpf_program__fd(object_program(programs->obj, program)),
					  program->type, cgroup, program->name, message);
	close(cgroup);
	return error;
}

/* The descriptor of a program that a policy may need, for close(). */
static int program_open(struct instance *instance, const struct kernel_program *program)
{
	char path[PATH_MAX];

	if (instance->programs)
		return fcntl(bpf_program__fd(object_program(instance->programs->obj, program)),
			     F_DUPFD_CLOEXEC, 3);
	snprintf(path, sizeof(path), "%s/programs/%s", instance->directory, program->name);
	return bpf_obj_get(path);
}

static void link_of_cgroup(const struct kernel_program *program, uint64_t cgroup, char name[64])
{
	snprintf(name, 64, "%s-%" PRIu64, program->name, cgroup);
}

bool link_cgroup(const char *name, uint64_t *cgroup)
{
	const char *dash = strchr(name, '-');

	return dash && sscanf(dash, "-%" SCNu64, cgroup) == 1;
}

static int attach_option(struct instance *instance, const struct kernel_program *program,
			 uint64_t cgroup, int directory, struct message *message)
{
	int error, descriptor;
	char name[64];

	link_of_cgroup(program, cgroup, name);
	if (link_is_pinned(instance, name))
		return 0;
	descriptor = program_open(instance, program);
	if (descriptor < 0)
		return fail(message, -errno, "%s/programs: %s (waybill down, then waybill up)",
			    instance->directory, strerror(errno));
	error = link_make(instance, descriptor, program->type, directory, name, message);
	close(descriptor);
	return error;
}

int attach_options(struct instance *instance, const uint64_t *cgroups, size_t count,
		   struct message *message)
{
	int cgroup, error = 0;

	for (size_t i = 0; !error && i < count; i++) {
		const struct kernel_program *program = NULL;

		cgroup = cgroup_open(cgroups[i]);
		if (cgroup < 0)
			return fail(message, cgroup, "cgroup %" PRIu64 ": %s", cgroups[i],
				    strerror(-cgroup));
		while (!error && (program = kernel_program_next(program, PROGRAMS_OPTIONS)))
			error = attach_option(instance, program, cgroups[i], cgroup, message);
		close(cgroup);
	}
	return error;
}

static bool datagrams_attached(const struct instance *instance)
{
	const struct kernel_program *program = NULL;

	while ((program = kernel_program_next(program, PROGRAMS_DATAGRAMS)))
		if (!link_is_pinned(instance, program->name))
			return instance->datagrams_attached;
	return true;
}

int attach_datagrams(struct instance *instance, struct message *message)
{
	struct waybill_bpf *programs;
	int error;

	if (datagrams_attached(instance))
		return 0;
	error = programs_load(instance, PROGRAMS_DATAGRAMS, &programs, message);
	if (error)
		return error;
	error = attach_programs(instance, programs, PROGRAMS_DATAGRAMS, NULL, message);
	waybill_bpf__destroy(programs);
	instance->datagrams_attached = !error && !instance->directory[0];
	return error;
}

bool datagrams_wanted(struct instance *instance)
{
	const struct kernel_program *program = NULL;
	struct policy_header header;

	while ((program = kernel_program_next(program, PROGRAMS_DATAGRAMS)))
		if (link_is_pinned(instance, program->name))
			return true;
	return !instance_policy_header(instance, &header) && header.udp;
}

/* Calls each for every link that is pinned. */
static int links_each(struct instance *instance,
		      int (*each)(const char *path, const char *name, void *data), void *data)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *directory;
	int error = 0;

	snprintf(path, sizeof(path), "%s/links", instance->directory);
	directory = opendir(path);
	if (!directory)
		return -errno;
	while (!error && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/links/%s", instance->directory, entry->d_name);
		error = each(path, entry->d_name, data);
	}
	closedir(directory);
	return error;
}

struct cgroup_set {
	const uint64_t *cgroups;
	size_t count;
};

static int link_drop(const char *path, const char *name, void *data)
{
	const struct cgroup_set *keep = data;
	uint64_t cgroup;

	if (!link_cgroup(name, &cgroup))
		return 0;
	for (size_t i = 0; i < keep->count; i++)
		if (keep->cgroups[i] == cgroup)
			return 0;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

int detach_options(struct instance *instance, const uint64_t *cgroups, size_t count)
{
	struct cgroup_set keep = { .cgroups = cgroups, .count = count };

	return instance->directory[0] ? links_each(instance, link_drop, &keep) : 0;
}

struct renewal {
	struct waybill_bpf *programs;
	struct message *message;
};

static int link_renew(const char *path, const char *name, void *data)
{
	struct renewal *renewal = data;
	const struct kernel_program *program = kernel_program_of(name);
	int link, error;

	if (!program)
		return fail(renewal->message, -EINVAL,
			    "%s: a link of another version (waybill down, then waybill up)", path);
	link = bpf_obj_get(path);
	if (link < 0)
		return fail(renewal->message, -errno, "%s: %s", path, strerror(errno));
	error = bpf_link_update(
		link, bpf_program__fd(object_program(renewal->programs->obj, program)), NULL);
	/* The cgroup that it was attached to is gone: nothing to renew, apply drops the link. */
	if (error == -ENOLINK)
		error = 0;
	if (error)
		fail(renewal->message, error, "%s: cannot renew the program: %s", path,
		     strerror(-error));
	close(link);
	return error;
}

int attach_renew(struct instance *instance, struct waybill_bpf *programs, struct message *message)
{
	struct renewal renewal = { .programs = programs, .message = message };

	return links_each(instance, link_renew, &renewal);
}

bool attach_complete(const struct instance *instance)
{
	return link_is_pinned(instance, kernel_program_last(PROGRAMS_CONNECTIONS)->name);
}
