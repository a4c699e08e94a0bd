/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What programs read. The same thing has the same form wherever it is printed: ids are eight hex
 * digits, flows sixteen (JavaScript would round the numbers), times ISO 8601 in UTC.
 */
#ifndef WAYBILL_CLI_JSON_H
#define WAYBILL_CLI_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <waybill/abi.h>

#include "names.h"

json_t *json_id(uint32_t id);
json_t *json_flow(uint64_t flow);
json_t *json_time(uint64_t realtime);
json_t *json_text(const char *text, size_t size); /* any bytes, up to a NUL or size */
json_t *json_address(const struct waybill_address *address);
json_t *json_process(const struct waybill_process *process);

/* Sets "service" (its name, or null) and "service_id"; the same for a filter. Id 0: neither. */
void json_set_service(json_t *object, const struct names *names, uint32_t id);
void json_set_filter(json_t *object, const struct names *names, uint32_t id);
/* Of a hop whose client the policy named then. */
void json_set_application(json_t *object, const struct names *names, uint32_t number);

/* Print to standard output, and free. A line is flushed at once. */
void json_print(json_t *value);
void json_print_line(json_t *value);

#endif
