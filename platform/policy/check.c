// SPDX-License-Identifier: BSD-2-Clause
/*
 * Checks what no single value shows: names and ports given twice, services that do not exist,
 * weights that would leave the order to accident. policy_load() runs it with the lines of the
 * file, policy_compile() again without, for policies that come from elsewhere.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../../record/service_id.h"
#include "check.h"
#include "message.h"
#include "value.h"

#define SECOND 1000000000ULL

struct check {
	const struct policy *policy;
	const struct document *document;
	struct message *message;
};

uint32_t policy_service_id(const char *name)
{
	return record_service_id(name);
}

static unsigned int service_line(const struct check *check, size_t index, const char *section,
				 const char *key)
{
	struct place place = { "services", index, section, key, 0 };

	return check->document ? document_line(check->document, &place) :
				 check->policy->service[index].line;
}

static unsigned int filter_line(const struct check *check, size_t index, const char *section,
				const char *key, size_t entry)
{
	struct place place = { "filters", index, section, key, entry };

	return check->document ? document_line(check->document, &place) :
				 check->policy->filter[index].line;
}

/* Where the other one is, if the policy is from a file. */
static struct mend in_line(unsigned int line)
{
	struct mend mend = { .text = "" };

	if (line)
		snprintf(mend.text, sizeof(mend.text), " (line %u)", line);
	return mend;
}

#define REFUSE(check, line, ...)                                                                   \
	policy_error((check)->message, (check)->policy->source, line, __VA_ARGS__)

static int check_limits(const struct check *check)
{
	const struct policy *policy = check->policy;

	if (policy->hop_limit < 1 || policy->hop_limit > WAYBILL_HOPS_MAX)
		return REFUSE(check, 0, "the limit of hops is %u (1 to %u are possible)",
			      policy->hop_limit, WAYBILL_HOPS_MAX);
	if (policy->records_expire < SECOND || policy->records_expire > 86400 * SECOND)
		return REFUSE(check, 0, "records do not expire within 1s to 24h");
	if (policy->datagram_idle < SECOND || policy->datagram_idle > 86400 * SECOND)
		return REFUSE(check, 0, "datagrams are not idle after 1s to 24h");
	if (policy->services > POLICY_SERVICES_MAX)
		return REFUSE(check, 0, "there can be %u services at most, %zu too many",
			      POLICY_SERVICES_MAX, policy->services - POLICY_SERVICES_MAX);
	if (policy->filters > POLICY_FILTERS_MAX)
		return REFUSE(check, 0, "there can be %u filters at most, %zu too many",
			      POLICY_FILTERS_MAX, policy->filters - POLICY_FILTERS_MAX);
	return 0;
}

static int check_identity(const struct check *check, size_t index, const char *section,
			  const struct service_identity *identity)
{
	bool makes = identity == &check->policy->service[index].listener;
	struct reason reason;

	if (!identity->cgroup)
		return 0;
	if (value_check_cgroup(identity->cgroup, &reason) < 0)
		return REFUSE(check, service_line(check, index, section, "cgroup"),
			      "cgroup \"%s\" %s", excerpt(identity->cgroup).text, reason.text);
	if (!strcmp(identity->cgroup, "/") && !identity->has_user)
		return REFUSE(check, service_line(check, index, section, "cgroup"),
			      "cgroup \"/\" would make every process %s \"%s\" (name the cgroup "
			      "that %s, or a user)",
			      makes ? "the maker of the listener of service" : "service",
			      check->policy->service[index].name,
			      makes ? "makes it" : "it runs in");
	return 0;
}

static int check_service(const struct check *check, size_t index)
{
	const struct service *service = &check->policy->service[index];
	struct reason reason;
	int error;

	if (value_check_name(service->name, &reason) < 0)
		return REFUSE(check, service_line(check, index, NULL, "name"), "name \"%s\" %s",
			      excerpt(service->name).text, reason.text);
	if (!service->tcp && !service->udp)
		return REFUSE(check, service_line(check, index, NULL, "endpoint"),
			      "service \"%s\" has no endpoint (give it one, as { tcp: 9001 })",
			      service->name);
	if (!service->has4 && !service->has6)
		return REFUSE(check, service_line(check, index, NULL, "endpoint"),
			      "the endpoint of service \"%s\" has no address", service->name);
	if (!service->identity.has_user && !service->identity.cgroup)
		return REFUSE(check, service_line(check, index, NULL, "identity"),
			      "service \"%s\" has no identity (give it a user, a cgroup, or both)",
			      service->name);
	error = check_identity(check, index, "identity", &service->identity);
	return error ? error : check_identity(check, index, "listener", &service->listener);
}

