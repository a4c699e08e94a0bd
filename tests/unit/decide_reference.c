// SPDX-License-Identifier: BSD-2-Clause
/*
 * Decides in the plainest way there is, from docs/design.md ("Arbitration") and docs/policy.md. It
 * shares nothing with decision/ but the names of verdicts.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decide_reference.h"

static struct told *tell(struct course *course, enum verdict verdict, const struct service *service,
			 const struct filter *filter)
{
	struct told *told = &course->told[course->count++];
	char name[2 * POLICY_NAME_MAX];

	told->verdict = verdict;
	told->service = service ? policy_service_id(service->name) : 0;
	if (!filter)
		return told;
	snprintf(name, sizeof(name), "%s/%s", filter->service, filter->name);
	told->filter = policy_service_id(name);
	return told;
}

/* "/" is every cgroup, so it is none that is named. */
static bool names_any(char *const *cgroup, size_t cgroups)
{
	for (size_t i = 0; i < cgroups; i++)
		if (cgroup[i] && strcmp(cgroup[i], "/"))
			return true;
	return false;
}

static bool names_cgroups(const struct policy *policy)
{
	bool any = names_any(policy->no_service, policy->no_services);
	size_t i;

	for (i = 0; i < policy->services; i++) {
		any |= names_any(&policy->service[i].identity.cgroup, 1);
		any |= names_any(&policy->service[i].listener.cgroup, 1);
	}
	for (i = 0; i < policy->filters; i++) {
		const struct filter *filter = &policy->filter[i];

		any |= names_any(filter->match.cgroup, filter->match.cgroups);
		any |= names_any(filter->except.cgroup, filter->except.cgroups);
	}
	return any;
}

/* "A listener counts only if its socket was made by the service", or by whom the policy says. */
static bool is_listener(const struct policy *policy, const struct service *service,
			const struct somebody *somebody)
{
	/* "The listener has to be made inside the instance's cgroup." */
	if (somebody->found == FOUND_NOBODY || somebody->found == FOUND_OUTSIDE)
		return false;
	/* "All have to be made in the same cgroup, unless the policy names no cgroup at all." */
	if (somebody->found == FOUND_SHARED && names_cgroups(policy))
		return false;
	return reference_is_service(policy, service, somebody->user, somebody->cgroup, true);
}

static bool is_flow(const struct waybill_address *address)
{
	const uint8_t *a = address->address;

	if (address->family == AF_INET)
		return a[12] == 127 && a[13] >> 4 == 6 && (a[13] & 15 || a[14] || a[15]);
	return !memcmp(a, "\xfd\x57\x61\x79\x62\x69\x6c\x6c\0\0\0\0\0", 13) && a[13] < 16 &&
	       (a[13] || a[14] || a[15]);
}

static bool is_loopback(const struct waybill_address *address)
{
	static const uint8_t loopback6[16] = { [15] = 1 };

	return address->family == AF_INET ? address->address[12] == 127 :
					    !memcmp(address->address, loopback6, 16);
}

/* Whose endpoint the destination is, if he listens there. */
static const struct service *service_at(const struct policy *policy,
					const struct client *connection)
{
	uint16_t port = ntohs(connection->remote.port);

	if (!is_loopback(&connection->remote) && !(connection->udp && is_flow(&connection->remote)))
		return NULL;
	for (size_t i = 0; i < policy->services; i++)
		if (port &&
		    port == (connection->udp ? policy->service[i].udp : policy->service[i].tcp))
			return &policy->service[i];
	return NULL;
}

/* Where a service takes connections of a kind; false if nowhere. */
static bool endpoint_of(const struct service *service, const struct client *connection,
			struct waybill_address *endpoint)
{
	*endpoint = (struct waybill_address){ .family = connection->remote.family };
	endpoint->port = htons(connection->udp ? service->udp : service->tcp);
	if (connection->udp || !service->tcp)
		return endpoint->port;
	if (connection->remote.family == AF_INET6) {
		memcpy(endpoint->address, service->address6, 16);
		return service->has6;
	}
	endpoint->address[10] = endpoint->address[11] = 0xff;
	memcpy(endpoint->address + 12, service->address4, 4);
	return service->has4;
}

static uint64_t bit(const struct policy *policy, const struct service *service)
{
	return 1ULL << (service - policy->service);
}

/* A service, and all of higher weight. */
static uint64_t up_to(const struct policy *policy, const struct service *service)
{
	uint64_t services = 0;

	for (size_t i = 0; i < policy->services; i++)
		if (policy->service[i].weight >= service->weight)
			services |= bit(policy, &policy->service[i]);
	return services;
}

static uint64_t passed_over(const struct policy *policy, const struct situation *situation)
{
	uint64_t services = 0;

	for (size_t i = 0; i < policy->services; i++) {
		const struct service *service = &policy->service[i];

		for (unsigned int j = 0; j < situation->records; j++) {
			const struct record *record = &situation->record[j];

			if (!strcmp(record->service, service->name))
				services |= record->presumed ? up_to(policy, service) :
							       bit(policy, service);
		}
	}
	return services;
}

