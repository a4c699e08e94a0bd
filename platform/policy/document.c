// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reads YAML into a tree that knows its lines, event by event, so that a hostile file is refused
 * before it costs anything: no anchors (hence no bombs of aliases), no tags, bounded depth, number
 * of keys and number of values.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "document.h"
#include "message.h"
#include "../progress.h"

#define PROGRESS_NODES 4096

/* The containers that are open, innermost last. */
struct open_nodes {
	uint32_t node[DOCUMENT_DEPTH_MAX];
	size_t depth;
};

static int refuse(struct message *message, const struct document *document,
		  const yaml_event_t *event, const char *what)
{
	return policy_error(message, document->name, event->start_mark.line + 1, "%s", what);
}

static int out_of_memory(struct message *message, const struct document *document)
{
	policy_error(message, document->name, 0, "not enough memory to read it");
	return -ENOMEM;
}

static int node_add(struct document *document, enum document_kind kind, unsigned int line,
		    uint32_t *number)
{
	if (document->nodes == document->nodes_capacity) {
		size_t capacity = document->nodes_capacity ? document->nodes_capacity * 2 : 64;
		void *grown = reallocarray(document->node, capacity, sizeof(*document->node));

		if (!grown)
			return -ENOMEM;
		document->node = grown;
		document->nodes_capacity = capacity;
	}
	if (!document->nodes)
		document->node[document->nodes++] = (struct document_node){ 0 };
	document->node[document->nodes] = (struct document_node){ .kind = kind, .line = line };
	*number = document->nodes++;
	return 0;
}

static int text_add(struct document *document, const char *text, size_t length, size_t *offset)
{
	if (document->text_capacity - document->text_size < length + 1) {
		size_t capacity = (document->text_size + length + 64) * 2;
		char *grown = realloc(document->text, capacity);

		if (!grown)
			return -ENOMEM;
		document->text = grown;
		document->text_capacity = capacity;
	}
	*offset = document->text_size;
	memcpy(document->text + document->text_size, text, length);
	document->text[document->text_size + length] = 0;
	document->text_size += length + 1;
	return 0;
}

static bool is_empty(const struct document *document, uint32_t number)
{
	const struct document_node *node = &document->node[number];

	return node->kind == DOCUMENT_SCALAR && node->plain && !*document_text(document, number);
}

/* Whether the next child of a container is one of its keys. */
static bool is_key(const struct document_node *parent)
{
	return parent->kind == DOCUMENT_MAPPING && parent->children % 2 == 0;
}

static int check_key(struct document *document, uint32_t parent, uint32_t number,
		     struct message *message)
{
	const struct document_node *key = &document->node[number];
	const char *text;
	uint32_t twin;

	if (key->kind != DOCUMENT_SCALAR)
		return policy_error(message, document->name, key->line,
				    "a key has to be a word, not a list or a mapping");
	text = document_text(document, number);
	if (strlen(text) > DOCUMENT_KEY_MAX)
		return policy_error(message, document->name, key->line, "unknown key \"%s\"",
				    excerpt(text).text);
	if (document->node[parent].children >= 2 * DOCUMENT_KEYS_MAX)
		return policy_error(message, document->name, key->line,
				    "key \"%s\" is one too many (no part of a policy has %u keys)",
				    excerpt(text).text, DOCUMENT_KEYS_MAX);
	twin = document_key(document, parent, text);
	if (twin)
		return policy_error(message, document->name, key->line,
				    "\"%s\" is already given in line %u (keep one of them)",
				    excerpt(text).text, document->node[twin].line);
	return 0;
}

static int check_not_empty(struct document *document, uint32_t parent, uint32_t number,
			   struct message *message)
{
	unsigned int line = document->node[number].line;
	const char *key;

	if (!is_empty(document, number))
		return 0;
	if (document->node[parent].kind == DOCUMENT_SEQUENCE)
		return policy_error(message, document->name, line,
				    "an entry of the list is empty (fill it in, or remove it)");
	/* The parser puts the empty value where the next thing begins; the key says it better. */
	key = document_text(document, document->node[parent].last);
	return policy_error(
		message, document->name, document->node[document->node[parent].last].line,
		"\"%s\" has no value (give it one, or leave the key out)", excerpt(key).text);
}

static int attach(struct document *document, struct open_nodes *open, uint32_t number,
		  struct message *message)
{
	uint32_t parent_number = open->depth ? open->node[open->depth - 1] : 0;
	struct document_node *parent = &document->node[parent_number];
	int error;

	if (!parent_number) {
		document->root = number;
		return 0;
	}
	if (is_key(parent))
		error = check_key(document, parent_number, number, message);
	else
		error = check_not_empty(document, parent_number, number, message);
	if (error)
		return error;
	if (parent->last)
		document->node[parent->last].next = number;
	else
		parent->first = number;
	parent->last = number;
	parent->children++;
	return 0;
}

static int begin_node(struct document *document, struct open_nodes *open, const yaml_event_t *event,
		      enum document_kind kind, struct message *message)
{
	uint32_t number;
	int error;

