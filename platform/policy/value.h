/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the text of a value in a policy file to what it means: numbers, durations, addresses,
 * ranges, users, cgroups. What is refused comes with a reason that completes the sentence
 * 'remote "10.0.0.1/8" ...'.
 */
#ifndef WAYBILL_PLATFORM_POLICY_VALUE_H
#define WAYBILL_PLATFORM_POLICY_VALUE_H

#include "policy.h"

struct reason {
	char text[512];
};

/* All return 0, or -EINVAL and a reason. */
int value_number(const char *text, uint64_t from, uint64_t to, uint64_t *number,
		 struct reason *reason);
int value_duration(const char *text, uint64_t *nanoseconds, struct reason *reason);
int value_prefix(const char *text, struct prefix *prefix, struct reason *reason);
int value_ports(const char *text, struct range *range, struct reason *reason);
int value_user(const char *text, uid_t *user, struct reason *reason);
int value_users(const char *text, struct range *range, struct reason *reason);
int value_groups(const char *text, struct range *range, struct reason *reason);
/* The index that it has in the caller's network namespace. */
int value_interface(const char *text, struct range *range, struct reason *reason);

/* The cookie of a network namespace, by its name (below /run/netns) or its path. */
int value_netns(const char *text, uint64_t *cookie, struct reason *reason);

/* Also -ENOMEM. The path is for free(). */
int value_cgroup(const char *text, char **path, struct reason *reason);
int value_application(const char *text, char **path, struct reason *reason);

/* One of the choices, which end with NULL: its index. */
int value_choice(const char *text, const char *const *choices, size_t *index,
		 struct reason *reason);

/* Reasons against a name and a cgroup path, also for policies that do not come from a file. */
int value_check_name(const char *name, struct reason *reason);
int value_check_cgroup(const char *path, struct reason *reason);

#endif
