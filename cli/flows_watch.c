// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill flows --watch`: the listing again and again, youngest first. The instance is opened each
 * time, so one that is taken down and made again meanwhile goes on to be shown.
 */
#include <errno.h>
#include <stdlib.h>

#include "flows.h"
#include "screen.h"

#define SECOND UINT64_C(1000000000)

struct watch {
	struct flows *flows;
	uint64_t redirected, counted; /* what was counted last time, and when; 0: never */
	double rate;                  /* a second; negative if it is not known */
};

/* What came is counted by the kernel, so those that have ended between two looks count too. */
static void measure(struct watch *watch, struct instance *instance)
{
	uint64_t counters[COUNTERS], redirected, now = boottime_now();
	struct message message;

	watch->rate = -1;
	if (instance_counters(instance, counters, &message)) {
		watch->counted = 0;
		return;
	}
	redirected = counters[COUNT_REDIRECTED] + counters[COUNT_FLOWS];
	/* Fewer than before: it is another instance. */
	if (watch->counted && redirected >= watch->redirected && now > watch->counted)
		watch->rate = (redirected - watch->redirected) / ((now - watch->counted) / 1e9);
	watch->redirected = redirected;
	watch->counted = now;
}

static void print_head(const struct watch *watch, FILE *out)
{
	const struct flows *flows = watch->flows;

	fprintf(out, "%s  instance %s: %zu flow%s", text_clock(realtime_of(boottime_now())).text,
		flows->common.instance, flows->count, flows->count == 1 ? "" : "s");
	if (selection_given(&flows->selection))
		fputs(" selected", out);
	if (watch->rate >= 0)
		fprintf(out, ", %.1f new a second%s", watch->rate,
			selection_given(&flows->selection) ? " in all" : "");
	fputs("\n\n", out);
}

static void show_text(struct watch *watch, size_t lines)
{
	struct flows *flows = watch->flows;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return;
	print_head(watch, out);
	listing_sort(&flows->listing, flows->times);
	listing_print(&flows->listing, out, lines > 3 ? lines - 3 : 0);
	if (lines == SIZE_MAX)
		fputc('\n', out);
	if (!fclose(out))
		screen_show(text);
	free(text);
}

static void show_json(struct watch *watch)
{
	json_t *rate = watch->rate < 0 ? json_null() : json_real(watch->rate);

	json_print_line(json_pack("{s:o, s:o, s:O}", "time", json_time(realtime_of(boottime_now())),
				  "new_per_second", rate, "flows", watch->flows->array));
}

/* One look. -ENOENT: the instance is not up. */
static int look(struct watch *watch, struct message *message)
{
	struct flows *flows = watch->flows;
	struct instance *instance;
	int error = instance_open(flows->common.instance, &instance, message);

	if (error)
		return error;
	measure(watch, instance);
	error = flows_gather(flows, instance, message);
	if (!error && flows->common.json)
		show_json(watch);
	else if (!error)
		show_text(watch, screen_lines());
	flows_free(flows);
	instance_close(instance);
	return error;
}

static void show_down(const struct watch *watch)
{
	char text[256];

	snprintf(text, sizeof(text), "instance %s is not up any more; waiting for it\n",
		 watch->flows->common.instance);
	if (watch->flows->common.json)
		json_print_line(json_pack("{s:o, s:n, s:n}", "time",
					  json_time(realtime_of(boottime_now())), "new_per_second",
					  "flows"));
	else
		screen_show(text);
}

int flows_watch(struct flows *flows)
{
	struct watch watch = { .flows = flows };
	struct message message = { "" };
	struct instance *instance;
	int error = 0, status = open_instance(&flows->common, &instance);

	if (status)
		return status;
	instance_close(instance);
	screen_begin();
	do {
		error = look(&watch, &message);
		if (error == -ENOENT)
			show_down(&watch);
	} while ((!error || error == -ENOENT) && screen_wait(flows->watch * SECOND));
	/* First the terminal as it was, then the complaint. */
	screen_end();
	if (error && error != -ENOENT)
		return complain("%s", message.text);
	return EXIT_OK;
}
