// SPDX-License-Identifier: BSD-2-Clause
/*
 * A policy put in force: its contexts and counters made, its image filled and frozen, the option
 * hooks attached above its services, and then one pointer swapped. What the policy before
 * it needed is taken away only after that.
 */
#include "instance.h"
#include "progress.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CONTEXT_GRACE (600ULL * 1000000000) /* kept after the policy that had it */

/* The contexts that the kernel has, and which of them the new policy uses. */
struct contexts {
	struct instance *instance;
	bool check; /* write nothing */
	struct {
		uint32_t number;
		bool used;
		struct context context;
	} * entry;
	size_t count;
	uint32_t last;
};

static int contexts_read(struct contexts *contexts, struct message *message)
{
	int map = contexts->instance->map[MAP_CONTEXTS];
	uint32_t number, *previous = NULL;
	size_t room = 0;

	while (!bpf_map_get_next_key(map, previous, &number)) {
		previous = &number;
		if (contexts->count == room) {
			void *more =
				reallocarray(contexts->entry, room + 64, sizeof(*contexts->entry));

			if (!more)
				return fail(message, -ENOMEM, "out of memory");
			contexts->entry = more;
			room += 64;
		}
		contexts->entry[contexts->count].number = number;
		contexts->entry[contexts->count].used = false;
		if (bpf_map_lookup_elem(map, &number, &contexts->entry[contexts->count].context))
			continue;
		contexts->count++;
	}
	return 0;
}

static int context_write(struct contexts *contexts, size_t i, struct message *message)
{
	if (contexts->check)
		return 0;
	if (bpf_map_update_elem(contexts->instance->map[MAP_CONTEXTS], &contexts->entry[i].number,
				&contexts->entry[i].context, BPF_ANY))
		return fail(message, -errno, "contexts: %s%s", strerror(errno),
			    errno == E2BIG ? " (over 8,192 with those of live connections; use "
					     "fewer different ones, or apply again later)" :
					     "");
	return 0;
}

static int context_number(void *data, const void *bytes, size_t size, uint32_t *number,
			  struct message *message)
{
	struct contexts *contexts = data;
	void *more;
	size_t i;

	for (i = 0; i < contexts->count; i++)
		if (contexts->entry[i].context.size == size &&
		    !memcmp(contexts->entry[i].context.bytes, bytes, size))
			break;
	if (i == contexts->count) {
		more = reallocarray(contexts->entry, i + 1, sizeof(*contexts->entry));
		if (!more)
			return fail(message, -ENOMEM, "out of memory");
		contexts->entry = more;
		memset(&contexts->entry[i], 0, sizeof(contexts->entry[i]));
		contexts->entry[i].number = ++contexts->last;
		contexts->entry[i].context.size = size;
		memcpy(contexts->entry[i].context.bytes, bytes, size);
		contexts->entry[i].context.retired = 1; /* so that it is written below */
		contexts->count++;
	}
	*number = contexts->entry[i].number;
	contexts->entry[i].used = true;
	if (!contexts->entry[i].context.retired)
		return 0;
	contexts->entry[i].context.retired = 0;
	return context_write(contexts, i, message);
}

static int context_is_live(void *data, const struct flow *flow)
{
	struct contexts *contexts = data;

	for (size_t i = 0; i < flow->hops; i++)
		for (size_t j = 0; j < contexts->count; j++)
			if (contexts->entry[j].number == flow->hop[i]->context)
				contexts->entry[j].used = true;
	return 0;
}

/* Notes which contexts the policy in force no longer has, and drops those that nobody can ask. */
static void contexts_retire(struct contexts *contexts)
{
	uint64_t now = boot_time();
	bool old = false;

	for (size_t i = 0; i < contexts->count; i++) {
		struct context *context = &contexts->entry[i].context;

		if (contexts->entry[i].used)
			continue;
		if (!context->retired) {
			context->retired = now;
			context_write(contexts, i, NULL);
		} else if (now - context->retired > CONTEXT_GRACE) {
			old = true;
		}
	}
	if (!old || instance_flows(contexts->instance, context_is_live, contexts, NULL))
		return;
	for (size_t i = 0; i < contexts->count; i++)
		if (!contexts->entry[i].used && contexts->entry[i].context.retired &&
		    now - contexts->entry[i].context.retired > CONTEXT_GRACE)
			bpf_map_delete_elem(contexts->instance->map[MAP_CONTEXTS],
					    &contexts->entry[i].number);
}

