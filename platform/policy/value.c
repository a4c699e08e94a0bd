// SPDX-License-Identifier: BSD-2-Clause
/*
 * The scalars of a policy file that are not addresses: numbers, durations, ports, choices, names
 * and cgroup paths. Numbers are decimal only: YAML's octal 0755 and sexagesimal 10:30 would be
 * traps here.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "value.h"

#define SECOND 1000000000ULL

/* The digits at the beginning of *text, which it moves behind them. False if too many or none. */
static bool read_digits(const char **text, uint64_t *number)
{
	const char *digit = *text;

	*number = 0;
	for (; *digit >= '0' && *digit <= '9'; digit++) {
		if (digit - *text >= 18)
			return false;
		*number = *number * 10 + (*digit - '0');
	}
	if (digit == *text)
		return false;
	*text = digit;
	return true;
}

int value_number(const char *text, uint64_t from, uint64_t to, uint64_t *number,
		 struct reason *reason)
{
	if (read_digits(&text, number) && !*text && *number >= from && *number <= to)
		return 0;
	snprintf(reason->text, sizeof(reason->text), "is not a number from %" PRIu64 " to %" PRIu64,
		 from, to);
	return -EINVAL;
}

int value_duration(const char *text, uint64_t *nanoseconds, struct reason *reason)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = { { "s", 1 }, { "m", 60 }, { "h", 3600 } };
	uint64_t number, seconds = 0;
	size_t i;

	if (read_digits(&text, &number) && number <= 86400)
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (!strcmp(text, units[i].name))
				seconds = number * units[i].seconds;
	if (seconds && seconds <= 86400) {
		*nanoseconds = seconds * SECOND;
		return 0;
	}
	snprintf(reason->text, sizeof(reason->text),
		 "is not a duration from 1s to 24h (a number with s, m or h, as 600s or 10m)");
	return -EINVAL;
}

int value_ports(const char *text, struct range *range, struct reason *reason)
{
	uint64_t from, to;

	if (read_digits(&text, &from)) {
		to = from;
		if (*text == '-') {
			text++;
			if (!read_digits(&text, &to))
				to = 0;
		}
		if (!*text && from >= 1 && to <= 65535 && from <= to) {
			*range = (struct range){ .from = from, .to = to };
			return 0;
		}
		if (!*text && from > to && to >= 1 && from <= 65535) {
			snprintf(reason->text, sizeof(reason->text),
				 "ends before it begins (did you mean %" PRIu64 "-%" PRIu64 "?)",
				 to, from);
			return -EINVAL;
		}
	}
	snprintf(reason->text, sizeof(reason->text),
		 "is not a port (1 to 65535) or a range of ports (as 8000-8099)");
	return -EINVAL;
}

int value_choice(const char *text, const char *const *choices, size_t *index, struct reason *reason)
{
	struct suggestion suggestion;
	char known[256] = "";
	size_t length = 0, i;

	suggestion_begin(&suggestion, text);
	for (i = 0; choices[i]; i++) {
		if (!strcmp(text, choices[i])) {
			*index = i;
			return 0;
		}
		suggestion_offer(&suggestion, choices[i]);
		length += snprintf(known + length, sizeof(known) - length, "%s%s",
				   length ? ", " : "", choices[i]);
	}
	snprintf(reason->text, sizeof(reason->text), "is not one of: %s%s", known,
		 suggestion_end(&suggestion, "%s", "").text);
	return -EINVAL;
}

int value_check_name(const char *name, struct reason *reason)
{
	size_t length = strlen(name);
	size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789._-");

	if (length && length < POLICY_NAME_MAX && good == length)
		return 0;
	if (length >= POLICY_NAME_MAX)
		snprintf(reason->text, sizeof(reason->text),
			 "is too long for a name (%zu characters; at most %u)", length,
			 POLICY_NAME_MAX - 1);
	else
		snprintf(reason->text, sizeof(reason->text),
			 "is not a name (1 to %u of the characters A-Z a-z 0-9 . _ -)",
			 POLICY_NAME_MAX - 1);
	return -EINVAL;
}

static bool is_plain_path(const char *path)
{
	const char *part = path;

	while (*part == '/') {
		size_t length = strcspn(++part, "/");

		if (!length && (*part || part - path > 1)) /* "//", or "/" at the end */
			return false;
		if (length > 255 || (length == 1 && part[0] == '.') ||
		    (length == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part += length;
	}
	return true;
}

int value_check_cgroup(const char *path, struct reason *reason)
{
	if (path[0] != '/') {
		snprintf(reason->text, sizeof(reason->text),
			 "is not the path of a cgroup (it begins with /, as "
			 "/system.slice/dlp.service; /proc/PID/cgroup shows a process's)");
		return -EINVAL;
	}
	if (!strncmp(path, "/sys/fs/cgroup/", 15)) {
		/* It is in "unified" on hybrid hosts, beside the controllers of version 1. */
		path += strncmp(path, "/sys/fs/cgroup/unified/", 23) ? 14 : 22;
		snprintf(reason->text, sizeof(reason->text),
			 "names the mount of cgroup2 too (did you mean \"%s\"?)",
			 excerpt(path).text);
		return -EINVAL;
	}
	if (strlen(path) >= 3072 || !is_plain_path(path)) {
		snprintf(reason->text, sizeof(reason->text),
			 "is not the path of a cgroup (no empty parts, no . and no .. in it, "
			 "and not too long)");
		return -EINVAL;
	}
	return 0;
}

static int check_application(const char *path, struct reason *reason)
{
	if (path[0] == '/' && strlen(path) < PATH_MAX)
		return 0;
	snprintf(reason->text, sizeof(reason->text),
		 "is not the whole path of an executable (it begins with /, as /usr/bin/curl; "
		 "readlink /proc/PID/exe shows a process's)");
	return -EINVAL;
}

static int copy_path(const char *text, size_t length, char **path, struct reason *reason,
		     int (*check)(const char *path, struct reason *reason))
{
	*path = strndup(text, length);
	if (!*path) {
		snprintf(reason->text, sizeof(reason->text), "does not fit into memory");
		return -ENOMEM;
	}
	if (!check(*path, reason))
		return 0;
	free(*path);
	*path = NULL;
	return -EINVAL;
}

int value_cgroup(const char *text, char **path, struct reason *reason)
{
	size_t length = strlen(text);

	while (length > 1 && text[length - 1] == '/')
		length--;
	return copy_path(text, length, path, reason, value_check_cgroup);
}

int value_application(const char *text, char **path, struct reason *reason)
{
	return copy_path(text, strlen(text), path, reason, check_application);
}
