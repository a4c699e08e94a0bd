// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill records`: takes a blob of records apart for people. Root is needed only to name the
 * services; without it, and where no instance is up, they are shown by their ids.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <waybill/waybill.h>

#include "command.h"
#include "json.h"

#define NOT_CHECKED "the MAC is not checked here: this may be forged"

struct input {
	struct common common;
	const char *file;
	bool hex;
};

static const struct argp_option options[] = {
	{ "hex", 'x', 0, 0, "The records are hex digits; space between them does not matter", 1 },
	{ 0 },
};

static const char documentation[] =
	"Decode the redirect records in FILE, or in standard input, as a service gets them.\v"
	"The key of their MAC is the kernel's, so the MAC is not checked: what is shown may be "
	"forged. Names come from the instance, if it is up and you are root.\n\n"
	"EXAMPLES:\n"
	"  waybill records records.bin\n"
	"  echo 5759424c... | waybill records --hex\n" EXIT_STATUS_HELP;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct input *input = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		common_begin(state);
		return 0;
	case 'x':
		input->hex = true;
		return 0;
	case ARGP_KEY_ARG:
		if (input->file)
			argp_error(state, "one file at a time: \"%s\" or \"%s\"?", input->file,
				   argument);
		input->file = argument;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Reads up to size bytes; one more than that is too many. Returns how many, or -1. */
static ssize_t read_input(const struct input *input, char *bytes, size_t size)
{
	bool standard = !input->file || !strcmp(input->file, "-");
	FILE *file = standard ? stdin : fopen(input->file, "re");
	size_t count = file ? fread(bytes, 1, size, file) : 0;
	ssize_t result = count;

	if (!file || ferror(file)) {
		complain("%s: %s", standard ? "standard input" : input->file, strerror(errno));
		result = -1;
	}
	if (file && !standard)
		fclose(file);
	return result;
}

/* In place. Returns the number of bytes, or -1 after a complaint. */
static ssize_t read_hex(char *text, size_t size)
{
	size_t digits = 0;

	for (size_t i = 0; i < size; i++) {
		unsigned int value;

		if (isspace((unsigned char)text[i]))
			continue;
		if (!isxdigit((unsigned char)text[i])) {
			complain("byte %zu is not a hex digit (leave --hex out for binary records)",
				 i + 1);
			return -1;
		}
		value = text[i] <= '9' ? text[i] - '0' : (text[i] | 0x20) - 'a' + 10;
		if (digits % 2)
			text[digits / 2] |= value;
		else
			text[digits / 2] = value << 4;
		digits++;
	}
	if (digits % 2) {
		complain("the number of hex digits is odd: one is missing or too many");
		return -1;
	}
	return digits / 2;
}

static void print_hop(const struct names *names, const struct waybill_hop *hop, uint32_t number)
{
	printf("\n%shop %u%s  %s%s%s by filter %s\n", paint_begin(PAINT_DIM), number,
	       paint_end(PAINT_DIM), paint_begin(PAINT_BOLD),
	       text_service(names, hop->service).text, paint_end(PAINT_BOLD),
	       text_filter(names, hop->filter).text);
	printf("  destination  %s\n", text_address(&hop->destination).text);
	printf("  client       %s, uid %u, gid %u, cgroup %" PRIu64 "\n",
	       text_process(&hop->client).text, hop->client.uid, hop->client.gid,
	       (uint64_t)hop->client.cgroup);
	if (hop->client.application) {
		const char *path = names_application(names, hop->client.application);

		printf("  application  %s\n",
		       path ? path : "one that the policy in force does not name");
	}
	printf("  time         %" PRIu64 ".%09" PRIu64 " s after boot\n", hop->time / 1000000000,
	       hop->time % 1000000000);
	printf("  flow         %016" PRIx64 "\n", hop->flow);
	printf("  network      namespace cookie %" PRIu64 "\n", hop->netns);
	if (hop->cgroup_scope)
		printf("  scope        cgroup %" PRIu64 "\n", hop->cgroup_scope);
}

