// SPDX-License-Identifier: BSD-2-Clause
/*
 * Prometheus' text format 0.0.4: of each family HELP, TYPE and then all of its samples. In help a
 * backslash and a line feed are escaped, in the values of labels a double quote too.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"

static void write_escaped(FILE *out, const char *text, bool quoted)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '\\' || (quoted && *text == '"'))
			fprintf(out, "\\%c", *text);
		else
			fputc(*text, out);
	}
}

static void write_value(FILE *out, const json_t *value)
{
	char text[64], *comma;

	if (json_is_integer(value)) {
		fprintf(out, "%llu", (unsigned long long)json_integer_value(value));
		return;
	}
	/* To milliseconds. A locale's comma would be no number. */
	snprintf(text, sizeof(text), "%.3f", json_real_value(value));
	comma = strchr(text, ',');
	if (comma)
		*comma = '.';
	fputs(text, out);
}

static void write_sample(FILE *out, const char *name, json_t *sample)
{
	json_t *labels = json_object_get(sample, "labels"), *value;
	const char *label, *before = "{";

	fputs(name, out);
	json_object_foreach(labels, label, value)
	{
		fprintf(out, "%s%s=\"", before, label);
		write_escaped(out, json_string_value(value), true);
		fputc('"', out);
		before = ",";
	}
	fputs("} ", out);
	write_value(out, json_object_get(sample, "value"));
	fputc('\n', out);
}

static void write_family(FILE *out, json_t *family)
{
	const char *name = json_string_value(json_object_get(family, "name"));
	json_t *samples = json_object_get(family, "samples"), *sample;
	size_t i;

	/* A family without samples says nothing. */
	if (!json_array_size(samples))
		return;
	fprintf(out, "# HELP %s ", name);
	write_escaped(out, json_string_value(json_object_get(family, "help")), false);
	fprintf(out, "\n# TYPE %s %s\n", name, json_string_value(json_object_get(family, "type")));
	json_array_foreach(samples, i, sample) write_sample(out, name, sample);
}

char *metrics_text(json_t *families)
{
	char *text = NULL;
	json_t *family;
	size_t size, i;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	json_array_foreach(families, i, family) write_family(out, family);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