/* Two services that cannot both be there. */
static int check_services(const struct check *check, size_t index, size_t other)
{
	const struct service *this = &check->policy->service[index];
	const struct service *that = &check->policy->service[other];

	if (!strcmp(this->name, that->name))
		return REFUSE(check, service_line(check, index, NULL, "name"),
			      "service \"%s\" is already defined%s (rename one of them)",
			      this->name, in_line(service_line(check, other, NULL, "name")).text);
	if (this->weight == that->weight)
		return REFUSE(check, service_line(check, index, NULL, "weight"),
			      "services \"%s\" and \"%s\"%s have the same weight %u, which "
			      "leaves their order to accident (give one another weight)",
			      this->name, that->name,
			      in_line(service_line(check, other, NULL, "weight")).text,
			      this->weight);
	if (this->tcp && this->tcp == that->tcp)
		return REFUSE(check, service_line(check, index, "endpoint", "tcp"),
			      "services \"%s\" and \"%s\"%s have the same TCP port %u (give "
			      "one another port)",
			      this->name, that->name,
			      in_line(service_line(check, other, "endpoint", "tcp")).text,
			      this->tcp);
	if (this->udp && this->udp == that->udp)
		return REFUSE(check, service_line(check, index, "endpoint", "udp"),
			      "services \"%s\" and \"%s\"%s have the same UDP port %u (give "
			      "one another port)",
			      this->name, that->name,
			      in_line(service_line(check, other, "endpoint", "udp")).text,
			      this->udp);
	if (policy_service_id(this->name) == policy_service_id(that->name))
		return REFUSE(check, service_line(check, index, NULL, "name"),
			      "services \"%s\" and \"%s\"%s would have the same id %u in "
			      "records (choose another name for one)",
			      this->name, that->name,
			      in_line(service_line(check, other, NULL, "name")).text,
			      policy_service_id(this->name));
	return 0;
}

static const struct service *filter_service(const struct policy *policy,
					    const struct filter *filter)
{
	size_t i;

	for (i = 0; i < policy->services; i++)
		if (!strcmp(policy->service[i].name, filter->service))
			return &policy->service[i];
	return NULL;
}

static int check_filter_service(const struct check *check, size_t index)
{
	const struct filter *filter = &check->policy->filter[index];
	const struct service *service = filter_service(check->policy, filter);
	struct suggestion suggestion;
	size_t i;

	if (service && filter->action == POLICY_REDIRECT && filter->match.tcp && !service->tcp)
		return REFUSE(check, filter_line(check, index, NULL, "service", 0),
			      "filter \"%s\" redirects TCP, but service \"%s\" has no TCP endpoint "
			      "(give it one, as { tcp: 9001 })",
			      filter->name, service->name);
	if (service && filter->action == POLICY_REDIRECT && filter->match.udp && !service->udp)
		return REFUSE(check, filter_line(check, index, NULL, "service", 0),
			      "filter \"%s\" redirects UDP, but service \"%s\" has no UDP endpoint "
			      "(give it one, as { udp: 9001 })",
			      filter->name, service->name);
	if (service)
		return 0;
	suggestion_begin(&suggestion, filter->service);
	for (i = 0; i < check->policy->services; i++)
		suggestion_offer(&suggestion, check->policy->service[i].name);
	return REFUSE(check, filter_line(check, index, NULL, "service", 0),
		      "service \"%s\" is not defined%s", excerpt(filter->service).text,
		      suggestion_end(&suggestion, " (define it under \"services\")").text);
}

static int check_context(const struct check *check, size_t index)
{
	const struct filter *filter = &check->policy->filter[index];
	unsigned int line = filter_line(check, index, NULL, "context", 0);

	if (!filter->context)
		return 0;
	if (filter->action != POLICY_REDIRECT)
		return REFUSE(check, line,
			      "filter \"%s\" has a context, but redirects nothing that could carry "
			      "it (remove one of the two)",
			      filter->name);
	if (!filter->context_size)
		return REFUSE(check, line,
			      "the context of filter \"%s\" is empty (leave it out instead)",
			      filter->name);
	if (filter->context_size > WAYBILL_CONTEXT_MAX)
		return REFUSE(check, line,
			      "the context of filter \"%s\" is too long (%zu bytes; at most %u)",
			      filter->name, filter->context_size, WAYBILL_CONTEXT_MAX);
	return 0;
}