/*
 * Through memory: by the system call a million lines take a second more. That the programs only
 * read it is not for the kernel to enforce then, since a map is either writable so or read-only to
 * them.
 */
static int image_fill(int map, const struct policy_image *image)
{
	size_t size = image->lines * POLICY_LINE;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);

	progress_phase("loading", 1);
	if (memory == MAP_FAILED)
		return -errno;
	memcpy(memory, image->line, size);
	munmap(memory, size);
	/* We cannot change it from here on. */
	return bpf_map_freeze(map);
}

int image_map(const struct policy_image *image, struct message *message)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_INNER_MAP | BPF_F_MMAPABLE);
	int map, error;

	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "waybill_policy", sizeof(uint32_t), POLICY_LINE,
			     image->lines, &options);
	if (map < 0)
		return fail(message, map, "no map for a policy of %zu KiB: %s",
			    image->lines * POLICY_LINE / 1024, strerror(-map));
	error = image_fill(map, image);
	if (!error)
		return map;
	close(map);
	return fail(message, error, "the policy's map: %s", strerror(-error));
}

static int policy_map(struct instance *instance)
{
	uint32_t zero = 0, id;

	if (bpf_map_lookup_elem(instance->map[MAP_POLICIES], &zero, &id))
		return -errno;
	return bpf_map_get_fd_by_id(id);
}

int instance_policy(struct instance *instance, struct policy_image *image, struct message *message)
{
	struct bpf_map_info info = {};
	unsigned int size = sizeof(info);
	void *memory = MAP_FAILED;
	int map, error = 0;

	*image = (struct policy_image){};
	map = policy_map(instance);
	if (map < 0)
		return map == -ENOENT ? map : fail(message, map, "policy: %s", strerror(-map));
	if (bpf_obj_get_info_by_fd(map, &info, &size))
		error = -errno;
	image->lines = info.max_entries;
	if (!error) {
		memory = mmap(NULL, image->lines * POLICY_LINE, PROT_READ, MAP_SHARED, map, 0);
		error = memory == MAP_FAILED ? -errno : 0;
	}
	if (!error) {
		image->line = malloc(image->lines * POLICY_LINE);
		if (image->line)
			memcpy(image->line, memory, image->lines * POLICY_LINE);
		else
			error = -ENOMEM;
		munmap(memory, image->lines * POLICY_LINE);
	}
	close(map);
	if (error)
		fail(message, error, "policy: cannot read it: %s", strerror(-error));
	return error;
}

/* Counters of the services: those of the new policy made, others dropped. */
static int service_counters_make(struct instance *instance, const struct policy *policy,
				 struct message *message)
{
	int map = instance->map[MAP_SERVICE_COUNTERS], cpus = libbpf_num_possible_cpus();
	struct service_counters *zero;
	int error = 0;

	if (cpus < 0)
		return fail(message, cpus, "number of CPUs: %s", strerror(-cpus));
	zero = calloc(cpus, sizeof(*zero));
	if (!zero)
		return fail(message, -ENOMEM, "out of memory");
	for (size_t i = 0; !error && i < policy->services; i++) {
		uint32_t id = policy_service_id(policy->service[i].name);

		if (bpf_map_update_elem(map, &id, zero, BPF_NOEXIST) && errno != EEXIST)
			error = fail(message, -errno, "counters of service %s: %s",
				     policy->service[i].name, strerror(errno));
	}
	free(zero);
	return error;
}

static void service_counters_drop(struct instance *instance, const struct policy *policy)
{
	int map = instance->map[MAP_SERVICE_COUNTERS];
	uint32_t id, *previous = NULL, stale[4 * POLICY_SERVICES_MAX];
	size_t count = 0;

	while (count < 4 * POLICY_SERVICES_MAX && !bpf_map_get_next_key(map, previous, &id)) {
		bool ours = false;

		for (size_t i = 0; i < policy->services; i++)
			ours = ours || policy_service_id(policy->service[i].name) == id;
		if (!ours)
			stale[count++] = id;
		previous = &id;
	}
	while (count)
		bpf_map_delete_elem(map, &stale[--count]);
}

