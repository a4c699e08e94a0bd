// SPDX-License-Identifier: BSD-2-Clause
/*
 * The schema of a policy file for libcyaml, and the translation of what libcyaml says when a file
 * does not follow it: from the backtrace in its log to a line, a reason and a mend.
 */
#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "schema.h"

#define TEXT(key, structure, member)                                                               \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, structure, member, 0, CYAML_UNLIMITED)
#define TEXT_OPTIONAL(key, structure, member)                                                      \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, member,   \
			       0, CYAML_UNLIMITED)
#define LIST(key, member)                                                                          \
	CYAML_FIELD_SEQUENCE_COUNT(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,                  \
				   struct file_match, member, member##_count, &schema_text, 1,     \
				   CYAML_UNLIMITED)

static const cyaml_schema_value_t schema_text = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

static const cyaml_schema_field_t limits_fields[] = {
	TEXT_OPTIONAL("hops", struct file_limits, hops),
	TEXT_OPTIONAL("records_expire", struct file_limits, records_expire),
	TEXT_OPTIONAL("datagram_idle", struct file_limits, datagram_idle),
	TEXT_OPTIONAL("keep_mark", struct file_limits, keep_mark),
	TEXT_OPTIONAL("unheard", struct file_limits, unheard),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t endpoint_fields[] = {
	TEXT_OPTIONAL("tcp", struct file_endpoint, tcp),
	TEXT_OPTIONAL("udp", struct file_endpoint, udp),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t identity_fields[] = {
	TEXT_OPTIONAL("user", struct file_identity, user),
	TEXT_OPTIONAL("cgroup", struct file_identity, cgroup),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t service_fields[] = {
	TEXT("name", struct file_service, name),
	TEXT("weight", struct file_service, weight),
	CYAML_FIELD_MAPPING("endpoint", CYAML_FLAG_DEFAULT, struct file_service, endpoint,
			    endpoint_fields),
	CYAML_FIELD_MAPPING("identity", CYAML_FLAG_DEFAULT, struct file_service, identity,
			    identity_fields),
	CYAML_FIELD_MAPPING_PTR("listener", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
				struct file_service, listener, identity_fields),
	TEXT_OPTIONAL("when_down", struct file_service, when_down),
	TEXT_OPTIONAL("keep_family", struct file_service, keep_family),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t match_fields[] = {
	LIST("protocol", protocol),
	LIST("remote", remote),
	LIST("remote_file", remote_file),
	LIST("remote_port", remote_port),
	LIST("local", local),
	LIST("user", user),
	LIST("group", group),
	LIST("cgroup", cgroup),
	LIST("application", application),
	LIST("original_application", original_application),
	LIST("interface", interface),
	LIST("netns", netns),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t filter_fields[] = {
	TEXT("name", struct file_filter, name),
	TEXT("service", struct file_filter, service),
	TEXT_OPTIONAL("weight", struct file_filter, weight),
	CYAML_FIELD_MAPPING("match", CYAML_FLAG_OPTIONAL, struct file_filter, match, match_fields),
	CYAML_FIELD_MAPPING("except", CYAML_FLAG_OPTIONAL, struct file_filter, except,
			    match_fields),
	TEXT("action", struct file_filter, action),
	TEXT_OPTIONAL("context", struct file_filter, context),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema_service = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_service, service_fields),
};

static const cyaml_schema_value_t schema_filter = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_filter, filter_fields),
};

static const cyaml_schema_field_t policy_fields[] = {
	TEXT("version", struct file_policy, version),
	CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct file_policy, limits,
			    limits_fields),
	CYAML_FIELD_SEQUENCE_COUNT("services", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
				   struct file_policy, service, services, &schema_service, 0,
				   POLICY_SERVICES_MAX),
	CYAML_FIELD_SEQUENCE_COUNT("filters", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
				   struct file_policy, filter, filters, &schema_filter, 0,
				   POLICY_FILTERS_MAX),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t schema_policy = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file_policy, policy_fields),
};

/* One step from the root towards what libcyaml objects to. Sequences count from 1, 0 is itself. */
struct step {
	char field[32]; /* empty: an entry of a sequence, or a mapping of which no key was read */
	unsigned int entry;
	bool in_sequence;
};

