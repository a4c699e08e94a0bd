// SPDX-License-Identifier: BSD-2-Clause
/*
 * Loads a policy file: reads it, has its shape checked against the schema, and makes a policy of
 * its texts. The first thing that is wrong ends it, with its line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "message.h"
#include "prefixes.h"
#include "schema.h"
#include "value.h"
#include "../progress.h"

#define SECOND 1000000000ULL

struct load {
	const char *name;
	const struct document *document;
	struct message *message;
	struct reason reason;
};

static int out_of_memory(const char *name, struct message *message)
{
	policy_error(message, name, 0, "not enough memory to read it");
	return -ENOMEM;
}

/* Completes 'key "text" ...' with the reason. */
static int refuse(struct load *load, const struct place *place, const char *text, int error)
{
	if (error == -ENOMEM)
		return out_of_memory(load->name, load->message);
	return policy_error(load->message, load->name, document_line(load->document, place),
			    "%s \"%s\" %s", place->key, excerpt(text).text, load->reason.text);
}

static int load_number(struct load *load, struct place place, const char *text, uint64_t from,
		       uint64_t to, uint64_t *number)
{
	int error;

	if (!text)
		return 0;
	error = value_number(text, from, to, number, &load->reason);
	return error ? refuse(load, &place, text, error) : 0;
}

static int load_choice(struct load *load, struct place place, const char *text,
		       const char *const *choices, size_t *index)
{
	int error;

	if (!text)
		return 0;
	error = value_choice(text, choices, index, &load->reason);
	return error ? refuse(load, &place, text, error) : 0;
}

static int load_cgroup(struct load *load, struct place place, const char *text, char **path)
{
	int error = value_cgroup(text, path, &load->reason);

	return error ? refuse(load, &place, text, error) : 0;
}

static int load_name(struct load *load, struct place place, const char *text, char **name)
{
	if (value_check_name(text, &load->reason) < 0)
		return refuse(load, &place, text, -EINVAL);
	*name = strdup(text);
	return *name ? 0 : out_of_memory(load->name, load->message);
}

static int load_limits(struct load *load, const struct file_limits *file, struct policy *policy)
{
	struct place hops = { .list = "limits", .key = "hops" };
	struct place expire = { .list = "limits", .key = "records_expire" };
	struct place idle = { .list = "limits", .key = "datagram_idle" };
	struct place mark = { .list = "limits", .key = "keep_mark" };
	struct place unheard = { .list = "limits", .key = "unheard" };
	static const char *const answers[] = { "yes", "no", NULL };
	static const char *const choices[] = { "refuse", "redirect", NULL };
	uint64_t number = WAYBILL_HOPS_DEFAULT;
	size_t lose = 0, redirect = 0;
	int error = load_number(load, hops, file->hops, 1, WAYBILL_HOPS_MAX, &number);

	policy->hop_limit = number;
	policy->records_expire = 600 * SECOND;
	if (!error && file->records_expire) {
		error = value_duration(file->records_expire, &policy->records_expire,
				       &load->reason);
		if (error)
			error = refuse(load, &expire, file->records_expire, error);
	}
	policy->datagram_idle = 60 * SECOND;
	if (!error && file->datagram_idle) {
		error = value_duration(file->datagram_idle, &policy->datagram_idle, &load->reason);
		if (error)
			error = refuse(load, &idle, file->datagram_idle, error);
	}
	if (!error)
		error = load_choice(load, mark, file->keep_mark, answers, &lose);
	if (!error)
		error = load_choice(load, unheard, file->unheard, choices, &redirect);
	policy->lose_mark = lose;
	policy->redirect_unheard = redirect;
	return error;
}

static int load_identity(struct load *load, struct place place, const struct file_identity *file,
			 struct service_identity *identity)
{
	int error = 0;

	if (file->user) {
		place.key = "user";
		identity->has_user = true;
		error = value_user(file->user, &identity->user, &load->reason);
		if (error)
			return refuse(load, &place, file->user, error);
	}
	if (file->cgroup) {
		place.key = "cgroup";
		error = load_cgroup(load, place, file->cgroup, &identity->cgroup);
	}
	return error;
}

static int load_service(struct load *load, const struct file_service *file, size_t index,
			struct service *service)
{
	static const char *const choices[] = { "block", "pass", NULL };
	static const char *const answers[] = { "no", "yes", NULL };
	struct place place = { .list = "services", .index = index };
	struct place tcp = place, udp = place, weight = place, down = place, who = place;
	struct place family = place;
	uint64_t number = 0, tcp_port = 0, udp_port = 0;
	size_t choice = 0, keep_family = 0;
	int error;