int instance_policy_header(struct instance *instance, struct policy_header *header)
{
	uint8_t line[POLICY_LINE] __attribute__((aligned(8)));
	int map = policy_map(instance), error = 0;
	uint32_t zero = 0;

	if (map < 0)
		return map;
	if (bpf_map_lookup_elem(map, &zero, line))
		error = -errno;
	else
		memcpy(header, line, sizeof(*header));
	close(map);
	return error;
}

/* What goes on from one policy to the next. */
static void policy_continue(struct instance *instance, uint32_t *generation, uint32_t *last_context)
{
	struct policy_header header;

	*generation = 1;
	*last_context = 0;
	if (instance_policy_header(instance, &header))
		return;
	*generation = header.generation + 1;
	*last_context = header.last_context;
}

static int swap(struct instance *instance, const struct policy *policy, struct policy_image *image,
		const struct places *places, struct message *message)
{
	struct policy_header *header = (void *)image->line;
	uint32_t zero = 0;
	int map, error;

	error = service_counters_make(instance, policy, message);
	if (!error)
		error = attach_options(instance, places->id, places->count, message);
	progress_phase("loading programs for datagrams", 1);
	if (!error && header->udp)
		error = attach_datagrams(instance, message);
	if (error)
		return error;
	/* What began while programs were loaded is older than this policy. */
	header->applied = boot_time();
	map = image_map(image, message);
	if (map < 0)
		return map;
	if (bpf_map_update_elem(instance->map[MAP_POLICIES], &zero, &map, BPF_ANY))
		error = fail(message, -errno, "cannot put the policy in force: %s",
			     strerror(errno));
	close(map);
	if (!error) {
		detach_options(instance, places->id, places->count);
		service_counters_drop(instance, policy);
	}
	return error;
}

static int apply(struct instance *instance, const struct policy *policy, bool check,
		 struct apply_result *result, struct message *message)
{
	struct contexts contexts = { .instance = instance, .check = check };
	struct policy_target target = {
		.context_number = context_number,
		.data = &contexts,
		.executable = executable_find,
	};
	struct policy_image image = {};
	struct timespec begin, end;
	char mount[PATH_MAX / 2];
	struct places places;
	int lock = -1, error;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	error = cgroup_mount(mount, sizeof(mount), message);
	target.cgroup_root = mount;
	target.levels_unknown = !error && !cgroup_shows_all(mount);
	if (!error && instance->directory[0])
		error = instance_cgroup_check(instance, message);
	if (!error && instance->directory[0]) {
		lock = bpffs_lock(message);
		error = lock < 0 ? lock : 0;
	}
	if (error)
		return error;
	policy_continue(instance, &target.generation, &contexts.last);
	error = contexts_read(&contexts, message);
	if (!error)
		error = policy_compile(policy, &target, &image, message);
	if (!error)
		error = places_find(instance, policy, &places, message);
	/* A number may be asked for as long as a socket has its hop, so none is given twice. */
	if (!error)
		((struct policy_header *)image.line)->last_context = contexts.last;
	if (!error && !check)
		error = swap(instance, policy, &image, &places, message);
	if (!error && !check)
		contexts_retire(&contexts);
	clock_gettime(CLOCK_MONOTONIC, &end);
	*result = (struct apply_result){
		.generation = target.generation,
		.services = policy->services,
		.filters = policy->filters,
		.lines = image.lines,
		.seconds = end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9,
	};
	free(image.line);
	free(contexts.entry);
	if (lock >= 0)
		bpffs_unlock(lock);
	return error;
}

int instance_apply(struct instance *instance, const struct policy *policy,
		   struct apply_result *result, struct message *message)
{
	return apply(instance, policy, false, result, message);
}

int instance_check(struct instance *instance, const struct policy *policy,
		   struct apply_result *result, struct message *message)
{
	return apply(instance, policy, true, result, message);
}

int policy_compile_here(const struct policy *policy, struct policy_image *image,
			struct message *message)
{
	struct policy_target target = { .executable = geteuid() ? NULL : executable_find };
	char mount[PATH_MAX / 2];
	int error = cgroup_mount(mount, sizeof(mount), message);

	target.cgroup_root = mount;
	return error ? error : policy_compile(policy, &target, image, message);
}
