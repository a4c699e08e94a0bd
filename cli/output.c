// SPDX-License-Identifier: BSD-2-Clause
/*
 * Text for people. Names of processes are chosen by strangers, so what could steer a terminal
 * is escaped before it is shown.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "output.h"

#define SECOND UINT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static bool is_coloured(void)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color) && term && strcmp(term, "dumb");
}

const char *paint_begin(enum paint paint)
{
	static const char *const sequence[] = {
		[PAINT_NONE] = "",         [PAINT_BOLD] = "\033[1m", [PAINT_DIM] = "\033[2m",
		[PAINT_GOOD] = "\033[32m", [PAINT_BAD] = "\033[31m", [PAINT_NOTE] = "\033[33m",
	};

	return is_coloured() ? sequence[paint] : "";
}

const char *paint_end(enum paint paint)
{
	return paint != PAINT_NONE && is_coloured() ? "\033[0m" : "";
}

static uint64_t clock_now(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

uint64_t boottime_now(void)
{
	return clock_now(CLOCK_BOOTTIME);
}

uint64_t realtime_of(uint64_t boottime)
{
	return clock_now(CLOCK_REALTIME) - clock_now(CLOCK_BOOTTIME) + boottime;
}

static struct text two_units(uint64_t value, uint64_t unit, char name, uint64_t less,
			     char less_name)
{
	struct text out;
	uint64_t rest = value % unit / less;

	if (rest)
		snprintf(out.text, sizeof(out.text), "%" PRIu64 "%c %" PRIu64 "%c", value / unit,
			 name, rest, less_name);
	else
		snprintf(out.text, sizeof(out.text), "%" PRIu64 "%c", value / unit, name);
	return out;
}

struct text text_duration(uint64_t value)
{
	struct text out;

	if (value >= DAY)
		return two_units(value, DAY, 'd', HOUR, 'h');
	if (value >= HOUR)
		return two_units(value, HOUR, 'h', MINUTE, 'm');
	if (value >= MINUTE)
		return two_units(value, MINUTE, 'm', SECOND, 's');
	if (value >= 10 * SECOND)
		snprintf(out.text, sizeof(out.text), "%" PRIu64 "s", value / SECOND);
	else
		snprintf(out.text, sizeof(out.text), "%.1fs", (double)value / SECOND);
	return out;
}

struct text text_age(uint64_t boottime)
{
	uint64_t now = boottime_now();

	return text_duration(now > boottime ? now - boottime : 0);
}

static struct text text_moment(uint64_t realtime, bool whole)
{
	time_t seconds = realtime / SECOND;
	unsigned int milliseconds = realtime % SECOND / 1000000;
	struct text out;
	struct tm tm;
	size_t length;

	if (whole)
		gmtime_r(&seconds, &tm);
	else
		localtime_r(&seconds, &tm);
	length =
		strftime(out.text, sizeof(out.text), whole ? "%Y-%m-%dT%H:%M:%S" : "%H:%M:%S", &tm);
	snprintf(out.text + length, sizeof(out.text) - length, ".%03u%s", milliseconds,
		 whole ? "Z" : "");
	return out;
}

struct text text_clock(uint64_t realtime)
{
	return text_moment(realtime, false);
}

struct text text_time(uint64_t realtime)
{
	return text_moment(realtime, true);
}

struct text text_address(const struct waybill_address *address)
{
	char host[INET6_ADDRSTRLEN] = "?", scope[16] = "";
	unsigned int port = ntohs(address->port);
	struct text out;

	if (address->family == AF_INET) {
		inet_ntop(AF_INET, address->address + 12, host, sizeof(host));
		snprintf(out.text, sizeof(out.text), "%s:%u", host, port);
	} else if (address->family == AF_INET6) {
		inet_ntop(AF_INET6, address->address, host, sizeof(host));
		if (address->scope_id)
			snprintf(scope, sizeof(scope), "%%%u", address->scope_id);
		snprintf(out.text, sizeof(out.text), "[%s%s]:%u", host, scope, port);
	} else {
		snprintf(out.text, sizeof(out.text), "?");
	}
	return out;
}

struct text text_printable(const char *from, size_t size)
{
	size_t length = strnlen(from, size), used = 0;
	struct text out;

	for (size_t i = 0; i < length && used + 5 < sizeof(out.text); i++) {
		unsigned char byte = from[i];

		if (byte < ' ' || byte >= 0x7f)
			used += sprintf(out.text + used, "\\x%02x", byte);
		else
			out.text[used++] = byte;
	}
	out.text[used] = '\0';
	return out;
}

struct text text_process(const struct waybill_process *process)
{
	struct text comm = text_printable(process->comm, sizeof(process->comm)), out;

	snprintf(out.text, sizeof(out.text), "%.100s[%u]", comm.text, process->pid);
	return out;
}

struct text text_user(uint32_t uid)
{
	const struct passwd *user = getpwuid(uid);
	struct text out;

	if (user)
		return text_printable(user->pw_name, strlen(user->pw_name));
	snprintf(out.text, sizeof(out.text), "%u", uid);
	return out;
}

void listing_begin(struct listing *listing, const char *heading, ...)
{
	va_list headings;

	memset(listing, 0, sizeof(*listing));
	va_start(headings, heading);
	for (; heading && listing->columns < LISTING_COLUMNS;
	     heading = va_arg(headings, const char *)) {
		listing->width[listing->columns] = strlen(heading);
		listing->heading[listing->columns++] = heading;
	}
	va_end(headings);
}

/* Columns on the terminal: bytes that continue a UTF-8 sequence take none. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void out_of_memory(void)
{
	fputs("waybill: out of memory\n", stderr);
	exit(1);
}

void listing_add(struct listing *listing, enum paint paint, const char *format, ...)
{
	size_t column = listing->cells % listing->columns, width;
	va_list arguments;
	char *text;

	if (listing->cells == listing->room) {
		listing->room = listing->room ? 2 * listing->room : 64;
		listing->cell = realloc(listing->cell, listing->room * sizeof(*listing->cell));
		if (!listing->cell)
			out_of_memory();
	}
	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		out_of_memory();
	va_end(arguments);
	width = text_width(text);
	if (width > listing->width[column])
		listing->width[column] = width;
	listing->cell[listing->cells++] = (struct cell){ text, paint };
}

struct row {
	uint64_t key;
	size_t number;
};

static int compare_rows(const void *a, const void *b)
{
	const struct row *left = a, *right = b;

	if (left->key != right->key)
		return left->key < right->key ? 1 : -1;
	return left->number < right->number ? -1 : 1;
}

void listing_sort(struct listing *listing, const uint64_t *keys)
{
	size_t rows = listing->cells / listing->columns;
	struct row *row = calloc(rows + 1, sizeof(*row));
	struct cell *sorted = calloc(listing->cells + 1, sizeof(*sorted));

	if (!row || !sorted)
		out_of_memory();
	for (size_t i = 0; i < rows; i++)
		row[i] = (struct row){ keys[i], i };
	qsort(row, rows, sizeof(*row), compare_rows);
	for (size_t i = 0; i < rows; i++)
		memcpy(sorted + i * listing->columns,
		       listing->cell + row[i].number * listing->columns,
		       listing->columns * sizeof(*sorted));
	free(row);
	free(listing->cell);
	listing->cell = sorted;
	listing->room = listing->cells + 1;
}

static void print_cell(const struct listing *listing, FILE *out, size_t column, const char *text,
		       enum paint paint)
{
	bool last = column + 1 == listing->columns;
	int space = last ? 0 : (int)(listing->width[column] - text_width(text)) + 2;

	fprintf(out, "%s%s%s%*s%s", paint_begin(paint), text, paint_end(paint), space, "",
		last ? "\n" : "");
}

void listing_print(const struct listing *listing, FILE *out, size_t rows)
{
	size_t most = rows < SIZE_MAX / listing->columns ? rows * listing->columns : SIZE_MAX;

	for (size_t column = 0; column < listing->columns; column++)
		print_cell(listing, out, column, listing->heading[column], PAINT_BOLD);
	for (size_t i = 0; i < listing->cells && i < most; i++)
		print_cell(listing, out, i % listing->columns, listing->cell[i].text,
			   listing->cell[i].paint);
}

void listing_free(struct listing *listing)
{
	for (size_t i = 0; i < listing->cells; i++)
		free(listing->cell[i].text);
	free(listing->cell);
	listing->cell = NULL;
	listing->cells = listing->room = 0;
}

void listing_end(struct listing *listing)
{
	listing_print(listing, stdout, SIZE_MAX);
	listing_free(listing);
}
