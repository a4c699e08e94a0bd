// SPDX-License-Identifier: BSD-2-Clause
/*
 * Programs on cgroups, through links. Of a pinned instance each link is pinned as soon as it is
 * made, so a link is either pinned or gone when we are killed; of a private one the process
 * holds them. The option hooks have links of their own, one pair for each cgroup with services.
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

/* The hooks of sockets, in the order of attaching: what a redirect needs comes before it. */
const char *const socket_links[] = {
	"handoff", "peername4", "peername6", "bind4",    "bind6", "bound4",
	"bound6",  "release",   "connect6",  "connect4", NULL,
};

#define SOCKET_LINKS (sizeof(socket_links) / sizeof(*socket_links) - 1)

static struct bpf_program *program_of_link(struct waybill_bpf *programs, const char *link)
{
	char name[64];

	/* An option hook's link is named after its cgroup: get-123. */
	snprintf(name, sizeof(name), "waybill_%.*s", (int)strcspn(link, "-"), link);
	return bpf_object__find_program_by_name(programs->obj, name);
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

int attach_sockets(struct instance *instance, struct waybill_bpf *programs, const char *cgroup,
		   struct message *message)
{
	int descriptor, error = 0;

	descriptor = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0)
		return fail(message, -errno, "%s: %s (is it a cgroup of cgroup2?)", cgroup,
			    strerror(errno));
	for (size_t i = 0; !error && i < SOCKET_LINKS; i++) {
		struct bpf_program *program = program_of_link(programs, socket_links[i]);

		if (!bpf_program__autoload(program))
			continue;
		error = link_make(instance, bpf_program__fd(program),
				  bpf_program__expected_attach_type(program), descriptor,
				  socket_links[i], message);
	}
	close(descriptor);
	return error;
}

/* Whether the option hooks of a cgroup are attached already. */
static bool options_attached(const struct instance *instance, uint64_t cgroup)
{
	char path[PATH_MAX];

	if (!instance->directory[0])
		return false;
	snprintf(path, sizeof(path), "%s/links/set-%" PRIu64, instance->directory, cgroup);
	return !access(path, F_OK);
}

/* The descriptor of a program that a policy may need, for close(). */
static int program_open(struct instance *instance, const char *name)
{
	char path[PATH_MAX];

	if (instance->programs)
		return fcntl(bpf_program__fd(program_of_link(instance->programs, name)),
			     F_DUPFD_CLOEXEC, 3);
	snprintf(path, sizeof(path), "%s/programs/%s", instance->directory, name);
	return bpf_obj_get(path);
}

/* The option hooks. "set" is what options_attached() asks for, so it comes last. */
static const struct {
	const char *name;
	enum bpf_attach_type type;
} option_links[] = {
	{ "get", BPF_CGROUP_GETSOCKOPT },
	{ "set", BPF_CGROUP_SETSOCKOPT },
};

#define OPTION_LINKS (sizeof(option_links) / sizeof(*option_links))

static int attach_options_to(struct instance *instance, const int programs[OPTION_LINKS],
			     const char *mount, uint64_t cgroup, struct message *message)
{
	char path[PATH_MAX], below[PATH_MAX / 2], name[64];
	int descriptor, error;

	error = cgroup_path(cgroup, below, sizeof(below));
	if (error)
		return fail(message, error, "cgroup %" PRIu64 ": %s", cgroup, strerror(-error));
	snprintf(path, sizeof(path), "%s%s", mount, below);
	descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0)
		return fail(message, -errno, "%s: %s", path, strerror(errno));
	for (size_t i = 0; !error && i < OPTION_LINKS; i++) {
		if (programs[i] < 0)
			continue;
		snprintf(name, sizeof(name), "%s-%" PRIu64, option_links[i].name, cgroup);
		error = link_make(instance, programs[i], option_links[i].type, descriptor, name,
				  message);
	}
	close(descriptor);
	return error;
}

int attach_options(struct instance *instance, const uint64_t *cgroups, size_t count,
		   struct message *message)
{
	char mount[PATH_MAX / 2];
	int programs[OPTION_LINKS], error;

