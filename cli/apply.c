// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill apply`: puts a policy file in force, or only checks it. To check needs no root, and no
 * instance, so a policy can be checked where it is written.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "existing.h"
#include "json.h"
#include "ports.h"
#include "progress.h"

#define STANDARD_INPUT_MAX (256UL << 20)

struct apply {
	struct common common;
	const char *file;
	bool check, reset_existing;
};

static const struct argp_option options[] = {
	{ "check", 'n', 0, 0, "Only say whether the policy could be applied", 1 },
	{ "reset-existing", 'r', 0, 0,
	  "Then end connections that an earlier policy redirected, or that none did and this one "
	  "would; with --check, list them",
	  1 },
	{ 0 },
};

static const char documentation[] =
	"Put a policy in force, at once and whole: every connection meets either the old one or "
	"the new one. FILE - is standard input.\v"
	"With --check nothing is changed; root is not needed then, nor an instance. With --check "
	"and --reset-existing both are, and connections are listed that would be ended.\n\n"
	"EXAMPLES:\n"
	"  waybill apply /etc/waybill/policy.yaml\n"
	"  waybill apply --check policy.yaml\n"
	"  waybill apply --check --reset-existing policy.yaml\n"
	"  waybill apply --reset-existing policy.yaml\n"
	"  generate-policy | waybill apply -\n" EXIT_STATUS_HELP;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct apply *apply = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		common_begin(state);
		return 0;
	case 'n':
		apply->check = true;
		return 0;
	case 'r':
		apply->reset_existing = true;
		return 0;
	case ARGP_KEY_ARG:
		if (apply->file)
			argp_error(state, "one file at a time: \"%s\" or \"%s\"?", apply->file,
				   argument);
		apply->file = argument;
		return 0;
	case ARGP_KEY_END:
		if (!apply->file)
			argp_error(state, "name a policy file");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int load_standard_input(struct policy **policy, struct message *message)
{
	size_t size = 0, room = 65536;
	char *text = malloc(room), *more;
	int error;

	while (text && (size += fread(text + size, 1, room - size, stdin)) == room &&
	       room < STANDARD_INPUT_MAX) {
		room *= 2;
		more = realloc(text, room);
		if (!more)
			free(text);
		text = more;
	}
	if (!text || ferror(stdin) || size >= STANDARD_INPUT_MAX) {
		snprintf(message->text, sizeof(message->text), "standard input: %s",
			 !text         ? strerror(ENOMEM) :
			 ferror(stdin) ? strerror(errno) :
					 "too long");
		free(text);
		return -EIO;
	}
	error = policy_load_text("standard input", text, size, policy, message);
	free(text);
	return error;
}

/* The image bears the name of the file for as long as it is in force: whole, not from here. */
static int load(const struct apply *apply, struct policy **policy, struct message *message)
{
	char whole[PATH_MAX];
	char *source;
	int error;

	if (!strcmp(apply->file, "-"))
		return load_standard_input(policy, message);
	error = policy_load(apply->file, policy, message);
	if (error || apply->check || !realpath(apply->file, whole))
		return error;
	source = strdup(whole);
	if (source) {
		free((*policy)->source);
		(*policy)->source = source;
	}
	return 0;
}

/* Compiles for no instance: all of what can be wrong but the room for contexts. */
static int check_alone(const struct policy *policy, struct apply_result *result,
		       struct message *message)
{
	struct policy_image image;
	struct timespec begin, end;
	int error;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	error = policy_compile_here(policy, &image, message);
	if (error)
		return error;
	clock_gettime(CLOCK_MONOTONIC, &end);
	*result = (struct apply_result){
		.services = policy->services,
		.filters = policy->filters,
		.lines = image.lines,
		.seconds = end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9,
	};
	free(image.line);
	return 0;
}

static int check(const struct apply *apply, const struct policy *policy,
		 struct apply_result *result, struct message *message)
{
	struct instance *instance;
	int error;

	if (!is_privileged() || instance_open(apply->common.instance, &instance, message))
		return check_alone(policy, result, message);
	error = instance_check(instance, policy, result, message);
	instance_close(instance);
	return error;
}

/*
 * A port that the kernel gives out to whoever connects can be in use when the service starts, and
 * no hook runs then that could keep it free.
 */
