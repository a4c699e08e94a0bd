// SPDX-License-Identifier: BSD-2-Clause
/*
 * An instance's life: made, renewed, opened, removed. It is made in an order such that being
 * killed between any two steps leaves either nothing that runs, or something that works, and
 * always something that instance_down() removes: everything is below one directory.
 */
#include "instance.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "waybill.skel.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

uint64_t boot_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct instance *instance_new(const char *name, uint32_t connections)
{
	struct instance *instance = calloc(1, sizeof(*instance));

	if (!instance)
		return NULL;
	snprintf(instance->name, sizeof(instance->name), "%s", name);
	instance->control.connections = connections ? connections : CONNECTIONS_DEFAULT;
	for (int i = 0; i < MAPS; i++)
		instance->map[i] = -1;
	return instance;
}

void instance_close(struct instance *instance)
{
	if (!instance)
		return;
	/* Connects first, so that none is redirected which could not be handed over. */
	for (size_t i = instance->link_count; i--;)
		close(instance->links[i]);
	for (int i = 0; i < MAPS; i++)
		if (instance->map[i] >= 0)
			close(instance->map[i]);
	waybill_bpf__destroy(instance->programs);
	free(instance->links);
	free(instance);
}

const struct control *instance_control(struct instance *instance)
{
	return &instance->control;
}

int netns_cookie(uint64_t *cookie)
{
	int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = 0;
	socklen_t size = sizeof(*cookie);

	if (descriptor < 0)
		return -errno;
	if (getsockopt(descriptor, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &size))
		error = -errno;
	close(descriptor);
	return error;
}

/* Levels of a path below the root: as the kernel counts them, if the root is the host's. */
static uint32_t cgroup_level(const char *path)
{
	char mount[PATH_MAX / 2];
	uint32_t level = 0;

	if (cgroup_mount(mount, sizeof(mount), NULL) || !cgroup_shows_all(mount))
		return CGROUP_LEVEL_UNKNOWN;
	for (; strcmp(path, "/") && *path; path++)
		level += *path == '/';
	return level;
}

/* The settings and the first key of a new instance. */
static int begin(struct instance *instance, const char *cgroup, const char *directory,
		 struct message *message)
{
	struct control *control = &instance->control;
	uint64_t id = 0, netns = 0;
	uint32_t zero = 0;
	int error;

	*control = (struct control){ .layout = INSTANCE_LAYOUT,
				     .connections = control->connections };
	if (strlen(cgroup) >= sizeof(control->cgroup_path))
		return fail(message, -ENAMETOOLONG, "%s: the path is too long", cgroup);
	strcpy(control->cgroup_path, cgroup);
	error = cgroup_id(directory, &id);
	if (error)
		return fail(message, error, "%s: %s (mkdir it, or give another --cgroup)",
			    directory, strerror(-error));
	error = netns_cookie(&netns);
	if (error)
		return fail(message, error, "network namespace: no cookie: %s (Linux 5.14)",
			    strerror(-error));
	control->cgroup = id;
	control->netns = netns;
	control->cgroup_level = cgroup_level(cgroup);
	if (getrandom(&control->seed, sizeof(control->seed), 0) != sizeof(control->seed))
		return fail(message, -EIO, "the kernel gives no random numbers");
	if (bpf_map_update_elem(instance->map[MAP_CONTROL], &zero, control, BPF_ANY))
		return fail(message, -errno, "map control: %s", strerror(errno));
	return keys_begin(instance, message);
}

/* A number for an instance, by its name: whose the route is. */
static uint32_t instance_owner(const char *name)
{
	return policy_service_id(name);
}

