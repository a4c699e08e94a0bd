// SPDX-License-Identifier: BSD-2-Clause
/*
 * One process does one long thing at a time, so what it does is kept here, and not handed through
 * all that reads, compiles and loads.
 */
#include "progress.h"

static progress_show *shown_by;
static const char *phase = "working";
static size_t step, steps = 1;

void progress_to(progress_show *show)
{
	shown_by = show;
}

void progress_phase(const char *name, size_t count)
{
	phase = name;
	steps = count;
	progress_step(0);
}

void progress_step(size_t number)
{
	step = number;
	progress_at(0, 1);
}

void progress_at(size_t done, size_t of)
{
	if (shown_by)
		shown_by(phase, (step + (done < of ? (double)done / of : 1)) / steps);
}
