// SPDX-License-Identifier: BSD-2-Clause
/*
 * The line of progress is on standard error, so that what is printed can be piped on meanwhile. It
 * appears only after half a second, and is written at most ten times a second.
 */
#include "progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../platform/progress.h"

#define PATIENCE 0.5 /* seconds */
#define PAUSE 0.1

static double next;
static bool shown;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void show(const char *phase, double done)
{
	double time = now();

	if (time < next)
		return;
	next = time + PAUSE;
	shown = true;
	fprintf(stderr, "\r\033[K%s: %.0f %%", phase, done * 100);
}

void progress_begin(void)
{
	const char *terminal = getenv("TERM");

	if (!isatty(STDERR_FILENO) || !terminal || !strcmp(terminal, "dumb"))
		return;
	next = now() + PATIENCE;
	progress_to(show);
}

void progress_end(void)
{
	progress_to(NULL);
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
}
