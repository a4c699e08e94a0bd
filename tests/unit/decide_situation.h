/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All that a decision depends on besides the policy: a connection, its records, and who listens
 * where. Random ones, in which every rule of the arbitration comes to bear.
 */
#ifndef WAYBILL_TESTS_DECIDE_SITUATION_H
#define WAYBILL_TESTS_DECIDE_SITUATION_H

#include "policy_random.h"

/* Whoever is found listening. Nobody has a user and a cgroup too: they must not count. */
struct somebody {
	enum listening found;
	uint32_t user;
	const char *cgroup;
};

/* What a hop of the records says: the name of a service, which may have left the policy. */
struct record {
	const char *service;
	bool presumed;
};

struct situation {
	struct client connection; /* onward: with records */
	struct record record[WAYBILL_HOPS_MAX];
	unsigned int records;
	bool unreachable;      /* the socket cannot reach a service */
	unsigned int recorded; /* which ids the records have of the originator's cgroup */
	/* Where it goes, and at the endpoints of the services in the order of the policy. */
	struct somebody at_destination, at_service[POLICY_SERVICES_MAX];
};

/* As random_policy(), with more that matches, and services of every kind. */
struct policy *random_decidable(void);

struct situation random_situation(const struct policy *policy);

/* For people. */
void situation_print(const struct policy *policy, const struct situation *situation);

#endif
