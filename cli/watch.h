/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A look at an instance again and again, on the screen. The instance is opened each time, so one
 * that is taken down and made again meanwhile goes on to be shown.
 */
#ifndef WAYBILL_CLI_WATCH_H
#define WAYBILL_CLI_WATCH_H

#include <stdio.h>

#include "command.h"

struct watch {
	const struct common *common;
	uint64_t interval; /* nanoseconds */
	/* Shows it. A negative errno, with a message, ends the watch. */
	int (*look)(void *data, struct instance *instance, struct message *message);
	void *data;
	const char *down[3]; /* what is null in JSON while it is not up; ends with NULL */
};

/* Until it is ended. Returns an exit code, after a complaint. */
int watch_run(const struct watch *watch);

/* "14:03:22.123  instance main: ", to be gone on with. */
void watch_print_head(const struct common *common, FILE *out);

#endif