#define STEPS 16

struct complaint {
	char text[320];
	struct step step[STEPS]; /* innermost first, as the backtrace has them */
	size_t steps;
};

static void take_log(cyaml_log_t level, void *data, const char *format, va_list list)
{
	struct complaint *complaint = data;
	struct step step = { .in_sequence = false };
	char text[320];

	if (level < CYAML_LOG_ERROR)
		return;
	vsnprintf(text, sizeof(text), format, list);
	text[strcspn(text, "\n")] = 0;
	if (!complaint->text[0]) {
		const char *said = strncmp(text, "Load: ", 6) ? text : text + 6;

		snprintf(complaint->text, sizeof(complaint->text), "%s", said);
		return;
	}
	if (sscanf(text, " in sequence entry '%u'", &step.entry) == 1)
		step.in_sequence = true;
	else if (sscanf(text, " in mapping field '%31[^']'", step.field) != 1 &&
		 strncmp(text, "  in mapping (", 14))
		return;
	if (complaint->steps < STEPS)
		complaint->step[complaint->steps++] = step;
}

/* The node and the schema at the end of the steps, leaving the innermost "skip" of them out. */
static uint32_t follow(const struct document *document, const struct complaint *complaint,
		       size_t skip, const cyaml_schema_value_t **schema)
{
	uint32_t node = document->root, below;
	size_t i;

	*schema = &schema_policy;
	for (i = complaint->steps; i > skip; i--) {
		const struct step *step = &complaint->step[i - 1];
		const cyaml_schema_field_t *field;

		if (step->in_sequence) {
			if ((*schema)->type != CYAML_SEQUENCE || !step->entry)
				break;
			below = document_entry(document, node, step->entry - 1);
			*schema = (*schema)->sequence.entry;
		} else {
			if ((*schema)->type != CYAML_MAPPING || !step->field[0])
				break;
			below = document_value(document, node, step->field);
			for (field = (*schema)->mapping.fields; field->key; field++)
				if (!strcmp(field->key, step->field))
					break;
			if (!field->key)
				break;
			*schema = &field->value;
		}
		if (!below)
			break;
		node = below;
	}
	return node;
}

/* "name, weight, endpoint": the keys of a mapping, or only those that it has to have. */
static void list_keys(const cyaml_schema_value_t *schema, bool required, char *text, size_t size)
{
	const cyaml_schema_field_t *field;
	size_t length = 0;

	text[0] = 0;
	for (field = schema->mapping.fields; field->key && length < size; field++)
		if (!required || !(field->value.flags & CYAML_FLAG_OPTIONAL))
			length += snprintf(text + length, size - length, "%s%s", length ? ", " : "",
					   field->key);
}

static int unknown_key(const struct document *document, const struct complaint *complaint,
		       const char *key, struct message *message)
{
	const cyaml_schema_value_t *schema;
	uint32_t mapping = follow(document, complaint, 0, &schema);
	uint32_t node = document_key(document, mapping, key);
	const cyaml_schema_field_t *field;
	struct suggestion suggestion;
	char known[128];

	if (schema->type != CYAML_MAPPING)
		schema = &schema_policy;
	suggestion_begin(&suggestion, key);
	for (field = schema->mapping.fields; field->key; field++)
		suggestion_offer(&suggestion, field->key);
	list_keys(schema, false, known, sizeof(known));
	return policy_error(message, document->name, document->node[node ? node : mapping].line,
			    "unknown key \"%s\"%s", excerpt(key).text,
			    suggestion_end(&suggestion, " (known here: %s)", known).text);
}

static int missing_key(const struct document *document, const struct complaint *complaint,
		       const char *key, struct message *message)
{
	const cyaml_schema_value_t *schema;
	/* The innermost step is the last key that the mapping does have. */
	uint32_t mapping = follow(document, complaint, 1, &schema);
	char required[128];

	if (schema->type != CYAML_MAPPING)
		schema = &schema_policy;
	list_keys(schema, true, required, sizeof(required));
	return policy_error(message, document->name, document->node[mapping].line,
			    "\"%s\" is missing (required here: %s)", excerpt(key).text, required);
}

