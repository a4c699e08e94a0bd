// SPDX-License-Identifier: BSD-2-Clause
/* What is counted, as families of samples. Nothing is kept: each call reads the kernel's state. */
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "metrics.h"
#include "status.h"

#define LIVE_MAX (4 * POLICY_SERVICES_MAX)

/* Live flows of a service, in force or of an earlier policy. */
struct live {
	uint32_t service;
	uint64_t tcp, udp;
};

struct gathering {
	const char *instance;
	json_t *families, *samples; /* of the family that was begun last */
	struct status status;
	struct live live[LIVE_MAX];
	size_t lives;
};

static void begin(struct gathering *to, const char *type, const char *name, const char *help)
{
	to->samples = json_array();
	json_array_append_new(to->families, json_pack("{s:s, s:s, s:s, s:O}", "name", name, "type",
						      type, "help", help, "samples", to->samples));
	json_decref(to->samples); /* the family has it */
}

/* Labels are pairs of a name and a value, and end with NULL; the instance is a label of each. */
static void add(struct gathering *to, json_t *value, ...) __attribute__((sentinel));
static void add(struct gathering *to, json_t *value, ...)
{
	json_t *labels = json_object();
	va_list arguments;
	const char *name;

	json_object_set_new(labels, "instance", json_text(to->instance, -1));
	va_start(arguments, value);
	while ((name = va_arg(arguments, const char *)))
		json_object_set_new(labels, name, json_text(va_arg(arguments, const char *), -1));
	va_end(arguments);
	json_array_append_new(to->samples,
			      json_pack("{s:o, s:o}", "labels", labels, "value", value));
}

static void gauge(struct gathering *to, const char *name, json_t *value, const char *help)
{
	begin(to, "gauge", name, help);
	add(to, value, NULL);
}

static void gather_counters(struct gathering *to)
{
	char name[96], help[256];

	for (unsigned int i = 0; i < COUNTERS; i++) {
		snprintf(name, sizeof(name), "waybill_%s_total", counter_name(i));
		snprintf(help, sizeof(help), "%s.", counter_meaning(i));
		if (help[0] >= 'a' && help[0] <= 'z')
			help[0] += 'A' - 'a';
		begin(to, "counter", name, help);
		add(to, json_integer(to->status.counters[i]), NULL);
	}
}

static uint64_t one_counter(const struct service_counters *counters, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)counters + offset, sizeof(value));
	return value;
}

static void gather_service_counters(struct gathering *to)
{
	static const struct {
		const char *name, *help;
		size_t offset;
	} counters[] = {
		{ "waybill_service_redirected_total", "Connects and flows sent to the service.",
		  offsetof(struct service_counters, redirected) },
		{ "waybill_service_down_passed_total",
		  "Times the service was down and passed over.",
		  offsetof(struct service_counters, down_passed) },
		{ "waybill_service_down_blocked_total",
		  "Connects refused since the service was down.",
		  offsetof(struct service_counters, down_blocked) },
		{ "waybill_service_no_records_total",
		  "Connects of the service that had set no records.",
		  offsetof(struct service_counters, no_records) },
	};

	_Static_assert(sizeof(struct service_counters) ==
			       sizeof(counters) / sizeof(*counters) * sizeof(uint64_t),
		       "every counter is here");
	for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++) {
		begin(to, "counter", counters[i].name, counters[i].help);
		for (size_t j = 0; j < to->status.services; j++) {
			const struct service_status *at = &to->status.service[j];

			add(to, json_integer(one_counter(&at->counters, counters[i].offset)),
			    "service", at->service->name, NULL);
		}
	}
}

static void gather_listeners(struct gathering *to)
{
	begin(to, "gauge", "waybill_service_listening",
	      "Whether the service listens at its TCP endpoint; absent where that cannot be "
	      "seen from this network namespace.");
	for (size_t i = 0; i < to->status.services && !to->status.elsewhere; i++) {
		const struct service_status *at = &to->status.service[i];

		if (at->service->tcp_port && at->service->has4)
			add(to, json_integer(at->alive4), "service", at->service->name, "family",
			    "ipv4", NULL);
		if (at->service->tcp_port && at->service->has6)
			add(to, json_integer(at->alive6), "service", at->service->name, "family",
			    "ipv6", NULL);
	}
}

static struct live *live_of(struct gathering *to, uint32_t service)
{
	size_t i;

	for (i = 0; i < to->lives; i++)
		if (to->live[i].service == service)
			return &to->live[i];
	if (i == LIVE_MAX)
		return NULL;
	to->live[i].service = service;
	to->lives++;
	return &to->live[i];
}