int instance_datagrams6(struct instance *instance, uint32_t owner, struct message *message)
{
	uint32_t zero = 0;
	int error = flow_route_add(owner);

	/* A host without IPv6 has no IPv6 datagrams. */
	if (error == -EAFNOSUPPORT || error == -EOPNOTSUPP || error == -EACCES || error == -ENODEV)
		return 0;
	if (error)
		return fail(message, error,
			    "cannot make the addresses of IPv6 flows local: %s (is there a route "
			    "for them already? ip -6 route show table local)",
			    strerror(-error));
	instance->control.datagrams6 = instance->control.netns;
	if (bpf_map_update_elem(instance->map[MAP_CONTROL], &zero, &instance->control, BPF_ANY))
		return fail(message, -errno, "map control: %s", strerror(errno));
	return 0;
}

void instance_datagrams6_end(uint32_t owner)
{
	flow_route_remove(owner);
}

int instance_open(const char *name, struct instance **out, struct message *message)
{
	struct instance *instance = instance_new(name, 0);
	int error;

	*out = NULL;
	if (!instance)
		return fail(message, -ENOMEM, "out of memory");
	error = bpffs_directory(name, instance->directory, sizeof(instance->directory), message);
	if (!error)
		error = maps_open(instance, message);
	if (!error && !attach_complete(instance))
		error = fail(message, -ENOENT,
			     "instance %s: `waybill up --instance %s` was interrupted (run it "
			     "again)",
			     name, name);
	if (error)
		instance_close(instance);
	else
		*out = instance;
	return error;
}

int instance_cgroup_check(const struct instance *instance, struct message *message)
{
	char mount[PATH_MAX / 2], path[PATH_MAX];
	uint64_t id;
	int error;

	if (cgroup_mount(mount, sizeof(mount), NULL) || !cgroup_shows_all(mount))
		return 0;
	snprintf(path, sizeof(path), "%s%s", mount, instance->control.cgroup_path);
	error = cgroup_id(path, &id);
	if (error != -ENOENT && (error || id == instance->control.cgroup))
		return 0;
	return fail(
		message, -ESTALE,
		"instance %s: its cgroup %s was removed, so it redirects nothing, also not in a "
		"new one of that path (waybill down --instance %s, then waybill up)",
		instance->name, instance->control.cgroup_path, instance->name);
}

/* One cgroup, one instance: two engines on a connection would not know of each other. */
static bool paths_overlap(const char *a, const char *b)
{
	size_t length = strlen(a) < strlen(b) ? strlen(a) : strlen(b);
	const char *longer = strlen(a) < strlen(b) ? b : a;

	if (!strcmp(a, "/") || !strcmp(b, "/"))
		return true;
	return !strncmp(a, b, length) && (longer[length] == '/' || longer[length] == '\0');
}

/* Where an instance is, of whatever version: its links know. */
static int instance_cgroup(const char *name, char *path, size_t size)
{
	struct bpf_link_info info = {};
	unsigned int length = sizeof(info);
	char directory[192], pin[256];
	int link, error;

	error = bpffs_directory(name, directory, sizeof(directory), NULL);
	if (error)
		return error;
	snprintf(pin, sizeof(pin), "%s/links/connect4", directory);
	link = bpf_obj_get(pin);
	if (link < 0)
		return -errno;
	error = bpf_obj_get_info_by_fd(link, &info, &length) ? -errno : 0;
	close(link);
	return error ? error : cgroup_path(info.cgroup.cgroup_id, path, size);
}

/* One whose cgroup is gone, or that was never complete, is in nobody's way. */
static int check_overlap(const char *name, const char *cgroup, struct message *message)
{
	char **names, path[256];
	size_t count;
	int error = instance_list(&names, &count, message);

	for (size_t i = 0; i < count; i++) {
		if (!error && strcmp(names[i], name) &&
		    !instance_cgroup(names[i], path, sizeof(path)) && paths_overlap(path, cgroup))
			error = fail(message, -EBUSY,
				     "instance %s is up on %s, which overlaps %s (waybill "
				     "down --instance %s, or give another --cgroup)",
				     names[i], path, cgroup, names[i]);
		free(names[i]);
	}
	free(names);
	return error;
}

