/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random policies and connections for tests of the compiler, and a reference that decides them in
 * the plainest way there is: it walks the policy as the file has it and compares.
 */
#ifndef WAYBILL_TESTS_POLICY_RANDOM_H
#define WAYBILL_TESTS_POLICY_RANDOM_H

#include "../../platform/policy/policy.h"

/* The cgroups that random policies name and random processes live in; the last are not named. */
#define RANDOM_CGROUPS 12
#define RANDOM_CGROUPS_NAMED 9

extern const char *const random_cgroup[RANDOM_CGROUPS];

/*
 * Executables: as many that random policies name, each by two paths, and one more. The first is for
 * struct policy_target; then what the kernel half knows one by, and its number in records.
 */
#define RANDOM_APPLICATIONS 8
/* From here on they are other files, each with the hash of one of the former. */
#define RANDOM_TWINS (RANDOM_APPLICATIONS + 1)

int random_executable(const char *path, struct policy_executable *executable, char real[PATH_MAX]);
struct policy_executable random_executable_number(unsigned int application);
uint32_t random_application_number(unsigned int application);

struct client {
	struct waybill_address remote;
	struct waybill_address local; /* all 0: bound to none */
	bool udp;
	uint32_t user, group, interface;
	const char *cgroup;
	unsigned int application, original; /* number of one */
	bool onward;                        /* else the original one is the one at hand */
	uint64_t netns;
};

/* xorshift64*: the same sequence everywhere. */
uint64_t random_number(void);
void random_seed(uint64_t seed);
/* 0 to below - 1 */
uint64_t random_below(uint64_t below);

struct policy *random_policy(size_t services, size_t filters);

/* Near what the policy tells apart, more often than not. */
struct client random_connection(const struct policy *policy);

/* Appends a prefix. */
void add_prefix(struct filter *filter, struct prefix prefix);
struct prefix random_prefix(void);

/* The filters that match, in order of precedence; how many. */
size_t reference_matches(const struct policy *policy, const struct client *connection,
			 const struct filter *match[]);

/* Whether a process may be this service, or (maker) the maker of its listener. */
bool reference_is_service(const struct policy *policy, const struct service *service, uint32_t user,
			  const char *cgroup, bool maker);

#endif