	error = cgroup_mount(mount, sizeof(mount), message);
	if (error)
		return error;
	for (size_t i = 0; i < OPTION_LINKS; i++) {
		programs[i] = -1;
		if (instance->programs && !bpf_program__autoload(program_of_link(
						  instance->programs, option_links[i].name)))
			continue;
		programs[i] = program_open(instance, option_links[i].name);
		if (programs[i] < 0 && !error)
			error = fail(message, -errno,
				     "%s/programs: %s (waybill down, then waybill up)",
				     instance->directory, strerror(errno));
	}
	for (size_t i = 0; !error && i < count; i++)
		if (!options_attached(instance, cgroups[i]))
			error = attach_options_to(instance, programs, mount, cgroups[i], message);
	for (size_t i = 0; i < OPTION_LINKS; i++)
		if (programs[i] >= 0)
			close(programs[i]);
	return error;
}

/*
 * The hooks of datagrams, which cost every datagram below the cgroup something even if they find at
 * once that it is none of theirs: they are attached with the first policy that redirects any.
 */
static const struct {
	const char *name;
	enum bpf_attach_type type;
} datagram_links[] = {
	{ "recvmsg6", BPF_CGROUP_UDP6_RECVMSG },   { "recvmsg4", BPF_CGROUP_UDP4_RECVMSG },
	{ "sendmsg6", BPF_CGROUP_UDP6_SENDMSG },   { "sendmsg4", BPF_CGROUP_UDP4_SENDMSG },
	{ "datagram6", BPF_CGROUP_INET6_CONNECT }, { "datagram4", BPF_CGROUP_INET4_CONNECT },
};

static int attach_datagrams_to(struct instance *instance, int cgroup, struct message *message)
{
	char path[PATH_MAX];
	int program, error = 0;

	for (size_t i = 0; !error && i < sizeof(datagram_links) / sizeof(*datagram_links); i++) {
		snprintf(path, sizeof(path), "%s/links/%s", instance->directory,
			 datagram_links[i].name);
		if (instance->directory[0] && !access(path, F_OK))
			continue;
		program = program_open(instance, datagram_links[i].name);
		if (program < 0)
			return fail(message, -errno,
				    "%s/programs: %s (waybill down, then waybill up)",
				    instance->directory, strerror(errno));
		error = link_make(instance, program, datagram_links[i].type, cgroup,
				  datagram_links[i].name, message);
		close(program);
	}
	return error;
}

int attach_datagrams(struct instance *instance, struct message *message)
{
	char mount[PATH_MAX / 2], below[PATH_MAX / 2], path[PATH_MAX];
	int cgroup, error;

	if (instance->datagrams_attached)
		return 0;
	error = cgroup_mount(mount, sizeof(mount), message);
	if (error)
		return error;
	error = cgroup_path(instance->control.cgroup, below, sizeof(below));
	if (error)
		return fail(message, error, "the instance's cgroup: %s", strerror(-error));
	snprintf(path, sizeof(path), "%s%s", mount, below);
	cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0)
		return fail(message, -errno, "%s: %s", path, strerror(errno));
	error = attach_datagrams_to(instance, cgroup, message);
	close(cgroup);
	instance->datagrams_attached = !error;
	return error;
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

	const char *dash = strchr(name, '-');

	if (!dash || sscanf(dash, "-%" SCNu64, &cgroup) != 1)
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
	struct bpf_program *program = program_of_link(renewal->programs, name);
	int link, error;

	if (!program)
		return fail(renewal->message, -EINVAL,
			    "%s: a link of another version (waybill down, then waybill up)", path);
	link = bpf_obj_get(path);
	if (link < 0)
		return fail(renewal->message, -errno, "%s: %s", path, strerror(errno));
	error = bpf_link_update(link, bpf_program__fd(program), NULL);
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
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/links/%s", instance->directory,
		 socket_links[SOCKET_LINKS - 1]);
	return !access(path, F_OK);
}
