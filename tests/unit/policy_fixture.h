/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of compiled policies share: cgroups and executables to name, and questions to ask.
 * Used with cmocka: what fails here fails the test.
 */
#ifndef WAYBILL_TESTS_POLICY_FIXTURE_H
#define WAYBILL_TESTS_POLICY_FIXTURE_H

#include "policy_random.h"

/* Directories that stand in for the cgroups of random policies: fixtures of a group of tests. */
int make_cgroups(void **state);
int remove_cgroups(void **state);

/* With them as its cgroups, and the executables of random policies. */
extern struct policy_target target;

/* A policy that has to compile. */
struct policy_image compile(const struct policy *policy);
/* Compiles, unless the exceptions of a filter leave nothing: that has to be refused, and said. */
bool possible(struct policy *policy, struct policy_image *image);
/* Takes filters that can match nothing out of a policy that is to be compiled as it is. */
struct policy_image compile_possible(struct policy *policy);
/* Takes away what was random of its conditions. */
void any_connection(struct filter *filter);

static inline const struct policy_header *header_of(const struct policy_image *image)
{
	return policy_line(image, 0);
}

/* The nearest named cgroup, as the kernel half looks for it: NULL if there is none. */
const struct policy_cell *cell_of(const struct policy_image *image, const char *cgroup);
/*
 * What the image is asked about a connection, and whether a filter may match; then match is filled
 * in.
 */
struct question question_of(const struct policy_image *image, const struct client *connection);
bool matches(const struct policy_image *image, const struct question *question,
	     struct match *match);
/* The filters that match according to the image have to be those of the reference, in its order. */
void compare_filters(const struct policy *policy, const struct policy_image *image,
		     const struct client *connection);

#endif
