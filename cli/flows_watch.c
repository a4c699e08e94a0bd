// SPDX-License-Identifier: BSD-2-Clause
/* `waybill flows --watch`: the listing again and again, youngest first. */
#include <stdlib.h>

#include "flows.h"
#include "screen.h"
#include "watch.h"

#define SECOND UINT64_C(1000000000)

struct flows_look {
	struct flows *flows;
	uint64_t redirected, counted; /* what was counted last time, and when; 0: never */
	double rate;                  /* a second; negative if it is not known */
};

/* What came is counted by the kernel, so those that have ended between two looks count too. */
static void measure(struct flows_look *last, struct instance *instance)
{
	uint64_t counters[COUNTERS], redirected, now = boottime_now();
	struct message message;

	last->rate = -1;
	if (instance_counters(instance, counters, &message)) {
		last->counted = 0;
		return;
	}
	redirected = counters[COUNT_REDIRECTED] + counters[COUNT_FLOWS];
	/* Fewer than before: it is another instance. */
	if (last->counted && redirected >= last->redirected && now > last->counted)
		last->rate = (redirected - last->redirected) / ((now - last->counted) / 1e9);
	last->redirected = redirected;
	last->counted = now;
}

static void print_head(const struct flows_look *look, FILE *out)
{
	const struct flows *flows = look->flows;

	watch_print_head(&flows->common, out);
	fprintf(out, "%zu flow%s", flows->count, flows->count == 1 ? "" : "s");
	if (selection_given(&flows->selection))
		fputs(" selected", out);
	if (look->rate >= 0)
		fprintf(out, ", %.1f new a second%s", look->rate,
			selection_given(&flows->selection) ? " in all" : "");
	fputs("\n\n", out);
}

static void show_text(const struct flows_look *look, size_t lines)
{
	struct flows *flows = look->flows;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return;
	print_head(look, out);
	listing_sort(&flows->listing, flows->times);
	listing_print(&flows->listing, out, lines > 3 ? lines - 3 : 0);
	if (lines == SIZE_MAX)
		fputc('\n', out);
	if (!fclose(out))
		screen_show(text);
	free(text);
}

static void show_json(const struct flows_look *look)
{
	json_t *rate = look->rate < 0 ? json_null() : json_real(look->rate);

	json_print_line(json_pack("{s:o, s:o, s:O}", "time", json_time(realtime_of(boottime_now())),
				  "new_per_second", rate, "flows", look->flows->array));
}

static int look(void *data, struct instance *instance, struct message *message)
{
	struct flows_look *look = data;
	struct flows *flows = look->flows;
	int error;

	measure(look, instance);
	error = flows_gather(flows, instance, message);
	if (!error && flows->common.json)
		show_json(look);
	else if (!error)
		show_text(look, screen_lines());
	flows_free(flows);
	return error;
}

int flows_watch(struct flows *flows)
{
	struct flows_look last = { .flows = flows };

	return watch_run(&(struct watch){ .common = &flows->common,
					  .interval = flows->watch * SECOND,
					  .look = look,
					  .data = &last,
					  .down = { "new_per_second", "flows" } });
}
