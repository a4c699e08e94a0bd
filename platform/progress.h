/* SPDX-License-Identifier: BSD-2-Clause */
/* How far long work is, told to whoever wants to show it. Costs nothing if nobody does. */
#ifndef WAYBILL_PLATFORM_PROGRESS_H
#define WAYBILL_PLATFORM_PROGRESS_H

#include <stddef.h>

/* Called often: whoever shows it chooses when. The share that is done is from 0 to 1. */
typedef void progress_show(const char *phase, double done);

/* Whom to tell, in this process; NULL for nobody, which is how it begins. */
void progress_to(progress_show *show);

/* What is done from here on, in so many steps; which of them is under way; and how far that is. */
void progress_phase(const char *phase, size_t steps);
void progress_step(size_t step);
void progress_at(size_t done, size_t of);

#endif
