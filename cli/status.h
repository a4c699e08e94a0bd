/* SPDX-License-Identifier: BSD-2-Clause */
/* What `waybill status` shows: gathered once, then printed for people or for programs. */
#ifndef WAYBILL_CLI_STATUS_H
#define WAYBILL_CLI_STATUS_H

#include "names.h"

struct service_status {
	const struct policy_service *service;
	struct service_counters counters;
	bool alive4, alive6; /* whether it has a listener that counts, of TCP */
};

struct status {
	const char *instance, *cgroup;
	bool verbose;
	struct names names; /* with the policy in force, if there is one */
	const char *source; /* file of that policy */
	bool elsewhere; /* services are of another network namespace: whether they listen is unknown
			 */
	uint32_t key;
	uint64_t counters[COUNTERS];
	struct service_status service[POLICY_SERVICES_MAX];
	size_t services;
};

/* Fills in what is read from the kernel. names_close(&status->names) afterwards, in any case. */
int status_gather(struct status *status, struct instance *instance, struct message *message);
void status_print(const struct status *status);
void status_print_json(const struct status *status);

#endif
