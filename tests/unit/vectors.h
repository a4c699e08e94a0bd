/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads tests/vectors/records.txt, whose first lines say what is in it. Included after cmocka.h;
 * a file that cannot be read fails the test.
 */
#ifndef WAYBILL_TESTS_VECTORS_H
#define WAYBILL_TESTS_VECTORS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "records.h"

#define VECTORS_MAX 16

struct siphash_vector {
	size_t length;
	unsigned char mac[16];
};

struct service_vector {
	char name[64];
	unsigned int id;
};

struct records_vector {
	char name[64];
	struct record_key key;
	size_t size;
	unsigned char blob[WAYBILL_RECORDS_MAX];
};

struct vectors {
	struct siphash_vector siphash[VECTORS_MAX];
	struct service_vector service[VECTORS_MAX];
	struct records_vector records[VECTORS_MAX];
	size_t siphashes, services, count;
};

static size_t vectors_hex(const char *text, void *out, size_t room)
{
	size_t n = 0;

	for (; text[2 * n] && text[2 * n + 1]; n++) {
		unsigned int byte;

		assert_true(n < room);
		assert_int_equal(sscanf(text + 2 * n, "%2x", &byte), 1);
		((unsigned char *)out)[n] = byte;
	}
	assert_int_equal(text[2 * n], '\0');
	return n;
}

static void vectors_line(struct vectors *v, const char *line)
{
	struct records_vector *records = &v->records[v->count];
	char word[16] = "", name[64] = "", hex[64] = "";
	int words = sscanf(line, "%15s %63s %63s", word, name, hex);

	if (words <= 0 || word[0] == '#')
		return;
	assert_true(v->siphashes < VECTORS_MAX && v->services < VECTORS_MAX &&
		    v->count < VECTORS_MAX);
	if (strcmp(word, "siphash") == 0) {
		v->siphash[v->siphashes].length = strtoul(name, NULL, 10);
		assert_int_equal(vectors_hex(hex, v->siphash[v->siphashes++].mac, 16), 16);
	} else if (strcmp(word, "service") == 0) {
		strcpy(v->service[v->services].name, name);
		v->service[v->services++].id = strtoul(hex, NULL, 16);
	} else if (strcmp(word, "records") == 0) {
		strcpy(records->name, name);
	} else if (strcmp(word, "key") == 0) {
		assert_int_equal(vectors_hex(name, &records->key, 16), 16);
	} else if (strcmp(word, "blob") == 0) {
		records->size += vectors_hex(name, records->blob + records->size,
					     sizeof(records->blob) - records->size);
	} else if (strcmp(word, "end") == 0) {
		v->count++;
	} else {
		fail_msg("unknown line in the vectors: %s", line);
	}
}

/* The whole file, for free(). */
static char *vectors_text(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	if (!file || !text)
		fail_msg("%s cannot be read", path);
	assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
	fclose(file);
	return text;
}

static void vectors_read(const char *path, struct vectors *v)
{
	char *text = vectors_text(path), *next = text, *line;

	memset(v, 0, sizeof(*v));
	while ((line = strsep(&next, "\n")))
		vectors_line(v, line);
	free(text);
	assert_true(v->siphashes >= 8 && v->services >= 2 && v->count >= 3);
}

#endif
