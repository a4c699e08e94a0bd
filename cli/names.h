/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of services, filters and applications, by the ids that records, flows and events bear, through the
 * policy in force. An id that it does not know is shown as eight hex digits.
 */
#ifndef WAYBILL_CLI_NAMES_H
#define WAYBILL_CLI_NAMES_H

#include "../platform/platform.h"
#include "output.h"

struct names {
	struct instance *instance; /* NULL: no names are known */
	struct policy_image image;
	const struct policy_header *header; /* NULL if no policy is in force */
	uint64_t loaded;                    /* CLOCK_BOOTTIME */
};

/* Never fails: what cannot be known is shown as a number. The instance must stay open. */
void names_open(struct names *names, struct instance *instance);
void names_close(struct names *names);
/* Reads the policy again if the id is unknown: another may have been applied. Once a second. */
void names_renew(struct names *names, uint32_t service, uint32_t filter);

/* NULL if the id is unknown. The name lives until the names are renewed or closed. */
const char *names_service(const struct names *names, uint32_t id);
const char *names_filter(const struct names *names, uint32_t id);
/* The path of an application, by its number in records. */
const char *names_application(const struct names *names, uint32_t number);
/* Each application that the policy in force names, by its place from 0; NULL after the last. */
const struct policy_application *names_application_at(const struct names *names, uint32_t place);

/* The name or the number; "-" for id 0. */
struct text text_service(const struct names *names, uint32_t id);
struct text text_filter(const struct names *names, uint32_t id);

#endif