/* The path below the mount, without a slash at its end. */
static int cgroup_clean(const char *cgroup, char *path, size_t size, const char *mount,
			char *directory, size_t directory_size, struct message *message)
{
	size_t length;

	if (!cgroup)
		cgroup = "/";
	if (!strncmp(cgroup, mount, strlen(mount)) && mount[1])
		cgroup += strlen(mount); /* the whole path was meant, and given */
	length = strlen(cgroup);
	while (length > 1 && cgroup[length - 1] == '/')
		length--;
	if ((length && cgroup[0] != '/') || length >= size || strstr(cgroup, ".."))
		return fail(message, -EINVAL, "cgroup \"%s\": give a path like /system.slice",
			    cgroup);
	snprintf(path, size, "%.*s", length ? (int)length : 1, length ? cgroup : "/");
	snprintf(directory, directory_size, "%s%s", mount, strcmp(path, "/") ? path : "");
	return 0;
}

static int make_directories(const struct instance *instance, struct message *message)
{
	static const char *const rooms[] = { "", "/maps", "/programs", "/links" };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(rooms) / sizeof(*rooms); i++) {
		snprintf(path, sizeof(path), "%s%s", instance->directory, rooms[i]);
		if (mkdir(path, 0700) && errno != EEXIST)
			return fail(message, -errno, "%s: %s", path, strerror(errno));
	}
	return 0;
}

/* The programs of a new instance, and with them its maps. */
static int load(struct instance *instance, struct waybill_bpf **programs, struct message *message)
{
	struct memory_place place;
	int error;

	memory_uncharged(&place);
	error = programs_load(instance, PROGRAMS_ALWAYS, programs, message);
	memory_charged(&place);
	return error;
}

static int make(struct instance *instance, struct waybill_bpf *programs, const char *cgroup,
		const char *directory, struct message *message)
{
	int error = begin(instance, cgroup, directory, message);

	if (!error)
		error = make_directories(instance, message);
	if (!error)
		error = maps_pin(instance, message);
	if (!error)
		error = programs_pin(instance, programs, message);
	if (!error)
		error = instance_datagrams6(instance, instance_owner(instance->name), message);
	if (!error)
		error = attach_programs(instance, programs, PROGRAMS_CONNECTIONS, directory,
					message);
	return error;
}

static int renew(struct instance *instance, struct message *message)
{
	unsigned int families = PROGRAMS_ALWAYS;
	struct waybill_bpf *programs = NULL;
	int error;

	if (datagrams_wanted(instance))
		families |= PROGRAMS_DATAGRAMS;
	error = programs_load(instance, families, &programs, message);
	if (!error)
		error = programs_pin(instance, programs, message);
	if (!error)
		error = attach_renew(instance, programs, message);
	/* What is not there: an `apply` was killed, or somebody removed it. */
	if (!error)
		error = attach_programs(instance, programs,
					families & (PROGRAMS_CONNECTIONS | PROGRAMS_DATAGRAMS),
					NULL, message);
	waybill_bpf__destroy(programs);
	return error;
}

/*
 * The verifier takes longer than all else, so it is not with the lock held that a new instance waits
 * for it. Whether it is a new one is known only with the lock: if it seems to be up, it is not
 * loaded, and if it is up by then, what was loaded was for nothing.
 */
static int prepare(const char *name, const char *cgroup, uint32_t connections,
		   struct instance **out, struct waybill_bpf **programs, struct message *message)
{
	struct instance *instance = instance_new(name, connections);
	int error;

	*out = instance;
	if (!instance)
		return fail(message, -ENOMEM, "out of memory");
	error = bpffs_directory(name, instance->directory, sizeof(instance->directory), message);
	if (error || attach_complete(instance))
		return error;
	error = check_overlap(name, cgroup, message);
	return error ? error : load(instance, programs, message);
}

