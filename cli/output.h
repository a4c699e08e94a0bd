/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What people read: colours (only on a terminal, and not if NO_COLOR is set), times, ages,
 * processes, addresses, and listings whose columns line up.
 */
#ifndef WAYBILL_CLI_OUTPUT_H
#define WAYBILL_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <waybill/abi.h>

/* A short text, by value. */
struct text {
	char text[128];
};

enum paint { PAINT_NONE, PAINT_BOLD, PAINT_DIM, PAINT_GOOD, PAINT_BAD, PAINT_NOTE };

/* The sequence that begins a colour on standard output, and the one that ends all; or "". */
const char *paint_begin(enum paint paint);
const char *paint_end(enum paint paint);

uint64_t boottime_now(void); /* nanoseconds of CLOCK_BOOTTIME, the clock of records and events */
uint64_t realtime_of(uint64_t boottime); /* the same moment in CLOCK_REALTIME */

struct text text_duration(uint64_t nanoseconds); /* "0.4s", "12s", "3m 20s", "4d 3h" */
struct text text_age(uint64_t boottime);         /* how long ago that was */
struct text text_clock(uint64_t realtime);       /* "14:03:22.123", local time */
struct text text_time(uint64_t realtime);        /* "2026-03-01T13:03:22.123Z" */
struct text text_address(const struct waybill_address *address);
struct text text_printable(const char *from, size_t size);       /* control characters escaped */
struct text text_process(const struct waybill_process *process); /* "curl[4711]" */
struct text text_user(uint32_t uid);                             /* its name, or the number */

#define LISTING_COLUMNS 12

struct listing {
	size_t columns;
	const char *heading[LISTING_COLUMNS];
	size_t width[LISTING_COLUMNS];
	struct cell {
		char *text;
		enum paint paint;
	} * cell;
	size_t cells, room;
};

/* Headings end with NULL. They must outlive the listing. */
void listing_begin(struct listing *listing, const char *heading, ...) __attribute__((sentinel));
/* The next cell, from left to right, row by row. */
void listing_add(struct listing *listing, enum paint paint, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Sorts its rows, each of which has a key in the order in which they were added: highest first. */
void listing_sort(struct listing *listing, const uint64_t *keys);
/* Prints its headings, and so many rows at most. */
void listing_print(const struct listing *listing, FILE *out, size_t rows);
void listing_free(struct listing *listing);
/* Prints it to standard output, and frees what it holds. */
void listing_end(struct listing *listing);

#endif
