// SPDX-License-Identifier: BSD-2-Clause
/*
 * What policy_schema.py asks the loader of policies:
 *	policy_tool keys      each key of a policy file: its path, "required" or "optional", and of a
 *	                      list how many entries it has at least and at most
 *	policy_tool load      of each file whose name is on a line of standard input one line: "ok" and
 *	                      a hash of what it compiles to, or "error" and why it is refused
 */
#include <cyaml/cyaml.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../platform/policy/schema.h"

static void print_keys(const cyaml_schema_value_t *schema, const char *path)
{
	const cyaml_schema_field_t *field;
	const cyaml_schema_value_t *value;
	char below[256];

	if (schema->type == CYAML_SEQUENCE) {
		snprintf(below, sizeof(below), "%s[]", path);
		print_keys(schema->sequence.entry, below);
	}
	if (schema->type != CYAML_MAPPING)
		return;
	for (field = schema->mapping.fields; field->key; field++) {
		value = &field->value;
		snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", field->key);
		printf("%s %s", below,
		       value->flags & CYAML_FLAG_OPTIONAL ? "optional" : "required");
		if (value->type == CYAML_SEQUENCE)
			printf(" %" PRIu32 " %" PRIu32, value->sequence.min, value->sequence.max);
		putchar('\n');
		print_keys(value, below);
	}
}

static void load(const char *path)
{
	struct policy_target target = { .cgroup_root = "/nowhere" };
	struct message message = { "" };
	struct policy_image image;
	struct policy *policy;
	uint64_t hash = 14695981039346656037U;

	if (policy_load(path, &policy, &message)) {
		printf("error %s\n", message.text);
		return;
	}
	/* The name of the file and the time are in the image, and are to make no difference. */
	free(policy->source);
	policy->source = strdup("policy");
	if (policy_compile(policy, &target, &image, &message)) {
		printf("ok %s\n", message.text);
	} else {
		((struct policy_header *)image.line)->applied = 0;
		for (size_t i = 0; i < image.lines * POLICY_LINE; i++)
			hash = (hash ^ ((uint8_t *)image.line)[i]) * 1099511628211U;
		printf("ok %016" PRIx64 "\n", hash);
		free(image.line);
	}
	policy_free(policy);
}

int main(int argc, char **argv)
{
	char path[4096];

	if (argc == 2 && !strcmp(argv[1], "keys")) {
		print_keys(&schema_policy, "");
		return 0;
	}
	while (argc == 2 && !strcmp(argv[1], "load") && fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = 0;
		load(path);
	}
	return 0;
}