static void warn_of_port(const struct policy *policy, const struct service *service,
			 unsigned int port)
{
	if (port && port_is_given_out(port))
		complain("%s:%u: warning: service \"%s\": the kernel may give port %u to any "
			 "client, so that the service cannot start (choose one below %u, or "
			 "add it to net.ipv4.ip_local_reserved_ports)",
			 policy->source, service->line, service->name, port, ports_begin());
}

static void warn_of_ports(const struct policy *policy)
{
	for (size_t i = 0; i < policy->services; i++) {
		warn_of_port(policy, &policy->service[i], policy->service[i].tcp);
		if (policy->service[i].udp != policy->service[i].tcp)
			warn_of_port(policy, &policy->service[i], policy->service[i].udp);
	}
}

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

static void print_result(const struct apply *apply, const struct apply_result *result,
			 const struct existing_count *existing, json_t *list)
{
	size_t count = existing->redirected + existing->unredirected;
	json_t *json;

	if (apply->common.json) {
		json = json_pack("{s:o, s:b, s:I, s:I, s:I, s:f}", "policy",
				 json_text(apply->file, -1), "applied", !apply->check, "services",
				 (json_int_t)result->services, "filters",
				 (json_int_t)result->filters, "lines", (json_int_t)result->lines,
				 "seconds", result->seconds);
		if (!apply->check) {
			json_object_set_new(json, "instance", json_string(apply->common.instance));
			json_object_set_new(json, "generation", json_integer(result->generation));
		}
		if (apply->reset_existing) {
			json_object_set_new(json, apply->check ? "would_reset" : "reset",
					    json_integer(count));
			json_object_set_new(json, "not_redirected",
					    apply->check ? json_incref(list) :
							   json_integer(existing->unredirected));
		}
		json_print(json);
		return;
	}
	if (apply->check)
		printf("%s: good", apply->file);
	else
		printf("%s is in force on instance %s, generation %u", apply->file,
		       apply->common.instance, result->generation);
	printf(": %zu service%s, %zu filter%s, %.0f ms\n", result->services,
	       plural(result->services), result->filters, plural(result->filters),
	       result->seconds * 1000);
	if (!apply->reset_existing)
		return;
	printf("%zu connection%s %sreset", count, plural(count), apply->check ? "would be " : "");
	if (existing->unredirected)
		printf(", %zu of which nobody had redirected", existing->unredirected);
	putchar('\n');
}

/* Which connections --reset-existing would end. */
static int list_existing(struct instance *instance, const struct policy *policy, json_t *list,
			 struct existing_count *existing, struct message *message)
{
	struct policy_image image;
	int error = policy_compile_here(policy, &image, message);

	if (error)
		return error;
	error = existing_list(instance, &image, list, existing, message);
	free(image.line);
	return error;
}

static int finish(const struct apply *apply, struct instance *instance, const struct policy *policy,
		  const struct apply_result *result, struct message *message)
{
	json_t *list = apply->common.json ? json_array() : NULL;
	struct existing_count existing = { 0 };
	int error = 0;

	if (apply->reset_existing)
		error = apply->check ? list_existing(instance, policy, list, &existing, message) :
				       existing_reset(instance, &existing, message);
	if (!error || !apply->check)
		print_result(apply, result, &existing, list);
	json_decref(list);
	if (!error)
		return EXIT_OK;
	return apply->check ? complain("%s", message->text) :
			      complain("the policy is in force, but older connections go on: %s",
				       message->text);
}

int command_apply(int argc, char **argv)
{
	static const struct argp argp = { options,        parse_option, "FILE", documentation,
					  common_options, NULL,         NULL };
	struct instance *instance = NULL;
	struct message message = { "" };
	struct apply apply = { 0 };
	struct apply_result result;
	struct policy *policy;
	int status = EXIT_OK, error;

	command_parse(&argp, argc, argv, &apply);
	if ((!apply.check || apply.reset_existing) && require_root())
		return EXIT_FAILED;
	if (!apply.check || apply.reset_existing)
		status = open_instance(&apply.common, &instance);
	if (status)
		return status;
	if (!apply.common.json)
		progress_begin();
	if (load(&apply, &policy, &message)) {
		progress_end();
		instance_close(instance);
		return complain("%s", message.text);
	}
	error = apply.check ? check(&apply, policy, &result, &message) :
			      instance_apply(instance, policy, &result, &message);
	progress_end();
	warn_of_ports(policy);
	if (error)
		status = complain("%s", message.text);
	else
		status = finish(&apply, instance, policy, &result, &message);
	policy_free(policy);
	instance_close(instance);
	return status;
}