	if (document->nodes > DOCUMENT_NODES_MAX) {
		refuse(message, document, event, "more than 4,194,304 values (make it smaller)");
		return -E2BIG;
	}
	if (node_add(document, kind, event->start_mark.line + 1, &number) < 0)
		return out_of_memory(message, document);
	if (kind == DOCUMENT_SCALAR) {
		const char *text = (const char *)event->data.scalar.value;
		size_t length = event->data.scalar.length;
		struct document_node *node = &document->node[number];

		node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
		if (memchr(text, 0, length))
			return refuse(message, document, event,
				      "a zero byte in the text (policies are text)");
		if (text_add(document, text, length, &node->text) < 0)
			return out_of_memory(message, document);
	}
	error = attach(document, open, number, message);
	if (error || kind == DOCUMENT_SCALAR)
		return error;
	if (open->depth == DOCUMENT_DEPTH_MAX)
		return refuse(message, document, event,
			      "nested too deep (a policy has five levels)");
	open->node[open->depth++] = number;
	return 0;
}

static int refuse_anchor(struct message *message, const struct document *document,
			 const yaml_event_t *event, const yaml_char_t *anchor,
			 const yaml_char_t *tag)
{
	if (anchor)
		return refuse(message, document, event,
			      "anchors and aliases are not accepted (write the value out)");
	if (tag)
		return refuse(message, document, event,
			      "tags are not accepted (leave the \"!\" out, or quote the value)");
	return 0;
}

static int take_event(struct document *document, struct open_nodes *open, const yaml_event_t *event,
		      struct message *message)
{
	int error = 0;

	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (document->root)
			return refuse(message, document, event,
				      "a second document begins here (a policy is one document)");
		return 0;
	case YAML_ALIAS_EVENT:
		return refuse_anchor(message, document, event, event->data.alias.anchor, NULL);
	case YAML_SCALAR_EVENT:
		error = refuse_anchor(message, document, event, event->data.scalar.anchor,
				      event->data.scalar.tag);
		return error ? error : begin_node(document, open, event, DOCUMENT_SCALAR, message);
	case YAML_SEQUENCE_START_EVENT:
		error = refuse_anchor(message, document, event, event->data.sequence_start.anchor,
				      event->data.sequence_start.tag);
		return error ? error :
			       begin_node(document, open, event, DOCUMENT_SEQUENCE, message);
	case YAML_MAPPING_START_EVENT:
		error = refuse_anchor(message, document, event, event->data.mapping_start.anchor,
				      event->data.mapping_start.tag);
		return error ? error : begin_node(document, open, event, DOCUMENT_MAPPING, message);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		open->depth--;
		return 0;
	default:
		return 0;
	}
}

/* The two mistakes that are made most. */
static const char *parser_mend(const char *problem)
{
	if (strstr(problem, "cannot start any token"))
		return " (indent with spaces, not with tabs; quote text that begins with a special "
		       "character)";
	if (strstr(problem, "expected node content"))
		return " (quote what begins with a colon, as \"::/0\")";
	return "";
}

static int parser_error(const yaml_parser_t *parser, const struct document *document,
			struct message *message)
{
	const char *problem = parser->problem ? parser->problem : "it cannot be read";
	unsigned int line = parser->problem_mark.line + 1;

	if (parser->error == YAML_MEMORY_ERROR)
		return out_of_memory(message, document);
	if (parser->error == YAML_READER_ERROR) /* it leaves no mark: not UTF-8, most likely */
		line = parser->mark.line + 1;
	return policy_error(message, document->name, line, "not valid YAML: %s%s%s%s", problem,
			    parser->context ? " " : "", parser->context ? parser->context : "",
			    parser_mend(problem));
}

int document_parse(struct document *document, const char *name, const char *text, size_t size,
		   struct message *message)
{
	struct open_nodes open = { .depth = 0 };
	yaml_parser_t parser;
	bool end = false;
	int error = 0;

	*document = (struct document){ .name = name };
	if (size > DOCUMENT_TEXT_MAX) {
		policy_error(message, name, 0, "larger than 64 MiB (make it smaller)");
		return -E2BIG;
	}
	if (!yaml_parser_initialize(&parser))
		return out_of_memory(message, document);
	progress_phase("reading the policy", 1);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	while (!error && !end) {
		yaml_event_t event;

		if (!yaml_parser_parse(&parser, &event)) {
			error = parser_error(&parser, document, message);
			break;
		}
		end = event.type == YAML_STREAM_END_EVENT;
		if (document->nodes % PROGRESS_NODES == 0)
			progress_at(event.end_mark.index, size);
		error = take_event(document, &open, &event, message);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	if (!error && (!document->root || is_empty(document, document->root)))
		error = policy_error(
			message, name, 1,
			"there is nothing in it (a policy begins with \"version: 1\")");
	return error;
}

void document_release(struct document *document)
{
	free(document->node);
	free(document->text);
	*document = (struct document){ 0 };
}
