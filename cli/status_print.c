// SPDX-License-Identifier: BSD-2-Clause
/* The two faces of `waybill status`: for people, and as JSON. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "json.h"
#include "status.h"

#define SECOND UINT64_C(1000000000)

/* The endpoint of a service in one family, as an address. port is in network byte order. */
static struct waybill_address endpoint(const struct policy_service *service, int family,
				       uint16_t port)
{
	struct waybill_address address = { .family = family, .port = port };

	if (family == AF_INET6) {
		memcpy(address.address, service->address6, sizeof(service->address6));
	} else {
		memset(address.address + 10, 0xff, 2);
		memcpy(address.address + 12, service->address4, sizeof(service->address4));
	}
	return address;
}

static size_t endpoints_add(char *text, size_t size, size_t used, const char *protocol,
			    const struct policy_service *service, uint16_t port)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; port && i < 2; i++) {
		struct waybill_address address = endpoint(service, families[i], port);

		if (used < size && (families[i] == AF_INET ? service->has4 : service->has6))
			used += snprintf(text + used, size - used, "%s%s %s", used ? ", " : "",
					 protocol, text_address(&address).text);
	}
	return used;
}

static void add_listeners(struct listing *listing, const struct service_status *status,
			  bool elsewhere)
{
	bool has4 = status->service->has4, has6 = status->service->has6;
	bool all = (status->alive4 || !has4) && (status->alive6 || !has6);

	if (!status->service->tcp_port || elsewhere)
		listing_add(listing, PAINT_DIM, "-");
	else if (all)
		listing_add(listing, PAINT_GOOD, "%s",
			    has4 && has6 ? "alive" :
			    has4         ? "alive, IPv4" :
					   "alive, IPv6");
	else if (status->alive4 || status->alive6)
		listing_add(listing, PAINT_NOTE, "%s",
			    status->alive4 ? "alive, IPv6 down" : "alive, IPv4 down");
	else
		listing_add(listing, PAINT_BAD, "down");
}

static void print_services(const struct status *status)
{
	struct listing listing;
	char text[256];

	listing_begin(&listing, "SERVICE", "WEIGHT", "ENDPOINT", "WHEN DOWN", "LISTENER",
		      "REDIRECTED", "DOWN", "NO RECORDS", NULL);
	for (size_t i = 0; i < status->services; i++) {
		const struct service_status *at = &status->service[i];
		size_t used = endpoints_add(text, sizeof(text), 0, "tcp", at->service,
					    at->service->tcp_port);
		uint64_t down = at->counters.down_passed + at->counters.down_blocked;

		endpoints_add(text, sizeof(text), used, "udp", at->service, at->service->udp_port);
		listing_add(&listing, PAINT_BOLD, "%s", at->service->name);
		listing_add(&listing, PAINT_NONE, "%u", at->service->weight);
		listing_add(&listing, PAINT_NONE, "%s", text);
		listing_add(&listing, PAINT_NONE, "%s",
			    at->service->when_down == POLICY_DOWN_PASS ? "pass" : "block");
		add_listeners(&listing, at, status->elsewhere);
		listing_add(&listing, PAINT_NONE, "%" PRIu64, (uint64_t)at->counters.redirected);
		listing_add(&listing, down ? PAINT_NOTE : PAINT_NONE, "%" PRIu64, down);
		listing_add(&listing, PAINT_NONE, "%" PRIu64, (uint64_t)at->counters.no_records);
	}
	putchar('\n');
	listing_end(&listing);
	if (status->elsewhere)
		puts("The services are of another network namespace: run this there to see whether "
		     "they listen.");
}

static void print_counters(const struct status *status)
{
	struct listing listing;
	bool any = false;

	listing_begin(&listing, "COUNTER", "VALUE", "MEANING", NULL);
	for (unsigned int i = 0; i < COUNTERS; i++) {
		if (!status->counters[i] && !status->verbose)
			continue;
		any = true;
		listing_add(&listing, PAINT_NONE, "%s", counter_name(i));
		listing_add(&listing, PAINT_BOLD, "%" PRIu64, status->counters[i]);
		listing_add(&listing, PAINT_DIM, "%s", counter_meaning(i));
	}
	if (!any)
		return;
	putchar('\n');
	listing_end(&listing);
}