static void print_records(const struct names *names, const struct waybill_records *records)
{
	printf("records of version %u, issued to %s%s%s %" PRIu64 " s after boot, key %u\n",
	       records->version, paint_begin(PAINT_BOLD),
	       text_service(names, records->service).text, paint_end(PAINT_BOLD),
	       records->issued / 1000000000, records->key);
	printf("%s%s%s\n", paint_begin(PAINT_NOTE), NOT_CHECKED, paint_end(PAINT_NOTE));
	if (records->has_originator)
		printf("originator's socket: mark %#x, priority %u, DSCP %u\n", records->mark,
		       records->priority, records->dscp);
	for (uint32_t i = 0; i < records->hop_count; i++)
		print_hop(names, &records->hops[i], i + 1);
	if (records->other_parts)
		printf("\nand %u part%s of types that this version does not know\n",
		       records->other_parts, records->other_parts == 1 ? "" : "s");
}

/* Times stay those of the host that wrote them: it need not be this one, nor this boot. */
static json_t *hop_object(const struct names *names, const struct waybill_hop *hop)
{
	json_t *object = json_object();

	json_set_service(object, names, hop->service);
	json_set_filter(object, names, hop->filter);
	json_object_set_new(object, "flow", json_flow(hop->flow));
	json_object_set_new(object, "boottime_ns", json_integer(hop->time));
	json_object_set_new(object, "destination", json_address(&hop->destination));
	json_object_set_new(object, "client", json_process(&hop->client));
	json_set_application(object, names, hop->client.application);
	json_object_set_new(object, "netns_cookie", json_integer(hop->netns));
	json_object_set_new(object, "cgroup_scope", json_integer(hop->cgroup_scope));
	return object;
}

static void print_object(const struct names *names, const struct waybill_records *records)
{
	json_t *chain = json_array(), *object;

	for (uint32_t i = 0; i < records->hop_count; i++)
		json_array_append_new(chain, hop_object(names, &records->hops[i]));
	object = json_pack("{s:I, s:b, s:I, s:I, s:o, s:I, s:o}", "version",
			   (json_int_t)records->version, "mac_checked", 0, "key",
			   (json_int_t)records->key, "issued_boottime_ns",
			   (json_int_t)records->issued, "flow", json_flow(records->flow),
			   "other_parts", (json_int_t)records->other_parts, "chain", chain);
	if (records->has_originator)
		json_object_set_new(object, "originator_socket",
				    json_pack("{s:I, s:I, s:i}", "mark", (json_int_t)records->mark,
					      "priority", (json_int_t)records->priority, "dscp",
					      records->dscp));
	json_set_service(object, names, records->service);
	json_print(object);
}

static bool is_hex(const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!isxdigit((unsigned char)bytes[i]) && !isspace((unsigned char)bytes[i]))
			return false;
	return true;
}

static int decode(const struct input *input, struct waybill_records *records)
{
	/* Room for hex digits with space between all of them, and then some. */
	static char bytes[4 * WAYBILL_RECORDS_MAX];
	ssize_t size = read_input(input, bytes, sizeof(bytes));
	bool text = size > 0 && is_hex(bytes, size);

	if (size >= 0 && input->hex)
		size = read_hex(bytes, size);
	if (size < 0)
		return EXIT_FAILED;
	if (!waybill_records_decode(bytes, size, records))
		return EXIT_OK;
	if (text && !input->hex)
		return complain("these are hex digits: add --hex");
	return complain("%zd bytes that are not redirect records: malformed, cut off, or of a "
			"version that is not known",
			size);
}

int command_records(int argc, char **argv)
{
	static const struct argp argp = { options,        parse_option, "[FILE|-]", documentation,
					  common_options, NULL,         NULL };
	struct instance *instance = NULL;
	struct waybill_records records;
	struct input input = { 0 };
	struct message message;
	struct names names;
	int status;

	command_parse(&argp, argc, argv, &input);
	status = decode(&input, &records);
	if (status)
		return status;
	if (!is_privileged() || instance_open(input.common.instance, &instance, &message))
		instance = NULL;
	names_open(&names, instance);
	if (input.common.json)
		print_object(&names, &records);
	else
		print_records(&names, &records);
	names_close(&names);
	instance_close(instance);
	return EXIT_OK;
}