static int up_new(struct instance *instance, struct waybill_bpf **programs, const char *cgroup,
		  const char *directory, struct message *message)
{
	int error = check_overlap(instance->name, cgroup, message);
	bool found;

	/* What an interrupted `up` or `down` left. */
	if (!error)
		error = bpffs_remove(instance->directory, &found, message);
	/* It seemed to be up. */
	if (!error && !*programs)
		error = load(instance, programs, message);
	if (error)
		return error;
	error = make(instance, *programs, cgroup, directory, message);
	if (error) {
		bpffs_remove(instance->directory, &found, NULL);
		instance_datagrams6_end(instance_owner(instance->name));
	}
	return error;
}

static int up_again(struct instance *instance, const char *cgroup, uint32_t connections,
		    struct message *message)
{
	int error;

	if (cgroup && strcmp(cgroup, instance->control.cgroup_path))
		return fail(message, -EEXIST,
			    "instance %s is up on %s already (waybill down, or another --instance)",
			    instance->name, instance->control.cgroup_path);
	if (connections && connections != instance->control.connections)
		return fail(message, -EEXIST,
			    "instance %s is up with room for %u connections (waybill down first)",
			    instance->name, instance->control.connections);
	error = instance_cgroup_check(instance, message);
	return error ? error : renew(instance, message);
}

int instance_up(const char *name, const char *cgroup, uint32_t connections, bool *renewed,
		struct message *message)
{
	char mount[PATH_MAX / 2], path[256], directory[PATH_MAX];
	struct instance *fresh = NULL, *instance = NULL;
	struct waybill_bpf *programs = NULL;
	int lock, error;

	*renewed = false;
	if (connections && (connections < CONNECTIONS_MIN || connections > CONNECTIONS_MAX))
		return fail(message, -EINVAL, "%u connections: from %u to %u can be had",
			    connections, CONNECTIONS_MIN, CONNECTIONS_MAX);
	error = cgroup_mount(mount, sizeof(mount), message);
	if (!error)
		error = cgroup_clean(cgroup, path, sizeof(path), mount, directory,
				     sizeof(directory), message);
	if (!error)
		error = bpffs_mount(message);
	if (!error)
		error = prepare(name, path, connections, &fresh, &programs, message);
	if (error)
		goto out;
	lock = bpffs_lock(message);
	if (lock < 0) {
		error = lock;
		goto out;
	}
	error = instance_open(name, &instance, message);
	if (!error) {
		error = up_again(instance, cgroup ? path : NULL, connections, message);
		*renewed = !error;
	} else if (error == -ENOENT) {
		error = up_new(fresh, &programs, path, directory, message);
	}
	bpffs_unlock(lock);
out:
	waybill_bpf__destroy(programs);
	instance_close(instance);
	instance_close(fresh);
	return error;
}

int instance_down(const char *name, bool *found, struct message *message)
{
	char directory[192];
	int lock, error;

	*found = false;
	error = bpffs_directory(name, directory, sizeof(directory), message);
	if (error)
		return error;
	lock = bpffs_lock(message);
	if (lock < 0)
		return lock;
	error = bpffs_remove(directory, found, message);
	instance_datagrams6_end(instance_owner(name));
	bpffs_unlock(lock);
	return error;
}

int instance_create_private(const char *cgroup, uint32_t connections, struct instance **out,
			    struct message *message)
{
	char mount[PATH_MAX / 2], path[256], directory[PATH_MAX];
	struct instance *instance;
	int error;

	*out = NULL;
	error = cgroup_mount(mount, sizeof(mount), message);
	if (!error)
		error = cgroup_clean(cgroup, path, sizeof(path), mount, directory,
				     sizeof(directory), message);
	if (error)
		return error;
	instance = instance_new("private", connections);
	if (!instance)
		return fail(message, -ENOMEM, "out of memory");
	error = load(instance, &instance->programs, message);
	if (!error)
		error = begin(instance, path, directory, message);
	if (!error)
		error = attach_programs(instance, instance->programs, PROGRAMS_CONNECTIONS,
					directory, message);
	if (error)
		instance_close(instance);
	else
		*out = instance;
	return error;
}
