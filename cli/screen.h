/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A terminal as a screen that is drawn again and again: the alternate one, keys read as they are
 * pressed. It is given back as it was however the process ends, but by SIGKILL. One a process,
 * since signals and atexit() know only one.
 */
#ifndef WAYBILL_CLI_SCREEN_H
#define WAYBILL_CLI_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Catches signals; and takes the terminal, if standard output and input are one. Returns that. */
bool screen_begin(void);
void screen_end(void);

/* Lines on it; SIZE_MAX where it is none. */
size_t screen_lines(void);
/* Shows a text of lines from the top; what does not fit is cut. Or just prints it. */
void screen_show(const char *text);
/*
 * Waits for so long. Returns false if it should end: q, a signal, or a reader that went away. It
 * returns earlier if the window has another size.
 */
bool screen_wait(uint64_t nanoseconds);

#endif
