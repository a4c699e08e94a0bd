/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of platform/ share about an instance: its maps, where it is pinned, and the
 * steps that it is made of. Not for others.
 */
#ifndef WAYBILL_PLATFORM_INSTANCE_H
#define WAYBILL_PLATFORM_INSTANCE_H

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "platform.h"

/* Every map, in the order of instance_maps[]. */
enum instance_map {
	MAP_POLICIES,
	MAP_CONTROL,
	MAP_KEYS,
	MAP_CONTEXTS,
	MAP_CONNECTIONS,
	MAP_CONNECTION_HISTORIES,
	MAP_CONNECTION_INDEX,
	MAP_CONNECTION_NUMBERS,
	MAP_ACCEPTS,
	MAP_HISTORIES,
	MAP_SHARES,
	MAP_FLOW_IDS,
	MAP_DATAGRAMS,
	MAP_FLOWS,
	MAP_FLOW_INDEX,
	MAP_FLOW_HISTORIES,
	MAP_FLOW_SHARES,
	MAP_FLOW_ANSWERS,
	MAP_HOMES,
	MAP_COUNTERS,
	MAP_SERVICE_COUNTERS,
	MAP_WATCH,
	MAP_EVENTS,
	MAPS
};

extern const char *const instance_maps[MAPS];

/*
 * programs.c: the programs of the kernel half. A family is loaded, attached and renewed as one:
 * that of connections by `up`, on the instance's cgroup; that of datagrams on it too, but by the
 * first policy that redirects any, since it costs every datagram something; that of options above
 * the services, as the policy says. The last one is for who asks, and attached to nothing.
 */
enum program_family {
	PROGRAMS_CONNECTIONS = 1,
	PROGRAMS_DATAGRAMS = 2,
	PROGRAMS_OPTIONS = 4,
	PROGRAMS_ASKED = 8,
};

#define PROGRAMS_ALWAYS (PROGRAMS_CONNECTIONS | PROGRAMS_OPTIONS | PROGRAMS_ASKED)
#define PROGRAMS_ALL (PROGRAMS_ALWAYS | PROGRAMS_DATAGRAMS)
#define PROGRAMS_PINNED                                                                            \
	(PROGRAMS_OPTIONS | PROGRAMS_ASKED) /* by themselves: wanted again, later  \
							     */

struct kernel_program {
	const char
		*name; /* of its link, and of its pin; in the object PROGRAM_PREFIX is before it */
	enum program_family family;
	enum bpf_attach_type type;
	const char *hook; /* for people; NULL if it is not attached to a cgroup */
};

#define PROGRAM_PREFIX "waybill_"

/*
 * The next one of some families, in the order of attaching; the first after NULL; NULL at the end.
 */
const struct kernel_program *kernel_program_next(const struct kernel_program *before,
						 unsigned int families);
/* The program of a link, by the link's name, or NULL. */
const struct kernel_program *kernel_program_of(const char *link);
/* The one that is attached last. */
const struct kernel_program *kernel_program_last(unsigned int families);
/* In an object that is open. */
struct bpf_program *object_program(const struct bpf_object *object,
				   const struct kernel_program *program);

/* What is loaded as one: programs in use, those that end flows, the one that knows executables. */
enum kernel_object { OBJECT_WAYBILL, OBJECT_RESET, OBJECT_EXECUTABLE, OBJECTS };
const void *waybill_object(size_t *size);    /* load.c */
const void *reset_object(size_t *size);      /* reset.c */
const void *executable_object(size_t *size); /* executable.c */

/*
 * trial.c: says in message why an object could not be loaded, if it was for its programs of those
 * families. Returns error.
 */
int load_failed(enum kernel_object object, unsigned int families, int error,
		struct message *message);
/* Of a program about to be loaded: what the verifier objects to, and no more, goes to log. */
#define VERIFIER_LOG_SIZE 65536
void verifier_log_set(struct bpf_program *program, char log[VERIFIER_LOG_SIZE]);

struct waybill_bpf;

struct instance {
	char name[64];
	char directory[192]; /* of its pins; "" if it is private */
	int map[MAPS];
	struct control control;
	/* Of a private instance only: what holds its programs and links. */
	struct waybill_bpf *programs;
	bool datagrams_attached;
	int *links;
	size_t link_count;
};

#define CGROUP_ROOT 1 /* the id that the kernel gives to the root of the whole hierarchy */

