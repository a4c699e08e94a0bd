// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reads files of prefixes. Lists are published with comments of their own, so what follows the
 * prefix on its line, after "#" or ";", is passed over; anything else is a mistake.
 */
#include "prefixes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "message.h"
#include "../progress.h"

#define PROGRESS_LINES 4096
#define PREFIXES_MAX 4000000 /* several times what a policy can hold */

struct list {
	struct prefix *prefix;
	size_t count, capacity;
};

static int append(struct list *list, const struct prefix *prefix)
{
	struct prefix *grown;

	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 64;

		grown = reallocarray(list->prefix, capacity, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		list->prefix = grown;
		list->capacity = capacity;
	}
	list->prefix[list->count++] = *prefix;
	return 0;
}

/* The prefix of a line, without what is around it; an empty text if it has none. */
static char *prefix_of_line(char *line)
{
	line += strspn(line, " \t\r");
	line[strcspn(line, "#;\n")] = '\0';
	line[strcspn(line, " \t\r")] = '\0';
	return line;
}

/* What stands behind the prefix and is no comment. */
static bool has_more(const char *line)
{
	const char *at = line + strspn(line, " \t\r");

	at += strcspn(at, " \t\r\n#;");
	at += strspn(at, " \t\r");
	return *at && *at != '\n' && *at != '#' && *at != ';';
}

static int read_lines(FILE *file, size_t size, struct list *list, struct reason *reason)
{
	struct reason why;
	struct prefix prefix;
	unsigned int number = 0;
	char *line = NULL, *text;
	size_t room = 0, over = 0;
	int error = 0;

	while (!error && getline(&line, &room, file) > 0) {
		bool more = has_more(line);

		number++;
		if (number % PROGRESS_LINES == 0)
			progress_at(ftello(file), size);
		text = prefix_of_line(line);
		if (!*text)
			continue;
		snprintf(why.text, sizeof(why.text), "is followed by something else");
		if (more || value_prefix(text, &prefix, &why)) {
			snprintf(reason->text, sizeof(reason->text),
				 "is wrong in line %u: \"%s\" %.300s", number, excerpt(text).text,
				 why.text);
			error = -EINVAL;
		} else if (list->count >= PREFIXES_MAX) {
			over++;
		} else {
			error = append(list, &prefix);
		}
	}
	if (!error && over) {
		snprintf(reason->text, sizeof(reason->text),
			 "has %zu prefixes more than the limit of %d", over, PREFIXES_MAX);
		error = -EINVAL;
	}
	if (!error && ferror(file)) {
		snprintf(reason->text, sizeof(reason->text), "cannot be read: %s", strerror(errno));
		error = -EINVAL;
	}
	free(line);
	return error;
}

int prefixes_read(const char *path, struct prefix **prefix, size_t *count, struct reason *reason)
{
	struct list list = { *prefix, *count, *count };
	struct stat status;
	FILE *file;
	int error;

	if (path[0] != '/') {
		snprintf(reason->text, sizeof(reason->text),
			 "is not the whole path of a file (it begins with /)");
		return -EINVAL;
	}
	file = fopen(path, "re");
	if (!file) {
		snprintf(reason->text, sizeof(reason->text), "cannot be read: %s", strerror(errno));
		return -EINVAL;
	}
	error = read_lines(file, fstat(fileno(file), &status) ? 0 : status.st_size, &list, reason);
	fclose(file);
	*prefix = list.prefix;
	*count = list.count;
	return error;
}
