// SPDX-License-Identifier: BSD-2-Clause
/*
 * The programs and maps of an instance: loaded, with the maps that it has already if there are
 * any; pinned, so that there is something under each name at every moment; and opened again.
 */
#include "instance.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "waybill.skel.h"

const char *const instance_maps[MAPS] = {
	[MAP_POLICIES] = "policies",
	[MAP_CONTROL] = "control",
	[MAP_KEYS] = "keys",
	[MAP_CONTEXTS] = "contexts",
	[MAP_CONNECTIONS] = "connections",
	[MAP_CONNECTION_HISTORIES] = "connection_histories",
	[MAP_CONNECTION_INDEX] = "connection_index",
	[MAP_CONNECTION_NUMBERS] = "connection_numbers",
	[MAP_ACCEPTS] = "accepts",
	[MAP_HISTORIES] = "histories",
	[MAP_SHARES] = "shares",
	[MAP_FLOW_IDS] = "flow_ids",
	[MAP_DATAGRAMS] = "datagrams",
	[MAP_FLOWS] = "flows",
	[MAP_FLOW_INDEX] = "flow_index",
	[MAP_FLOW_HISTORIES] = "flow_histories",
	[MAP_FLOW_SHARES] = "flow_shares",
	[MAP_FLOW_ANSWERS] = "flow_answers",
	[MAP_HOMES] = "homes",
	[MAP_COUNTERS] = "counters",
	[MAP_SERVICE_COUNTERS] = "service_counters",
	[MAP_WATCH] = "watch",
	[MAP_EVENTS] = "events",
};

int libbpf_quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	if (level == LIBBPF_WARN && getenv("WAYBILL_DEBUG"))
		vfprintf(stderr, format, arguments);
	return 0;
}

const void *waybill_object(size_t *size)
{
	return waybill_bpf__elf_bytes(size);
}

/*
 * To have a program verified takes more time than all else: only what is wanted is loaded. And by
 * itself libbpf has one that is refused verified again and again, until all of its log has room.
 */
static void choose(struct waybill_bpf *programs, unsigned int families, char log[VERIFIER_LOG_SIZE])
{
	const struct kernel_program *program = NULL;

	while ((program = kernel_program_next(program, PROGRAMS_ALL))) {
		struct bpf_program *chosen = object_program(programs->obj, program);

		bpf_program__set_autoload(chosen, program->family & families);
		if (!getenv("WAYBILL_DEBUG"))
			verifier_log_set(chosen, log);
	}
}

int programs_load(struct instance *instance, unsigned int families, struct waybill_bpf **programs,
		  struct message *message)
{
	libbpf_print_fn_t print = libbpf_set_print(libbpf_quiet);
	char *log = malloc(VERIFIER_LOG_SIZE);
	int error;

	*programs = waybill_bpf__open();
	if (!*programs || !log) {
		libbpf_set_print(print);
		free(log);
		waybill_bpf__destroy(*programs);
		*programs = NULL;
		return fail(message, -errno, "cannot open the eBPF object: %s", strerror(errno));
	}
	choose(*programs, families, log);
	for (int i = 0; i < MAPS; i++) {
		struct bpf_map *map =
			bpf_object__find_map_by_name((*programs)->obj, instance_maps[i]);
		struct bpf_map_info info = {};
		unsigned int size = sizeof(info);

		if (instance->map[i] < 0) {
			if (i == MAP_CONNECTIONS || i == MAP_CONNECTION_HISTORIES ||
			    i == MAP_CONNECTION_INDEX)
				bpf_map__set_max_entries(map, instance->control.connections);
			continue;
		}
		if (bpf_obj_get_info_by_fd(instance->map[i], &info, &size) ||
		    info.value_size != bpf_map__value_size(map) ||
		    bpf_map__reuse_fd(map, instance->map[i])) {
			error = fail(message, -EEXIST,
				     "instance %s was made by another version of Waybill (waybill "
				     "down, then waybill up)",
				     instance->name);
			goto out;
		}
	}
	error = waybill_bpf__load(*programs);
	if (error) {
		load_failed(OBJECT_WAYBILL, families, error, message);
		goto out;
	}
	for (int i = 0; i < MAPS; i++) {
		if (instance->map[i] >= 0)
			continue;
		instance->map[i] = fcntl(bpf_map__fd(bpf_object__find_map_by_name(
						 (*programs)->obj, instance_maps[i])),
					 F_DUPFD_CLOEXEC, 3);
		if (instance->map[i] < 0) {
			error = fail(message, -errno, "maps: %s", strerror(errno));
			goto out;
		}
	}
out:
	libbpf_set_print(print);
	free(log);
	if (error) {
		waybill_bpf__destroy(*programs);
		*programs = NULL;
	}
	return error;
}

static int pin(int descriptor, const struct instance *instance, const char *room, const char *name,
	       struct message *message)
{
	char path[PATH_MAX], fresh[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s/%s", instance->directory, room, name);
	snprintf(fresh, sizeof(fresh), "%s/%s/%s_new", instance->directory, room, name);
	unlink(fresh);
	/* Through another name, so that there is always something under this one. */
	if (descriptor < 0 || bpf_obj_pin(descriptor, fresh) || rename(fresh, path)) {
		int error = -errno;

		unlink(fresh);
		return fail(message, error, "%s: cannot pin it: %s", path, strerror(-error));
	}
	return 0;
}

int programs_pin(const struct instance *instance, struct waybill_bpf *programs,
		 struct message *message)
{
	const struct kernel_program *program = NULL;
	int error = 0;

	while (!error && (program = kernel_program_next(program, PROGRAMS_PINNED)))
		error = pin(bpf_program__fd(object_program(programs->obj, program)), instance,
			    "programs", program->name, message);
	return error;
}

int maps_pin(const struct instance *instance, struct message *message)
{
	int error = 0;

	for (int i = 0; !error && i < MAPS; i++)
		error = pin(instance->map[i], instance, "maps", instance_maps[i], message);
	return error;
}

/* Opens one map of a pinned instance. */
static int map_open(struct instance *instance, enum instance_map which, struct message *message)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/maps/%s", instance->directory, instance_maps[which]);
	instance->map[which] = bpf_obj_get(path);
	if (instance->map[which] >= 0)
		return 0;
	return errno == ENOENT ?
		       fail(message, -ENOENT, "instance %s is not up (waybill up --instance %s)",
			    instance->name, instance->name) :
		       fail(message, -errno, "%s: %s (needs root)", path, strerror(errno));
}

/*
 * Opens the maps of a pinned instance, as far as they are there. First the settings, which say
 * whether it is of this version: one of another has other maps, and must not be taken for none.
 */
int maps_open(struct instance *instance, struct message *message)
{
	struct bpf_map_info info = {};
	unsigned int size = sizeof(info);
	uint32_t zero = 0;
	int error = map_open(instance, MAP_CONTROL, message);

	if (error)
		return error;
	/* Of another version it may be larger than what we have room for. */
	if (bpf_obj_get_info_by_fd(instance->map[MAP_CONTROL], &info, &size) ||
	    (info.value_size == sizeof(instance->control) &&
	     bpf_map_lookup_elem(instance->map[MAP_CONTROL], &zero, &instance->control)))
		return fail(message, -errno, "map control: %s", strerror(errno));
	if (instance->control.layout != INSTANCE_LAYOUT)
		return fail(message, -EEXIST,
			    "instance %s was made by another version of Waybill (waybill down, "
			    "then waybill up)",
			    instance->name);
	for (int i = 0; !error && i < MAPS; i++)
		if (i != MAP_CONTROL)
			error = map_open(instance, i, message);
	return error;
}