	*service = (struct service){
		.line = document_line(load->document, &place),
		.has4 = true,
		.has6 = true,
		.address4 = { 127, 0, 0, 1 },
		.address6 = { [15] = 1 },
	};
	place.key = "name";
	weight.key = "weight";
	tcp.section = udp.section = "endpoint";
	tcp.key = "tcp";
	udp.key = "udp";
	down.key = "when_down";
	family.key = "keep_family";
	error = load_name(load, place, file->name, &service->name);
	if (!error)
		error = load_number(load, weight, file->weight, 0, UINT32_MAX, &number);
	if (!error)
		error = load_number(load, tcp, file->endpoint.tcp, 1, 65535, &tcp_port);
	if (!error)
		error = load_number(load, udp, file->endpoint.udp, 1, 65535, &udp_port);
	who.section = "identity";
	if (!error)
		error = load_identity(load, who, &file->identity, &service->identity);
	who.section = "listener";
	if (!error && file->listener && !file->listener->user && !file->listener->cgroup)
		error = policy_error(
			load->message, load->name, document_line(load->document, &who),
			"the listener of service \"%s\" is nobody's (name the user or "
			"the cgroup that makes it, or leave \"listener\" out if it is the "
			"service itself)",
			service->name);
	if (!error && file->listener)
		error = load_identity(load, who, file->listener, &service->listener);
	if (!error)
		error = load_choice(load, down, file->when_down, choices, &choice);
	if (!error)
		error = load_choice(load, family, file->keep_family, answers, &keep_family);
	service->weight = number;
	service->tcp = tcp_port;
	service->udp = udp_port;
	service->keep_family = keep_family;
	service->when_down = choice ? POLICY_DOWN_PASS : POLICY_DOWN_BLOCK;
	return error;
}

static int load_protocols(struct load *load, struct place place, const struct file_match *file,
			  struct conditions *conditions)
{
	static const char *const choices[] = { "tcp", "udp", NULL };
	size_t choice = 0;
	int error = 0;

	place.key = "protocol";
	for (; !error && place.entry < file->protocol_count; place.entry++) {
		error = load_choice(load, place, file->protocol[place.entry], choices, &choice);
		conditions->tcp |= !choice;
		conditions->udp |= choice;
	}
	return error;
}

/* A list of values, each read by value(); *out gets as many elements of so many bytes. */
static int load_list(struct load *load, struct place place, const char *key, char *const *text,
		     unsigned int count, size_t size,
		     int (*value)(const char *text, void *element, struct reason *reason),
		     void **out, size_t *number)
{
	char *elements = calloc(count + 1, size);
	int error;

	*out = elements;
	if (!elements)
		return out_of_memory(load->name, load->message);
	place.key = key;
	for (place.entry = 0; place.entry < count; place.entry++) {
		error = value(text[place.entry], elements + *number * size, &load->reason);
		if (error)
			return refuse(load, &place, text[place.entry], error);
		++*number;
	}
	return 0;
}

static int prefix_element(const char *text, void *element, struct reason *reason)
{
	return value_prefix(text, element, reason);
}

static int ports_element(const char *text, void *element, struct reason *reason)
{
	return value_ports(text, element, reason);
}

static int users_element(const char *text, void *element, struct reason *reason)
{
	return value_users(text, element, reason);
}

static int groups_element(const char *text, void *element, struct reason *reason)
{
	return value_groups(text, element, reason);
}

static int interface_element(const char *text, void *element, struct reason *reason)
{
	return value_interface(text, element, reason);
}

static int cgroup_element(const char *text, void *element, struct reason *reason)
{
	return value_cgroup(text, element, reason);
}

static int application_element(const char *text, void *element, struct reason *reason)
{
	return value_application(text, element, reason);
}

static int netns_element(const char *text, void *element, struct reason *reason)
{
	return value_netns(text, element, reason);
}

/* Published lists: one prefix a line. They are read when the policy is. */
static int load_files(struct load *load, struct place place, const struct file_match *file,
		      struct conditions *conditions)
{
	int error = 0;

	place.key = "remote_file";
	for (place.entry = 0; !error && place.entry < file->remote_file_count; place.entry++) {
		error = prefixes_read(file->remote_file[place.entry], &conditions->remote,
				      &conditions->remotes, &load->reason);
		if (error)
			error = refuse(load, &place, file->remote_file[place.entry], error);
	}
	return error;
}