static int on_flow(void *data, const struct flow *flow)
{
	struct live *live = live_of(data, flow->entry->hop.service);

	if (live && flow->entry->protocol == IPPROTO_UDP)
		live->udp++;
	else if (live)
		live->tcp++;
	return 0;
}

static int gather_live(struct gathering *to, struct instance *instance, struct message *message)
{
	int error;

	/* A service without any has a zero, so that its line does not come and go. */
	for (size_t i = 0; i < to->status.services; i++)
		live_of(to, to->status.service[i].service->id);
	error = instance_flows(instance, on_flow, to, message);
	if (error)
		return error;
	begin(to, "gauge", "waybill_service_flows",
	      "Live redirected connections and flows of datagrams; a service that left the policy "
	      "has its id for a name.");
	for (size_t i = 0; i < to->lives; i++) {
		struct text service = text_service(&to->status.names, to->live[i].service);

		add(to, json_integer(to->live[i].tcp), "service", service.text, "protocol", "tcp",
		    NULL);
		add(to, json_integer(to->live[i].udp), "service", service.text, "protocol", "udp",
		    NULL);
	}
	return 0;
}

static void add_fill(struct gathering *to, const struct table_fill *table, size_t count,
		     bool of_sizes)
{
	for (size_t i = 0; i < count; i++)
		add(to, json_integer(of_sizes ? table[i].size : table[i].used), "table",
		    table[i].name, NULL);
}

static int gather_tables(struct gathering *to, struct instance *instance, struct message *message)
{
	struct table_fill table[TABLES], share[SHARES];
	int error = instance_tables(instance, table, message);

	if (!error)
		error = instance_shares(instance, share, message);
	if (error)
		return error;
	begin(to, "gauge", "waybill_table_entries", "Entries that a table of the kernel half has.");
	add_fill(to, table, TABLES, false);
	begin(to, "gauge", "waybill_table_size", "Entries that it has room for.");
	add_fill(to, table, TABLES, true);
	begin(to, "gauge", "waybill_user_share_entries",
	      "Entries of the user who has most of them in a table.");
	add_fill(to, share, SHARES, false);
	begin(to, "gauge", "waybill_user_share_size",
	      "Entries that one user may have in it; beyond, he is refused.");
	add_fill(to, share, SHARES, true);
	return 0;
}

static void gather_policy(struct gathering *to)
{
	const struct policy_header *header = to->status.names.header;

	gauge(to, "waybill_policy_generation", json_integer(header ? header->generation : 0),
	      "Policies applied since the instance was made; 0 while none is.");
	gauge(to, "waybill_records_key_id", json_integer(to->status.key),
	      "Number of the key that records are made with; rises when it is changed.");
	if (!header)
		return;
	gauge(to, "waybill_policy_applied_timestamp_seconds",
	      json_real(realtime_of(header->applied) / 1000000 / 1e3),
	      "When the policy in force was applied, in seconds of Unix time.");
	gauge(to, "waybill_policy_services", json_integer(header->services),
	      "Services of the policy in force.");
	gauge(to, "waybill_policy_filters", json_integer(header->filters),
	      "Filters of the policy in force.");
	gauge(to, "waybill_policy_lines", json_integer(header->lines),
	      "Lines of 128 bytes that the policy in force takes.");
	gauge(to, "waybill_policy_lines_limit", json_integer(POLICY_LINES_MAX),
	      "Lines that a policy may take.");
	gauge(to, "waybill_records_expire_seconds", json_real(header->records_expire / 1e9),
	      "How long after they were issued records may still be used.");
}

static int gather(struct gathering *to, struct instance *instance, struct message *message)
{
	int error = status_gather(&to->status, instance, message);

	if (error)
		return error;
	gather_policy(to);
	gather_counters(to);
	gather_service_counters(to);
	gather_listeners(to);
	error = gather_live(to, instance, message);
	return error ? error : gather_tables(to, instance, message);
}

json_t *metrics_gather(const char *name, int *error, struct message *message)
{
	struct gathering *to = calloc(1, sizeof(*to));
	struct instance *instance = NULL;
	json_t *families;

	if (!to)
		return NULL;
	to->instance = name;
	to->families = json_array();
	begin(to, "gauge", "waybill_build_info", "Version of the command that tells this.");
	add(to, json_integer(1), "version", WAYBILL_VERSION, NULL);
	*error = instance_open(name, &instance, message);
	if (!*error)
		*error = gather(to, instance, message);
	if (!*error)
		*error = instance_cgroup_check(instance, message);
	/* Last, since it says that all before it is there. */
	gauge(to, "waybill_up", json_integer(!*error),
	      "Whether the instance is up, its cgroup there, and could be read.");
	names_close(&to->status.names);
	instance_close(instance);
	families = to->families;
	free(to);
	return families;
}