/* Of services that whoever connects without records may be, that of lowest weight. */
static const struct service *without_records(const struct policy *policy,
					     const struct situation *situation)
{
	const struct client *connection = &situation->connection;
	const struct service *lowest = NULL;

	for (size_t i = 0; i < policy->services && !situation->records; i++) {
		const struct service *service = &policy->service[i];

		if (reference_is_service(policy, service, connection->user, connection->cgroup,
					 false) &&
		    (!lowest || service->weight < lowest->weight))
			lowest = service;
	}
	return lowest;
}

/* The service of highest weight that is below the one before; NULL if none is left. */
static const struct service *next_service(const struct policy *policy, const struct service *before)
{
	const struct service *next = NULL;

	for (size_t i = 0; i < policy->services; i++) {
		const struct service *service = &policy->service[i];

		if ((!before || service->weight < before->weight) &&
		    (!next || service->weight > next->weight))
			next = service;
	}
	return next;
}

/* Returns whether it ends with this service, a filter of which redirects. */
static bool redirect(const struct policy *policy, const struct situation *situation,
		     const struct service *service, const struct filter *filter,
		     struct course *course)
{
	const struct somebody *somebody = &situation->at_service[service - policy->service];
	struct waybill_address endpoint;
	struct told *told;
	bool alive = false;

	if (!situation->unreachable && endpoint_of(service, &situation->connection, &endpoint)) {
		tell(course, DECISION_ASK, service, filter)->endpoint = endpoint;
		alive = is_listener(policy, service, somebody);
	}
	if (!alive && service->when_down == POLICY_DOWN_PASS) {
		tell(course, DECISION_DOWN_PASS, service, filter);
		return false;
	}
	if (!alive) {
		tell(course, DECISION_DOWN_BLOCK, service, filter);
	} else if (situation->records >= policy->hop_limit) {
		tell(course, DECISION_HOP_LIMIT, service, filter);
	} else {
		told = tell(course, DECISION_REDIRECT, service, filter);
		told->endpoint = endpoint;
		told->context_size = filter->context_size;
		if (filter->context)
			memcpy(&told->context, filter->context, sizeof(told->context));
	}
	return true;
}

static uint32_t application_of(const struct policy *policy, unsigned int application)
{
	uint32_t number = random_application_number(application);

	for (size_t i = 0; i < policy->filters; i++) {
		const struct conditions *both[] = { &policy->filter[i].match,
						    &policy->filter[i].except };

		for (size_t j = 0; j < 4; j++) {
			const struct conditions *of = both[j / 2];
			char **path = j % 2 ? of->original : of->application;
			size_t paths = j % 2 ? of->originals : of->applications;

			while (paths)
				if (strtoul(strrchr(path[--paths], 'a') + 1, NULL, 10) ==
				    application)
					return number;
		}
	}
	return 0;
}

void reference_decide(const struct policy *policy, const struct situation *situation,
		      struct course *course)
{
	const struct client *connection = &situation->connection;
	const struct filter *match[POLICY_FILTERS_MAX];
	size_t matches = reference_matches(policy, connection, match), i;
	const struct service *service;

	memset(course, 0, sizeof(*course));
	if (!matches) {
		tell(course, DECISION_NO_FILTER, NULL, NULL);
		return;
	}
	course->application = application_of(policy, connection->application);
	service = service_at(policy, connection);
	if (service) {
		tell(course, DECISION_ASK, service, NULL)->endpoint = connection->remote;
		if (is_listener(policy, service, &situation->at_destination)) {
			tell(course, DECISION_TO_SERVICE, service, NULL);
			return;
		}
	}
	course->passed_over = passed_over(policy, situation);
	service = without_records(policy, situation);
	if (service) {
		course->passed_over = up_to(policy, service);
		course->presumed = tell(course, DECISION_NO_RECORDS, service, NULL)->service;
	}
	for (service = NULL; (service = next_service(policy, service));) {
		for (i = 0; i < matches && strcmp(match[i]->service, service->name); i++)
			;
		if (i == matches)
			continue;
		if (course->passed_over & bit(policy, service)) {
			tell(course, DECISION_SEEN, service, match[i]);
		} else if (match[i]->action == POLICY_PERMIT) {
			tell(course, DECISION_PERMIT, service, match[i]);
		} else if (match[i]->action == POLICY_BLOCK) {
			tell(course, DECISION_BLOCK, service, match[i]);
			return;
		} else if (redirect(policy, situation, service, match[i], course)) {
			return;
		}
	}
	tell(course, DECISION_NOTHING, NULL, NULL);
}

void course_print(const char *who, const struct course *course)
{
	char address[INET6_ADDRSTRLEN];
	size_t i;

	fprintf(stderr, "%s: presumed %08x, passed over %llx, application %08x\n", who,
		course->presumed, (unsigned long long)course->passed_over, course->application);
	for (i = 0; i < course->count; i++) {
		const struct told *told = &course->told[i];

		inet_ntop(AF_INET6, told->endpoint.address, address, sizeof(address));
		fprintf(stderr, "\tverdict %u of %08x, filter %08x, %s port %u, context %u (%u)\n",
			told->verdict, told->service, told->filter, address,
			ntohs(told->endpoint.port), told->context, told->context_size);
	}
}