static int check_prefixes(const struct check *check, size_t index, const char *section,
			  const char *key, const struct prefix *prefix, size_t prefixes)
{
	size_t i;

	for (i = 0; i < prefixes; i++)
		if (prefix[i].length > (prefix[i].v4 ? 32 : 128))
			return REFUSE(check, filter_line(check, index, section, key, i),
				      "filter \"%s\": a prefix is longer than an address",
				      check->policy->filter[index].name);
	return 0;
}

static int check_ranges(const struct check *check, size_t index, const char *section,
			const char *key, const struct range *range, size_t ranges, uint32_t most)
{
	size_t i;

	for (i = 0; i < ranges; i++)
		if (range[i].from > range[i].to || range[i].to > most)
			return REFUSE(check, filter_line(check, index, section, key, i),
				      "filter \"%s\": a range of %s is not one",
				      check->policy->filter[index].name, key);
	return 0;
}

static int check_conditions(const struct check *check, size_t index, const char *section,
			    const struct conditions *conditions)
{
	struct reason reason;
	size_t i;
	int error;

	error = check_prefixes(check, index, section, "remote", conditions->remote,
			       conditions->remotes);
	if (!error)
		error = check_prefixes(check, index, section, "local", conditions->local,
				       conditions->locals);
	if (!error)
		error = check_ranges(check, index, section, "remote_port", conditions->port,
				     conditions->ports, 65535);
	if (!error)
		error = check_ranges(check, index, section, "user", conditions->user,
				     conditions->users, UINT32_MAX);
	if (!error)
		error = check_ranges(check, index, section, "group", conditions->group,
				     conditions->groups, UINT32_MAX);
	if (!error)
		error = check_ranges(check, index, section, "interface", conditions->interface,
				     conditions->interfaces, UINT32_MAX);
	for (i = 0; !error && i < conditions->cgroups; i++)
		if (value_check_cgroup(conditions->cgroup[i], &reason) < 0)
			error = REFUSE(check, filter_line(check, index, section, "cgroup", i),
				       "cgroup \"%s\" %s", excerpt(conditions->cgroup[i]).text,
				       reason.text);
	return error;
}

static int check_filter(const struct check *check, size_t index)
{
	const struct filter *filter = &check->policy->filter[index];
	struct reason reason;
	int error;

	if (value_check_name(filter->name, &reason) < 0)
		return REFUSE(check, filter_line(check, index, NULL, "name", 0), "name \"%s\" %s",
			      excerpt(filter->name).text, reason.text);
	if (filter->action < POLICY_PERMIT || filter->action > POLICY_REDIRECT)
		return REFUSE(check, filter_line(check, index, NULL, "action", 0),
			      "filter \"%s\" has no action (permit, block or redirect)",
			      filter->name);
	if (!filter->match.tcp && !filter->match.udp)
		return REFUSE(check, filter_line(check, index, "match", "protocol", 0),
			      "filter \"%s\" is for no protocol", filter->name);
	error = check_filter_service(check, index);
	if (!error)
		error = check_context(check, index);
	if (!error)
		error = check_conditions(check, index, "match", &filter->match);
	return error ? error : check_conditions(check, index, "except", &filter->except);
}

static int check_filters(const struct check *check, size_t index, size_t other)
{
	const struct filter *this = &check->policy->filter[index];
	const struct filter *that = &check->policy->filter[other];

	if (strcmp(this->name, that->name) || strcmp(this->service, that->service))
		return 0;
	return REFUSE(check, filter_line(check, index, NULL, "name", 0),
		      "service \"%s\" already has a filter \"%s\"%s (rename one of them)",
		      this->service, this->name,
		      in_line(filter_line(check, other, NULL, "name", 0)).text);
}

int policy_check(const struct policy *policy, const struct document *document,
		 struct message *message)
{
	struct check check = { policy, document, message };
	struct reason reason;
	size_t i, j;
	int error = check_limits(&check);

	for (i = 0; !error && i < policy->services; i++) {
		error = check_service(&check, i);
		for (j = 0; !error && j < i; j++)
			error = check_services(&check, i, j);
	}
	for (i = 0; !error && i < policy->filters; i++) {
		error = check_filter(&check, i);
		for (j = 0; !error && j < i; j++)
			error = check_filters(&check, i, j);
	}
	for (i = 0; !error && i < policy->no_services; i++)
		if (value_check_cgroup(policy->no_service[i], &reason) < 0)
			error = REFUSE(&check, 0, "cgroup \"%s\" %s",
				       excerpt(policy->no_service[i]).text, reason.text);
	return error;
}