static void print_line(const char *label, const char *text)
{
	printf("%s%-10s%s%s\n", paint_begin(PAINT_DIM), label, paint_end(PAINT_DIM), text);
}

static void print_policy(const struct status *status)
{
	const struct policy_header *header = status->names.header;
	char text[256];

	snprintf(text, sizeof(text), "%.*s", POLICY_LINE, status->source ? status->source : "?");
	print_line("policy", text);
	snprintf(text, sizeof(text), "generation %u, applied %s ago", header->generation,
		 text_age(header->applied).text);
	print_line("", text);
	snprintf(text, sizeof(text), "%u", header->filters);
	print_line("filters", text);
	snprintf(text, sizeof(text), "%u", header->hop_limit);
	print_line("hop limit", text);
	snprintf(text, sizeof(text), "expire after %s, key %u",
		 text_duration(header->records_expire).text, status->key);
	print_line("records", text);
}

void status_print(const struct status *status)
{
	char text[512];

	snprintf(text, sizeof(text), "%s, up on cgroup %s", status->instance, status->cgroup);
	print_line("instance", text);
	if (status->names.header)
		print_policy(status);
	else
		print_line("policy", "none is applied: nothing is redirected (waybill apply FILE)");
	if (status->services)
		print_services(status);
	print_counters(status);
}

static json_t *endpoint_array(const struct policy_service *service, uint16_t port)
{
	struct waybill_address v4 = endpoint(service, AF_INET, port);
	struct waybill_address v6 = endpoint(service, AF_INET6, port);
	json_t *array = json_array();

	if (port && service->has4)
		json_array_append_new(array, json_address(&v4));
	if (port && service->has6)
		json_array_append_new(array, json_address(&v6));
	return array;
}

static json_t *listening_object(const struct service_status *status, bool elsewhere)
{
	if (elsewhere)
		return json_null();
	return json_pack("{s:b, s:b}", "ipv4", status->alive4, "ipv6", status->alive6);
}

static json_t *service_object(const struct service_status *status, bool elsewhere)
{
	const struct policy_service *service = status->service;
	const struct service_counters *counters = &status->counters;

	return json_pack(
		"{s:s, s:o, s:I, s:o, s:o, s:s, s:o, s:{s:I, s:I, s:I, s:I}}", "name",
		service->name, "id", json_id(service->id), "weight", (json_int_t)service->weight,
		"tcp", endpoint_array(service, service->tcp_port), "udp",
		endpoint_array(service, service->udp_port), "when_down",
		service->when_down == POLICY_DOWN_PASS ? "pass" : "block", "listening",
		listening_object(status, elsewhere), "counters", "redirected",
		(json_int_t)counters->redirected, "down_passed", (json_int_t)counters->down_passed,
		"down_blocked", (json_int_t)counters->down_blocked, "no_records",
		(json_int_t)counters->no_records);
}

static json_t *policy_object(const struct status *status)
{
	const struct policy_header *header = status->names.header;

	if (!header)
		return json_null();
	return json_pack("{s:o, s:I, s:o, s:I, s:I, s:f}", "file",
			 json_text(status->source ? status->source : "", POLICY_LINE), "generation",
			 (json_int_t)header->generation, "applied",
			 json_time(realtime_of(header->applied)), "filters",
			 (json_int_t)header->filters, "hop_limit", (json_int_t)header->hop_limit,
			 "records_expire_seconds", (double)header->records_expire / SECOND);
}

void status_print_json(const struct status *status)
{
	json_t *services = json_array(), *counters = json_object();

	for (size_t i = 0; i < status->services; i++)
		json_array_append_new(services,
				      service_object(&status->service[i], status->elsewhere));
	for (unsigned int i = 0; i < COUNTERS; i++)
		json_object_set_new(counters, counter_name(i), json_integer(status->counters[i]));
	json_print(json_pack("{s:s, s:b, s:o, s:o, s:I, s:o, s:o}", "instance", status->instance,
			     "up", 1, "cgroup", json_text(status->cgroup, -1), "policy",
			     policy_object(status), "key", (json_int_t)status->key, "services",
			     services, "counters", counters));
}
