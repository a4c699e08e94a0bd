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

/* Opens a cgroup by its id, or -errno. */
static int cgroup_open(uint64_t id)
{
	char mount[PATH_MAX / 2], below[PATH_MAX / 2], path[PATH_MAX];
	int error = cgroup_mount(mount, sizeof(mount), NULL), descriptor;

	if (!error)
		error = cgroup_path(id, below, sizeof(below));
	if (error)
		return error;
	snprintf(path, sizeof(path), "%s%s", mount, below);
	descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return descriptor < 0 ? -errno : descriptor;
}

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
	report->cgroup = info.cgroup.cgroup_id;
	report->state = LINK_ORPHANED;
	/* The kernel shows 0 for a cgroup that was removed. */
	cgroup = report->cgroup ? cgroup_open(report->cgroup) : -ENOENT;
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

static bool is_socket_link(const char *name)
{
	for (size_t i = 0; socket_links[i]; i++)
		if (!strcmp(socket_links[i], name))
			return true;
	return false;
}

int instance_links(struct instance *instance,
		   int (*each)(void *data, const struct link_report *report), void *data,
		   struct message *message)
{
	struct dirent *entry;
	char path[PATH_MAX];
	DIR *directory;
	int error = 0;

	for (size_t i = 0; !error && socket_links[i]; i++)
		error = inspect_pin(instance, socket_links[i], each, data);
	snprintf(path, sizeof(path), "%s/links", instance->directory);
	directory = opendir(path);
	if (!directory)
		return fail(message, -errno, "%s: %s", path, strerror(errno));
	while (!error && (entry = readdir(directory)))
		if (entry->d_name[0] != '.' && !is_socket_link(entry->d_name))
			error = inspect_pin(instance, entry->d_name, each, data);
	closedir(directory);
	return error;
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

int instance_foreign_programs(struct instance *instance,
			      int (*each)(void *data, const struct foreign_program *program),
			      void *data, struct message *message)
{
	static const struct {
		enum bpf_attach_type type;
		const char *name;
	} hooks[] = {
		{ BPF_CGROUP_INET4_CONNECT, "connect4" },
		{ BPF_CGROUP_INET6_CONNECT, "connect6" },
		{ BPF_CGROUP_UDP4_SENDMSG, "sendmsg4" },
		{ BPF_CGROUP_UDP6_SENDMSG, "sendmsg6" },
		{ BPF_CGROUP_UDP4_RECVMSG, "recvmsg4" },
		{ BPF_CGROUP_UDP6_RECVMSG, "recvmsg6" },
		{ BPF_CGROUP_INET4_GETPEERNAME, "getpeername4" },
		{ BPF_CGROUP_INET6_GETPEERNAME, "getpeername6" },
		{ BPF_CGROUP_INET4_BIND, "bind4" },
		{ BPF_CGROUP_INET6_BIND, "bind6" },
		{ BPF_CGROUP_INET4_POST_BIND, "post_bind4" },
		{ BPF_CGROUP_INET6_POST_BIND, "post_bind6" },
		{ BPF_CGROUP_INET_SOCK_RELEASE, "sock_release" },
		{ BPF_CGROUP_SOCK_OPS, "sockops" },
		{ BPF_CGROUP_GETSOCKOPT, "getsockopt" },
		{ BPF_CGROUP_SETSOCKOPT, "setsockopt" },
	};
	uint32_t ids[PROGRAMS_MAX], count;
	struct own own = { .count = 0 };
	int cgroup, error = instance_links(instance, keep_own, &own, message);

	if (error)
		return error;
	cgroup = cgroup_open(instance->control.cgroup);
	if (cgroup < 0)
		return fail(message, cgroup, "cgroup %s: %s", instance->control.cgroup_path,
			    strerror(-cgroup));
	for (size_t i = 0; !error && i < sizeof(hooks) / sizeof(*hooks); i++) {
		if (effective(cgroup, hooks[i].type, ids, &count))
			continue;
		for (uint32_t j = 0; !error && j < count; j++)
			if (!is_own(&own, ids[j]))
				error = foreign(hooks[i].name, ids[j], each, data);
	}
	close(cgroup);
	return error;
}