static int load_conditions(struct load *load, struct place place, const struct file_match *file,
			   struct conditions *conditions)
{
	int error = load_protocols(load, place, file, conditions);

#define LIST(key, of, member, element)                                                             \
	if (!error)                                                                                \
	error = load_list(load, place, key, file->of, file->of##_count,                            \
			  sizeof(*conditions->member), element##_element,                          \
			  (void **)&conditions->member, &conditions->member##s)
	LIST("remote", remote, remote, prefix);
	LIST("remote_port", remote_port, port, ports);
	LIST("local", local, local, prefix);
	LIST("user", user, user, users);
	LIST("group", group, group, groups);
	LIST("cgroup", cgroup, cgroup, cgroup);
	LIST("application", application, application, application);
	LIST("original_application", original_application, original, application);
	LIST("interface", interface, interface, interface);
	LIST("netns", netns, namespace, netns);
#undef LIST
	if (!error)
		error = load_files(load, place, file, conditions);
	/* No condition would be any address: a list without an entry is none. */
	if (!error && file->remote_file_count && !conditions->remotes &&
	    !strcmp(place.section, "match")) {
		place.key = "remote_file";
		place.entry = 0;
		snprintf(load->reason.text, sizeof(load->reason.text),
			 "has no prefix in it, so the filter could match nothing");
		error = refuse(load, &place, file->remote_file[0], -EINVAL);
	}
	return error;
}

static int load_context(struct load *load, const struct file_filter *file, struct filter *filter)
{
	if (!file->context)
		return 0;
	filter->context_size = strlen(file->context);
	filter->context = (uint8_t *)strdup(file->context);
	return filter->context ? 0 : out_of_memory(load->name, load->message);
}

static int load_filter(struct load *load, const struct file_filter *file, size_t index,
		       struct filter *filter)
{
	static const char *const choices[] = { "permit", "block", "redirect", NULL };
	struct place place = { .list = "filters", .index = index };
	struct place weight = place, action = place, match = place, except = place;
	size_t choice = 0;
	uint64_t number = 0;
	int error;

	filter->line = document_line(load->document, &place);
	place.key = "name";
	weight.key = "weight";
	match.section = "match";
	except.section = "except";
	action.key = "action";
	error = load_name(load, place, file->name, &filter->name);
	if (error)
		return error;
	filter->service = strdup(file->service);
	if (!filter->service)
		return out_of_memory(load->name, load->message);
	error = load_number(load, weight, file->weight, 0, UINT32_MAX, &number);
	if (!error)
		error = load_conditions(load, match, &file->match, &filter->match);
	if (!error)
		error = load_conditions(load, except, &file->except, &filter->except);
	if (!error)
		error = load_choice(load, action, file->action, choices, &choice);
	if (!error)
		error = load_context(load, file, filter);
	filter->weight = number;
	filter->action = POLICY_PERMIT + choice;
	return error;
}

/* Without a protocol: of every protocol; what is redirected, of those that the service takes. */
static void any_protocol(const struct policy *policy, struct filter *filter)
{
	const struct service *service = NULL;
	size_t i;

	for (i = 0; i < policy->services; i++)
		if (!strcmp(policy->service[i].name, filter->service))
			service = &policy->service[i];
	if (!filter->match.tcp && !filter->match.udp) {
		filter->match.tcp = filter->action != POLICY_REDIRECT || !service || service->tcp;
		filter->match.udp = filter->action != POLICY_REDIRECT || (service && service->udp);
	}
	filter->match.tcp &= !filter->except.tcp;
	filter->match.udp &= !filter->except.udp;
}

static int load_policy(struct load *load, const struct file_policy *file, struct policy *policy)
{
	struct place version = { .list = "version", .key = "version" };
	uint64_t number;
	size_t i;
	int error;

	error = load_number(load, version, file->version, 1, 1, &number);
	if (!error)
		error = load_limits(load, &file->limits, policy);
	if (error)
		return error;
	policy->source = strdup(load->name);
	policy->service = calloc(file->services + 1, sizeof(*policy->service));
	policy->filter = calloc(file->filters + 1, sizeof(*policy->filter));
	if (!policy->source || !policy->service || !policy->filter)
		return out_of_memory(load->name, load->message);
	for (i = 0; !error && i < file->services; i++)
		error = load_service(load, &file->service[i], i,
				     &policy->service[policy->services++]);
	progress_phase("reading prefixes", file->filters);
	for (i = 0; !error && i < file->filters; i++) {
		progress_step(i);
		error = load_filter(load, &file->filter[i], i, &policy->filter[policy->filters++]);
	}
	for (i = 0; !error && i < policy->filters; i++)
		any_protocol(policy, &policy->filter[i]);
	return error ? error : policy_check(policy, load->document, load->message);
}

int policy_load_text(const char *name, const char *text, size_t size, struct policy **policy,
		     struct message *message)
{
	struct file_policy *file = NULL;
	struct document document;
	struct load load = { .name = name, .document = &document, .message = message };
	int error;

	*policy = NULL;
	error = document_parse(&document, name, text, size, message);
	if (!error)
		error = schema_load(&document, &file, message);
	if (!error) {
		*policy = calloc(1, sizeof(**policy));
		error = *policy ? load_policy(&load, file, *policy) : out_of_memory(name, message);
	}
	schema_release(file);
	document_release(&document);
	if (error) {
		policy_free(*policy);
		*policy = NULL;
	}
	return error;
}