static const char *kind_wanted(const cyaml_schema_value_t *schema)
{
	switch (schema->type) {
	case CYAML_MAPPING:
		return "a mapping, as \"key: value\"";
	case CYAML_SEQUENCE:
		return "a list, as \"- value\" or \"[ value ]\"";
	default:
		return "one value";
	}
}

static int other_kind(const struct document *document, const struct complaint *complaint,
		      struct message *message)
{
	static const char *const kinds[] = { "one value", "a list", "a mapping" };
	const cyaml_schema_value_t *schema;
	uint32_t node = follow(document, complaint, 0, &schema);
	const char *what = "this";
	size_t i;

	for (i = 0; i < complaint->steps; i++)
		if (complaint->step[i].field[0]) {
			what = complaint->step[i].field;
			break;
		}
	return policy_error(
		message, document->name, document->node[node].line, "%s%s is %s where %s belongs",
		complaint->steps && complaint->step[0].in_sequence ? "an entry of " : "", what,
		kinds[document->node[node].kind], kind_wanted(schema));
}

static int translate(const struct document *document, const struct complaint *complaint,
		     cyaml_err_t error, struct message *message)
{
	const cyaml_schema_value_t *schema;
	uint32_t node = follow(document, complaint, 0, &schema);
	unsigned int line = document->node[node].line;
	const char *colon = strstr(complaint->text, ": ");
	const char *key = colon ? colon + 2 : "";
	size_t over;

	switch (error) {
	case CYAML_ERR_OOM:
		policy_error(message, document->name, 0, "not enough memory to read it");
		return -ENOMEM;
	case CYAML_ERR_INVALID_KEY:
		return unknown_key(document, complaint, key, message);
	case CYAML_ERR_MAPPING_FIELD_MISSING:
		return missing_key(document, complaint, key, message);
	case CYAML_ERR_SEQUENCE_ENTRIES_MIN:
		return policy_error(message, document->name, line,
				    "the list is empty and could match nothing (leave the key out "
				    "to match anything)");
	case CYAML_ERR_SEQUENCE_ENTRIES_MAX: /* the step is to the last that was taken */
		node = document->node[node].next ? document->node[node].next : node;
		line = document->node[node].line;
		for (over = 1; document->node[node].next; over++)
			node = document->node[node].next;
		return policy_error(message, document->name, line,
				    "%zu too many (there can be %u services and %u filters at "
				    "most; one filter takes many addresses, ports and users)",
				    over, POLICY_SERVICES_MAX, POLICY_FILTERS_MAX);
	case CYAML_ERR_INVALID_VALUE:
	case CYAML_ERR_UNEXPECTED_EVENT:
		return other_kind(document, complaint, message);
	default:
		return policy_error(
			message, document->name, line, "%s",
			excerpt(complaint->text[0] ? complaint->text : cyaml_strerror(error)).text);
	}
}

static const cyaml_config_t quiet = {
	.mem_fn = cyaml_mem,
	.log_level = CYAML_LOG_ERROR,
	.flags = CYAML_CFG_NO_ALIAS,
};

int schema_load(const struct document *document, struct file_policy **file, struct message *message)
{
	static const char *const listed[] = { "match", "except", NULL };
	struct complaint complaint = { .steps = 0 };
	cyaml_config_t config = quiet;
	cyaml_data_t *data = NULL;
	cyaml_err_t error;
	size_t size;
	char *text;

	*file = NULL;
	if (document_write(document, listed, &text, &size) < 0) {
		policy_error(message, document->name, 0, "not enough memory to read it");
		return -ENOMEM;
	}
	config.log_fn = take_log;
	config.log_ctx = &complaint;
	error = cyaml_load_data((const uint8_t *)text, size, &config, &schema_policy, &data, NULL);
	free(text);
	if (error != CYAML_OK)
		return translate(document, &complaint, error, message);
	*file = data;
	return 0;
}

void schema_release(struct file_policy *file)
{
	if (file)
		cyaml_free(&quiet, &schema_policy, file, 0);
}
