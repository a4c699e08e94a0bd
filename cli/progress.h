/* SPDX-License-Identifier: BSD-2-Clause */
/* One line on the terminal that says how far long work is. */
#ifndef WAYBILL_CLI_PROGRESS_H
#define WAYBILL_CLI_PROGRESS_H

/* Shows what platform/progress.h tells, if standard error is a terminal and it takes long. */
void progress_begin(void);
/* Takes the line away, before anything else is printed. */
void progress_end(void);

#endif
