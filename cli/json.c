// SPDX-License-Identifier: BSD-2-Clause
/*
 * JSON of what the kernel half knows. jansson refuses strings that are not UTF-8, and a process
 * may be called anything: then bytes beyond ASCII are written as \xNN.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "output.h"

json_t *json_id(uint32_t id)
{
	return json_sprintf("%08" PRIx32, id);
}

json_t *json_flow(uint64_t flow)
{
	return json_sprintf("%016" PRIx64, flow);
}

json_t *json_time(uint64_t realtime)
{
	return json_string(text_time(realtime).text);
}

json_t *json_text(const char *text, size_t size)
{
	size_t length = strnlen(text, size);
	json_t *string = json_stringn(text, length);

	return string ? string : json_string(text_printable(text, length).text);
}

json_t *json_address(const struct waybill_address *address)
{
	return address->family ? json_string(text_address(address).text) : json_null();
}

json_t *json_process(const struct waybill_process *process)
{
	return json_pack("{s:I, s:I, s:I, s:o, s:I}", "pid", (json_int_t)process->pid, "uid",
			 (json_int_t)process->uid, "gid", (json_int_t)process->gid, "comm",
			 json_text(process->comm, sizeof(process->comm)), "cgroup",
			 (json_int_t)process->cgroup);
}

void json_set_service(json_t *object, const struct names *names, uint32_t id)
{
	const char *name = names_service(names, id);

	if (!id)
		return;
	json_object_set_new(object, "service", name ? json_string(name) : json_null());
	json_object_set_new(object, "service_id", json_id(id));
}

void json_set_filter(json_t *object, const struct names *names, uint32_t id)
{
	const char *name = names_filter(names, id);

	if (!id)
		return;
	json_object_set_new(object, "filter", name ? json_string(name) : json_null());
	json_object_set_new(object, "filter_id", json_id(id));
}

void json_set_application(json_t *object, const struct names *names, uint32_t number)
{
	const char *path = names_application(names, number);

	if (!number)
		return;
	json_object_set_new(object, "application", path ? json_text(path, -1) : json_null());
	json_object_set_new(object, "application_id", json_id(number));
}

static void print(json_t *value, size_t flags)
{
	if (!value || json_dumpf(value, stdout, flags | JSON_REAL_PRECISION(9))) {
		fputs("waybill: out of memory\n", stderr);
		exit(1);
	}
	json_decref(value);
	putchar('\n');
}

void json_print(json_t *value)
{
	print(value, JSON_INDENT(2));
}

void json_print_line(json_t *value)
{
	print(value, JSON_COMPACT);
	fflush(stdout);
}
