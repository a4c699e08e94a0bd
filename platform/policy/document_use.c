// SPDX-License-Identifier: BSD-2-Clause
/*
 * What is asked of a document that has been read: its parts, the line of a place in it, and its
 * text written anew for libcyaml, which then never sees what the file itself contains.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"

uint32_t document_key(const struct document *document, uint32_t node, const char *key)
{
	uint32_t child;

	if (!node || document->node[node].kind != DOCUMENT_MAPPING)
		return 0;
	child = document->node[node].first;
	while (child && strcmp(document_text(document, child), key)) {
		child = document->node[child].next;
		child = child ? document->node[child].next : 0;
	}
	return child;
}

uint32_t document_value(const struct document *document, uint32_t node, const char *key)
{
	uint32_t child = document_key(document, node, key);

	return child ? document->node[child].next : 0;
}

uint32_t document_entry(const struct document *document, uint32_t node, size_t index)
{
	uint32_t child;

	if (!node || document->node[node].kind != DOCUMENT_SEQUENCE)
		return 0;
	child = document->node[node].first;
	while (child && index--)
		child = document->node[child].next;
	return child;
}

unsigned int document_line(const struct document *document, const struct place *place)
{
	uint32_t node = document->root, key;
	unsigned int line = document->node[node].line;

	if (place->list) {
		key = document_key(document, node, place->list);
		node = key ? document->node[key].next : 0;
		line = key ? document->node[key].line : line;
		if (node && document->node[node].kind == DOCUMENT_SEQUENCE &&
		    place->index != DOCUMENT_LIST) {
			node = document_entry(document, node, place->index);
			line = node ? document->node[node].line : line;
		}
	}
	if (place->section) {
		key = document_key(document, node, place->section);
		node = key ? document->node[key].next : 0;
		line = key ? document->node[key].line : line;
	}
	if (place->key) {
		key = document_key(document, node, place->key);
		node = key ? document->node[key].next : 0;
		line = key ? document->node[key].line : line;
		node = document_entry(document, node, place->entry);
		line = node ? document->node[node].line : line;
	}
	return line;
}

struct writer {
	const struct document *document;
	const char *const *listed;
	FILE *out;
	unsigned int line;
};

static void write_scalar(struct writer *writer, uint32_t number)
{
	const char *text = document_text(writer->document, number);

	putc('"', writer->out);
	for (; *text; text++) {
		unsigned char byte = *text;

		if (byte == '"' || byte == '\\')
			fprintf(writer->out, "\\%c", byte);
		else if (byte < ' ' || byte == 0x7f)
			fprintf(writer->out, "\\x%02x", byte);
		else if (byte == 0xc2 && (unsigned char)text[1] == 0x85)
			fputs("\\N", writer->out), text++;
		else if (byte == 0xe2 && !strncmp(text, "\u2028", 3))
			fputs("\\L", writer->out), text += 2;
		else if (byte == 0xe2 && !strncmp(text, "\u2029", 3))
			fputs("\\P", writer->out), text += 2;
		else
			putc(byte, writer->out);
	}
	putc('"', writer->out);
}

static bool is_listed(const struct writer *writer, const char *key)
{
	size_t i;

	for (i = 0; writer->listed[i]; i++)
		if (!strcmp(writer->listed[i], key))
			return true;
	return false;
}

/* Recurses no deeper than DOCUMENT_DEPTH_MAX. */
static void write_node(struct writer *writer, uint32_t number, bool listed)
{
	const struct document *document = writer->document;
	const struct document_node *node = &document->node[number];
	bool mapping = node->kind == DOCUMENT_MAPPING, listed_below = false;
	uint32_t child, index = 0;

	for (; writer->line < node->line; writer->line++)
		putc('\n', writer->out);
	if (node->kind == DOCUMENT_SCALAR) {
		write_scalar(writer, number);
		return;
	}
	putc(mapping ? '{' : '[', writer->out);
	for (child = node->first; child; child = document->node[child].next, index++) {
		bool value = mapping && index % 2;
		bool wrap = value && listed && document->node[child].kind == DOCUMENT_SCALAR;

		fputs(!index ? "" : value ? ": " : ", ", writer->out);
		fputs(wrap ? "[" : "", writer->out);
		write_node(writer, child, listed_below);
		fputs(wrap ? "]" : "", writer->out);
		listed_below =
			mapping && !value && is_listed(writer, document_text(document, child));
	}
	putc(mapping ? '}' : ']', writer->out);
}

int document_write(const struct document *document, const char *const *listed, char **text,
		   size_t *size)
{
	struct writer writer = { .document = document, .listed = listed, .line = 1 };
	bool failed;

	*text = NULL;
	writer.out = open_memstream(text, size);
	if (!writer.out)
		return -ENOMEM;
	write_node(&writer, document->root, false);
	failed = ferror(writer.out);
	if (fclose(writer.out) || failed) {
		free(*text);
		*text = NULL;
		return -ENOMEM;
	}
	return 0;
}
