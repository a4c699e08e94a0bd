/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A policy as its file says it: services, and the filters that send connections to them.
 * policy_load() reads one from a file; policy_compile() makes the image that the kernel half
 * asks (decision/image.h). Strings and arrays belong to the policy.
 */
#ifndef WAYBILL_PLATFORM_POLICY_H
#define WAYBILL_PLATFORM_POLICY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <waybill/abi.h>

#include "../../decision/step.h"

/* One line for people: what is wrong, why, and how to mend it. Filled in by what fails. */
struct message {
	char text[1024];
};

struct range {
	uint32_t from, to; /* both belong to it */
};

struct prefix {
	uint8_t address[16]; /* IPv4: the last four bytes, after ::ffff */
	uint8_t length;      /* IPv4: 0 to 32 */
	bool v4;
};

/* Both have to fit, as far as they are given; neither: nobody. */
struct service_identity {
	bool has_user;
	uid_t user;
	char *cgroup; /* path below the mount of cgroup2, as "/system.slice/dlp.service"; or NULL */
};

struct service {
	char *name;
	unsigned int line; /* in the file, 0 if it is not from a file */
	uint32_t weight;
	uint16_t tcp, udp;                 /* ports, host byte order; 0: none */
	bool has4, has6;                   /* endpoint address of the family */
	uint8_t address4[4], address6[16]; /* 127.0.0.1 and ::1 for what comes from a file */
	struct service_identity identity;
	struct service_identity listener; /* who else makes the socket that listens */
	enum policy_when_down when_down;
	bool keep_family;
};

/* What a filter is about, or what it is not about. */
struct conditions {
	bool tcp, udp;
	struct prefix *remote; /* none of a kind (count 0): any; or, as exceptions, none */
	size_t remotes;
	struct prefix *local; /* what the socket is bound to */
	size_t locals;
	struct range *port;
	size_t ports;
	struct range *user;
	size_t users;
	struct range *group;
	size_t groups;
	struct range *interface; /* by index; 0: bound to none */
	size_t interfaces;
	char **cgroup; /* as in service_identity; with everything below them */
	size_t cgroups;
	char **application; /* paths of executables: of the process that connects */
	size_t applications;
	char **original; /* of the originator */
	size_t originals;
	uint64_t *namespace; /* cookies of network namespaces */
	size_t namespaces;
};

struct filter {
	char *name;
	unsigned int line;
	char *service; /* its name */
	uint32_t weight;
	struct conditions match;  /* it matches if all of these hold, */
	struct conditions except; /* and none of these */
	enum policy_action action;
	uint8_t *context;
	size_t context_size;
};

struct policy {
	char *source; /* path of the file, or what made it */
	uint32_t hop_limit;
	uint64_t records_expire; /* nanoseconds */
	bool lose_mark, redirect_unheard; /* see enum policy_flag */
	uint64_t datagram_idle;  /* nanoseconds */
	struct service *service; /* in the order of the file */
	size_t services;
	struct filter *filter;
	size_t filters;
	char **no_service; /* cgroups in which nobody is a service, whatever their user */
	size_t no_services;
};

/*
 * Reads and checks a policy file: schema, names, ranges, users, references between its parts.
 * Cgroups are only checked for form here; whether they exist is asked when it is compiled.
 * Returns 0 and a policy for policy_free(), or -EINVAL (the file is wrong), -ENOENT, -EACCES,
 * -ENOMEM, -E2BIG ... with "FILE:LINE: what (reason; mend)" in message.
 */
int policy_load(const char *path, struct policy **policy, struct message *message);
/* The same of a text; name stands for the file in messages and as the policy's source. */
int policy_load_text(const char *name, const char *text, size_t size, struct policy **policy,
		     struct message *message);
void policy_free(struct policy *policy);

/* What policy_compile() must be told of the instance that the image is for. */
struct policy_target {
	const char *cgroup_root; /* mount of cgroup2, as "/sys/fs/cgroup" */
	/*
	 * The mount's root is that of a cgroup namespace: the kernel counts levels from the host's,
	 * so every level is asked for.
	 */
	bool levels_unknown;
	uint32_t generation;
	/*
	 * The number of the context bytes in the instance's map "contexts"; called once for each
	 * filter that has a context. Returns 0 and *number, or a negative errno and message. NULL
	 * for an image that is only asked and never put in force: all numbers are 0 then.
	 */
	int (*context_number)(void *data, const void *bytes, size_t size, uint32_t *number,
			      struct message *message);
	void *data;
	/*
	 * The executable at a path: executable_find(), as a rule. NULL where no policy names one.
	 * Returns 0 and the path that it has without links, or a negative errno.
	 */
	int (*executable)(const char *path, struct policy_executable *executable,
			  char real[PATH_MAX]);
};

struct policy_image {
	uint8_t (*line)[POLICY_LINE]; /* lines of them, aligned to 8 bytes; for free() */
	size_t lines;
};

/* Asks an image in user space: what decision/image.h calls the image is a struct policy_image. */
static inline const void *policy_line(const void *image, __u32 line)
{
	const struct policy_image *of = image;

	return line < of->lines ? of->line[line] : NULL;
}

/* And the parts of a decision on it. */
static inline int decide_conditions(const void *image, const struct question *question,
				    struct decision *decision)
{
	return match_rest(image, policy_line(image, 0), question, &decision->match,
			  &decision->application);
}

static inline int decide_filter(const void *image, const struct decision *decision)
{
	return match_next(image, policy_line(image, 0), &decision->match, decision->next);
}

static inline int decide_follow(const void *image, const struct question *question,
				struct decision *decision, __u32 found)
{
	decide_turn(image, policy_line(image, 0), question, found, decision);
	return 0;
}

/*
 * Compiles; the policy is checked first, as policy_load() does. A cgroup that does not exist is
 * an error, since nothing could ever match it.
 * Returns 0, or -EINVAL, -ENOENT, -E2BIG (says which limit, and by how much), -ENOMEM.
 */
int policy_compile(const struct policy *policy, const struct policy_target *target,
		   struct policy_image *image, struct message *message);

/* The id by which records name a service: the same on every host, for every policy. */
uint32_t policy_service_id(const char *name);

#endif
