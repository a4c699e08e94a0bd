/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A YAML document as a tree that knows its lines. It stands between a file that may be hostile
 * and libcyaml: anchors, tags, depth and size are dealt with here, and what libcyaml is given is
 * written anew from the tree. Errors found later ask it for the line to name.
 */
#ifndef WAYBILL_PLATFORM_POLICY_DOCUMENT_H
#define WAYBILL_PLATFORM_POLICY_DOCUMENT_H

#include "policy.h"

#define DOCUMENT_TEXT_MAX ((size_t)64 << 20)
#define DOCUMENT_NODES_MAX ((size_t)4 << 20)
#define DOCUMENT_KEYS_MAX 64
#define DOCUMENT_KEY_MAX 256 /* bytes; YAML itself ends at 1,024 */
#define DOCUMENT_DEPTH_MAX 8 /* a policy has five levels */
#define DOCUMENT_LIST (SIZE_MAX)

enum document_kind { DOCUMENT_SCALAR, DOCUMENT_SEQUENCE, DOCUMENT_MAPPING };

/* Nodes are numbered from 1; 0 is no node. A mapping's children are key, value, key, value. */
struct document_node {
	uint8_t kind;
	bool plain; /* a scalar without quotes */
	uint32_t line;
	uint32_t first, last, next;
	uint32_t children;
	size_t text; /* where a scalar's text begins, in the text of the document; ends with a zero
		      */
};

struct document {
	const char *name; /* of the file, for errors */
	struct document_node *node;
	size_t nodes, nodes_capacity;
	char *text;
	size_t text_size, text_capacity;
	uint32_t root;
};

/* A place in a policy: list[index].section.key[entry], any tail of which may be left out. */
struct place {
	const char *list;
	size_t index;
	const char *section;
	const char *key;
	size_t entry;
};

/* Parses text. Returns 0 and a document to be released also after an error. */
int document_parse(struct document *document, const char *name, const char *text, size_t size,
		   struct message *message);
void document_release(struct document *document);

static inline const char *document_text(const struct document *document, uint32_t node)
{
	return document->text + document->node[node].text;
}

/* The value of a key, the entry of a sequence (0 if there is none of that). */
uint32_t document_value(const struct document *document, uint32_t node, const char *key);
uint32_t document_entry(const struct document *document, uint32_t node, size_t index);
/* The key itself. */
uint32_t document_key(const struct document *document, uint32_t node, const char *key);

/* The line of a place, or of the nearest thing around it that the document has. */
unsigned int document_line(const struct document *document, const struct place *place);

/*
 * The document as YAML again, for libcyaml: every scalar quoted, every node on the line that it
 * came from. The scalar values of mappings under the keys "listed" become lists of one. Returns 0
 * and text for free(), or -ENOMEM.
 */
int document_write(const struct document *document, const char *const *listed, char **text,
		   size_t *size);

#endif
