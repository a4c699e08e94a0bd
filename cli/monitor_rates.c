// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill monitor --rates`: how much there is of what, each second, from the counters. The programs
 * count anyway, so this costs connections nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "monitor.h"
#include "screen.h"
#include "watch.h"

#define SECOND UINT64_C(1000000000)

struct count {
	uint64_t time; /* 0: not counted yet */
	uint64_t all[COUNTERS];
	struct {
		uint32_t id;
		struct service_counters counters;
	} service[POLICY_SERVICES_MAX];
	size_t services;
};

struct rates {
	const struct common *common;
	struct names names; /* of the policy in force; its image may be large, so it is kept */
	struct count now, last;
};

/* The counters of one service, in the order of struct service_counters. */
static const char *const headings[] = { "redirected", "down-pass", "down-block", "no-records" };
static const char *const keys[] = { "redirected", "down_passed", "down_blocked", "no_records" };

#define SERVICE_COUNTERS (sizeof(struct service_counters) / sizeof(uint64_t))
_Static_assert(SERVICE_COUNTERS == sizeof(headings) / sizeof(*headings), "each has a heading");

/* A second. What is fewer than before is of another instance. */
static double rate(const struct rates *rates, uint64_t now, uint64_t last)
{
	return (now - (now < last ? 0 : last)) / ((rates->now.time - rates->last.time) / 1e9);
}

static double service_rate(const struct rates *rates, size_t service, size_t counter)
{
	const uint64_t *counters = (const uint64_t *)&rates->now.service[service].counters;
	uint64_t before = 0;

	for (size_t i = 0; i < rates->last.services; i++)
		if (rates->last.service[i].id == rates->now.service[service].id)
			before = ((const uint64_t *)&rates->last.service[i].counters)[counter];
	return rate(rates, counters[counter], before);
}

static const char *service_name(const struct rates *rates, size_t service)
{
	return names_service(&rates->names, rates->now.service[service].id);
}

static void show_text(const struct rates *rates)
{
	char *text = NULL;
	size_t size, shown = 0;
	FILE *out = open_memstream(&text, &size);
	struct listing listing;

	if (!out)
		return;
	watch_print_head(rates->common, out);
	fputs("a second\n\n", out);
	listing_begin(&listing, "SERVICE", "REDIRECTED", "DOWN-PASS", "DOWN-BLOCK", "NO-RECORDS",
		      NULL);
	for (size_t i = 0; i < rates->now.services; i++) {
		listing_add(&listing, PAINT_BOLD, "%s", service_name(rates, i));
		for (size_t j = 0; j < SERVICE_COUNTERS; j++)
			listing_add(&listing, PAINT_NONE, "%.1f", service_rate(rates, i, j));
	}
	listing_print(&listing, out, SIZE_MAX);
	listing_free(&listing);
	fputc('\n', out);
	for (int i = 0; i < COUNTERS; i++) {
		double all = rate(rates, rates->now.all[i], rates->last.all[i]);

		if (all > 0) {
			fprintf(out, "%10.1f %s\n", all, counter_meaning(i));
			shown++;
		}
	}
	if (!shown)
		fputs("nothing was counted\n", out);
	if (screen_lines() == SIZE_MAX)
		fputc('\n', out);
	if (!fclose(out))
		screen_show(text);
	free(text);
}

static void show_json(const struct rates *rates)
{
	json_t *services = json_array(), *counters = json_object(), *service;

	for (size_t i = 0; i < rates->now.services; i++) {
		service = json_pack("{s:s}", "service", service_name(rates, i));
		for (size_t j = 0; j < SERVICE_COUNTERS; j++)
			json_object_set_new(service, keys[j], json_real(service_rate(rates, i, j)));
		json_array_append_new(services, service);
	}
	for (int i = 0; i < COUNTERS; i++)
		json_object_set_new(counters, counter_name(i),
				    json_real(rate(rates, rates->now.all[i], rates->last.all[i])));
	json_print_line(json_pack("{s:o, s:o, s:o}", "time", json_time(realtime_of(boottime_now())),
				  "services", services, "counters", counters));
}

static void renew_names(struct rates *rates, struct instance *instance)
{
	struct policy_header header = { 0 };

	instance_policy_header(instance, &header);
	if (rates->names.header && rates->names.header->applied == header.applied)
		return;
	names_close(&rates->names);
	names_open(&rates->names, instance);
}

static int gather(struct rates *rates, struct instance *instance, struct message *message)
{
	const struct policy_header *header;
	const struct policy_service *service;
	struct count *now = &rates->now;

	memset(now, 0, sizeof(*now));
	renew_names(rates, instance);
	header = rates->names.header;
	for (uint32_t slot = 0; header && slot < header->services; slot++) {
		service = policy_service(&rates->names.image, header, slot);
		if (!service || now->services == POLICY_SERVICES_MAX)
			break;
		now->service[now->services].id = service->id;
		/* Without counters they stay 0. */
		instance_service_counters(instance, service->id,
					  &now->service[now->services++].counters);
	}
	now->time = boottime_now();
	return instance_counters(instance, now->all, message);
}

static int look(void *data, struct instance *instance, struct message *message)
{
	struct rates *rates = data;
	int error = gather(rates, instance, message);

	if (error)
		return error;
	/* The first look has nothing to compare with. */
	if (rates->last.time && rates->common->json)
		show_json(rates);
	else if (rates->last.time)
		show_text(rates);
	rates->last = rates->now;
	return 0;
}

int monitor_rates(const struct common *common)
{
	struct rates rates = { .common = common };
	int status = watch_run(&(struct watch){ .common = common,
						.interval = SECOND,
						.look = look,
						.data = &rates,
						.down = { "services", "counters" } });

	names_close(&rates.names);
	return status;
}