/* For libbpf_set_print(): says nothing, unless WAYBILL_DEBUG is set. */
int libbpf_quiet(enum libbpf_print_level level, const char *format, va_list arguments);

int fail(struct message *message, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * netns.c: calls function in every network namespace that a process is in or that is mounted, the
 * caller's first. Stops at the first that returns other than 0.
 */
int netns_each(int (*function)(void *data, struct message *message), void *data,
	       struct message *message);

/* What has to be equal for programs to be renewed in place: what maps hold, and the policy. */
#define INSTANCE_LAYOUT (STATE_LAYOUT | POLICY_LAYOUT << 16)

/* bpffs.c */
int bpffs_mount(struct message *message);
int bpffs_directory(const char *name, char *path, size_t size, struct message *message);
/*
 * One of up, down, apply, rotate-key at a time, for all instances. Returns a descriptor for
 * bpffs_unlock().
 */
int bpffs_lock(struct message *message);
void bpffs_unlock(int lock);
int bpffs_remove(const char *directory, bool *found, struct message *message);

/*
 * memory.c: what is made between the two calls is charged to no memory cgroup. Where the process
 * may not move (in a container), it is charged as usual.
 */
struct memory_place {
	bool moved;
	char mount[2048], path[2048];
};
void memory_uncharged(struct memory_place *place);
void memory_charged(const struct memory_place *place);

/*
 * attach.c: attaches those programs of some families that are not attached yet to the instance's
 * cgroup, which is at directory, or, if that is NULL, found by its id.
 */
int attach_programs(struct instance *instance, struct waybill_bpf *programs, unsigned int families,
		    const char *directory, struct message *message);
int attach_options(struct instance *instance, const uint64_t *cgroups, size_t count,
		   struct message *message);
/*
 * Loads and attaches the programs for datagrams, unless they are. They stay, for flows that live.
 */
int attach_datagrams(struct instance *instance, struct message *message);
/* Whether they have to be there: a policy wants them, or one did, so that flows may live. */
bool datagrams_wanted(struct instance *instance);
/* Whether a link of that name is of an option hook, and on which cgroup it was made. */
bool link_cgroup(const char *name, uint64_t *cgroup);
/* Detaches the option hooks from all cgroups but these. */
int detach_options(struct instance *instance, const uint64_t *cgroups, size_t count);
/* Gives every link of a pinned instance the programs given. */
int attach_renew(struct instance *instance, struct waybill_bpf *programs, struct message *message);
/* Whether everything that `up` attaches is attached: it was not interrupted. */
bool attach_complete(const struct instance *instance);

/* places.c: the cgroups for the option hooks of a policy, none of which is below another. */
#define PLACES_MAX (2 * POLICY_SERVICES_MAX)

struct places {
	uint64_t id[PLACES_MAX];
	size_t count;
};
int places_find(const struct instance *instance, const struct policy *policy, struct places *places,
		struct message *message);

/* cgroup.c: opens a cgroup by its id. Returns a descriptor or -errno; -ENOENT if it is gone. */
int cgroup_open(uint64_t id);

/* apply.c: makes the map of an image, filled and frozen. Returns its descriptor. */
int image_map(const struct policy_image *image, struct message *message);

/*
 * load.c: loads the programs of some families, with the maps that the instance has; else its maps
 * are theirs. And pins them, and opens the maps of an instance that is pinned.
 */
int programs_load(struct instance *instance, unsigned int families, struct waybill_bpf **programs,
		  struct message *message);
int programs_pin(const struct instance *instance, struct waybill_bpf *programs,
		 struct message *message);
int maps_pin(const struct instance *instance, struct message *message);
int maps_open(struct instance *instance, struct message *message);

/*
 * route.c: IPv6 flows' addresses are local in the caller's network namespace. owner tells whose
 * wish that is. -ESRCH: there was no such route.
 */
int flow_route_add(uint32_t owner);
int flow_route_remove(uint32_t owner);

/* reset.c: the programs that end flows, over the maps of the instance. */
struct waybill_reset;
int reset_load(struct instance *instance, struct waybill_reset **programs, struct message *message);
/* flows.c: everything that an iterator gives, for free(). */
int iterator_read(int iterator, uint8_t **bytes, size_t *size, struct message *message);

/* keys.c: the first key of a new instance. */
int keys_begin(struct instance *instance, struct message *message);

/* Nanoseconds of CLOCK_BOOTTIME, the clock of everything the programs write. */
uint64_t boot_time(void);

#endif
