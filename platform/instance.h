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
	MAP_CONNECTS,
	MAP_ACCEPTS,
	MAP_HISTORIES,
	MAP_HANDOFFS,
	MAP_HANDOFF_HISTORIES,
	MAP_SHARES,
	MAP_PORTS,
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

struct waybill_bpf;

struct instance {
	char name[64];
	char directory[192]; /* of its pins; "" if it is private */
	int map[MAPS];
	struct control control;
	/* Of a private instance only: what holds its programs and links. */
	struct waybill_bpf *programs;
	bool without_datagrams;
	bool datagrams_attached; /* by this process */
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
/* One of up, down, apply, rotate-key at a time, for all instances. Returns a descriptor for
 * bpffs_unlock(). */
int bpffs_lock(struct message *message);
void bpffs_unlock(int lock);
int bpffs_remove(const char *directory, bool *found, struct message *message);

#define PROGRAMS_PINNED                                                                            \
	{                                                                                          \
		"get", "set", "flows", "recvmsg6", "recvmsg4", "sendmsg6", "sendmsg4",             \
			"datagram6", "datagram4"                                                   \
	} /* by others than links */

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

/* attach.c: the programs that are not tied to services' cgroups, and those that are. */
int attach_sockets(struct instance *instance, struct waybill_bpf *programs, const char *cgroup,
		   struct message *message);
int attach_options(struct instance *instance, const uint64_t *cgroups, size_t count,
		   struct message *message);
/* The hooks of datagrams, if they are not attached yet. They stay, for flows that live. */
int attach_datagrams(struct instance *instance, struct message *message);
/* Detaches the option hooks from all cgroups but these. */
int detach_options(struct instance *instance, const uint64_t *cgroups, size_t count);
/* The links that every instance has, by their names; ends with NULL. */
extern const char *const socket_links[];
/* Gives every link of a pinned instance the programs given. */
int attach_renew(struct instance *instance, struct waybill_bpf *programs, struct message *message);

/* apply.c: makes the map of an image, filled and frozen. Returns its descriptor. */
int image_map(const struct policy_image *image, struct message *message);

/*
 * load.c: loads the programs, with the maps that the instance has; else its maps are theirs. And
 * pins them, and opens the maps of an instance that is pinned.
 */
int programs_load(struct instance *instance, struct waybill_bpf **programs,
		  struct message *message);
int programs_pin(const struct instance *instance, struct waybill_bpf *programs,
		 struct message *message);
int maps_pin(const struct instance *instance, struct message *message);
int maps_open(struct instance *instance, struct message *message);

/* Whether every hook of sockets is attached: `up` was not interrupted. */
bool attach_complete(const struct instance *instance);

/*
 * route.c: IPv6 flows' addresses are local in the caller's network namespace. owner tells whose
 * wish that is. -ESRCH: there was no such route.
 */
int flow_route_add(uint32_t owner);
int flow_route_remove(uint32_t owner);
/* And the sources of redirected IPv6 connections; the third word of their addresses. */
int sources_add(uint32_t owner);
void sources_remove(uint32_t owner);
uint32_t source6_of(uint32_t owner);

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
