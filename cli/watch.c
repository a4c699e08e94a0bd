// SPDX-License-Identifier: BSD-2-Clause
/* What all watches do: look, say if the instance is not up, wait, give the terminal back. */
#include <errno.h>

#include "json.h"
#include "output.h"
#include "screen.h"
#include "watch.h"

void watch_print_head(const struct common *common, FILE *out)
{
	fprintf(out, "%s  instance %s: ", text_clock(realtime_of(boottime_now())).text,
		common->instance);
}

static void show_down(const struct watch *watch)
{
	char text[256];
	json_t *line;

	snprintf(text, sizeof(text), "instance %s is not up any more; waiting for it\n",
		 watch->common->instance);
	if (!watch->common->json) {
		screen_show(text);
		return;
	}
	line = json_pack("{s:o}", "time", json_time(realtime_of(boottime_now())));
	for (size_t i = 0; watch->down[i]; i++)
		json_object_set_new(line, watch->down[i], json_null());
	json_print_line(line);
}

/* -ENOENT: the instance is not up. */
static int look(const struct watch *watch, struct message *message)
{
	struct instance *instance;
	int error = instance_open(watch->common->instance, &instance, message);

	if (error)
		return error;
	error = watch->look(watch->data, instance, message);
	instance_close(instance);
	return error;
}

int watch_run(const struct watch *watch)
{
	struct message message = { "" };
	struct instance *instance;
	int error = 0, status = open_instance(watch->common, &instance);

	if (status)
		return status;
	instance_close(instance);
	screen_begin();
	do {
		error = look(watch, &message);
		if (error == -ENOENT)
			show_down(watch);
	} while ((!error || error == -ENOENT) && screen_wait(watch->interval));
	/* First the terminal as it was, then the complaint. */
	screen_end();
	if (error && error != -ENOENT)
		return complain("%s", message.text);
	return EXIT_OK;
}
