// SPDX-License-Identifier: BSD-2-Clause
/*
 * Makes random policies and situations to decide on: services that share an identity, records that
 * name anybody, destinations that are a service's own endpoint, listeners that are somebody else's.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "decide_situation.h"
#include "policy_fixture.h"

static bool one_in(unsigned int count)
{
	return random_below(count) == 0;
}

static void decidable_service(struct policy *policy, struct service *service)
{
	const struct service *other = &policy->service[random_below(policy->services)];
	size_t number = service - policy->service;

	service->when_down = one_in(2) ? POLICY_DOWN_PASS : POLICY_DOWN_BLOCK;
	/* The number of a port is one service's for TCP, and another's for datagrams. */
	service->udp = 9000 + (number + 1) % policy->services;
	if (one_in(6))
		service->udp = 0;
	else if (one_in(6))
		service->tcp = 0;
	service->has4 = !one_in(8);
	service->has6 = !service->has4 || !one_in(8);
	memcpy(service->address4, ((uint8_t[]){ 127, 0, one_in(4), 1 }), 4);
	service->address6[15] = 1;
	if (other == service || !one_in(4))
		return;
	free(service->identity.cgroup);
	service->identity = other->identity;
	if (other->identity.cgroup)
		service->identity.cgroup = strdup(other->identity.cgroup);
}

static void decidable_filter(struct policy *policy, struct filter *filter)
{
	const struct service *service = policy->service;

	while (strcmp(service->name, filter->service))
		service++;
	if (!one_in(3))
		any_connection(filter);
	filter->action = one_in(2) ? POLICY_REDIRECT : filter->action;
	if (filter->action != POLICY_REDIRECT)
		return;
	filter->match.tcp &= service->tcp != 0;
	filter->match.udp &= service->udp != 0;
	if (!filter->match.tcp && !filter->match.udp) {
		filter->match.tcp = service->tcp != 0;
		filter->match.udp = service->udp != 0;
	}
	if (one_in(3))
		return;
	/* They begin with the number that the map gives them. */
	filter->context_size = sizeof(uint32_t) + random_below(8);
	filter->context = calloc(1, filter->context_size);
	memcpy(filter->context, &(uint32_t){ 1 + random_below(1000) }, sizeof(uint32_t));
}

static void clear_cgroups(char **cgroup, size_t *cgroups)
{
	while (*cgroups)
		free(cgroup[--*cgroups]);
}

/* Names no cgroup, unless it is the one that all are in. */
static void without_cgroups(struct policy *policy)
{
	for (size_t i = 0; i < policy->services; i++) {
		struct service_identity *identity = &policy->service[i].identity;
		struct service_identity *listener = &policy->service[i].listener;

		free(identity->cgroup);
		free(listener->cgroup);
		listener->cgroup = NULL;
		identity->has_user = true;
		identity->cgroup = one_in(6) ? strdup("/") : NULL;
	}
	for (size_t i = 0; i < policy->filters; i++) {
		clear_cgroups(policy->filter[i].match.cgroup, &policy->filter[i].match.cgroups);
		clear_cgroups(policy->filter[i].except.cgroup, &policy->filter[i].except.cgroups);
	}
	clear_cgroups(policy->no_service, &policy->no_services);
}

struct policy *random_decidable(void)
{
	bool large = one_in(16);
	size_t services = 1 + random_below(large ? 64 : 6);
	struct policy *policy = random_policy(services, random_below(large ? 160 : 40));
	size_t i;

	policy->hop_limit = 1 + random_below(WAYBILL_HOPS_MAX);
	for (i = 0; i < policy->services; i++)
		decidable_service(policy, &policy->service[i]);
	for (i = 0; i < policy->filters; i++)
		decidable_filter(policy, &policy->filter[i]);
	if (one_in(8))
		without_cgroups(policy);
	return policy;
}

static void impersonate(const struct service_identity *identity, uint32_t *user,
			const char **cgroup)
{
	if (identity->has_user)
		*user = identity->user;
	if (identity->cgroup && !one_in(4))
		*cgroup = identity->cgroup;
}

static struct somebody random_somebody(const struct service *service)
{
	static const enum listening found[] = { FOUND_NOBODY,   FOUND_SHARED,   FOUND_OUTSIDE,
						FOUND_LISTENER, FOUND_LISTENER, FOUND_LISTENER };
	struct somebody somebody = {
		.found = found[random_below(sizeof(found) / sizeof(*found))],
		.user = random_below(8),
		.cgroup = random_cgroup[random_below(RANDOM_CGROUPS)],
	};

	if (!one_in(4))
		impersonate(one_in(4) ? &service->listener : &service->identity, &somebody.user,
			    &somebody.cgroup);
	return somebody;
}

/* To where a service listens, or where one might believe that it does. */
static void aim(const struct service *service, struct client *connection)
{
	struct waybill_address *to = &connection->remote;
	bool v4 = one_in(2);
	uint16_t port;

	connection->udp = one_in(2);
	port = connection->udp ? service->udp : service->tcp;
	to->port = htons(port && !one_in(8) ? port : 9000 + random_below(8));
	if (one_in(8))
		return; /* the port alone */
	if (one_in(3)) {
		flow_address(random_number() & WAYBILL_FLOW_MASK, v4 ? AF_INET : AF_INET6, to);
		/* Or next to them: no flow has number 0, or one of more bits. */
		if (one_in(4))
			to->address[12] ^= 1;
		else if (one_in(4))
			to->address[13] ^= 0x10;
		if (one_in(8))
			memset(to->address + 12 + (v4 ? 1 : 0), 0, v4 ? 3 : 4);
		return;
	}
	memset(to->address, 0, 15);
	to->address[15] = 1 + one_in(8);
	if (v4) {
		memcpy(to->address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0", 15);
		to->address[14] = one_in(3) ? random_number() : 0;
		to->address[12] ^= one_in(8);
	}
}

static unsigned int random_records(const struct policy *policy, struct record *record)
{
	static const int around[] = { -1, 0, 0, 1 };
	int records = 1 + random_below(3);
	unsigned int few = one_in(2) ? 2 : policy->services;

	if (one_in(2))
		records = policy->hop_limit + around[random_below(4)];
	if (records < 1)
		records = 1;
	if (records > WAYBILL_HOPS_MAX)
		records = WAYBILL_HOPS_MAX;
	for (int i = 0; i < records; i++) {
		record[i].service = policy->service[random_below(few) % policy->services].name;
		if (one_in(4))
			record[i].service = "gone";
		record[i].presumed = one_in(8);
	}
	return records;
}

struct situation random_situation(const struct policy *policy)
{
	struct situation situation = {
		.connection = random_connection(policy),
		.recorded = random_below(4),
		.unreachable = one_in(10),
	};
	struct client *connection = &situation.connection;
	const struct service *service = &policy->service[random_below(policy->services)];
	size_t i;

	connection->user = one_in(2) ? random_below(8) : connection->user;
	if (one_in(3))
		aim(service, connection);
	/* A socket of IPv6 may be given the mapped form, which is IPv4. */
	connection->remote.family = AF_INET6;
	if (address_is_mapped((const __u32 *)connection->remote.address))
		connection->remote.family = AF_INET;
	if (connection->onward)
		situation.records = random_records(policy, situation.record);
	service = &policy->service[random_below(policy->services)];
	if (one_in(4))
		impersonate(&service->identity, &connection->user, &connection->cgroup);
	for (i = 0; i < policy->services; i++)
		situation.at_service[i] = random_somebody(&policy->service[i]);
	for (i = 0; i < policy->services; i++)
		if (htons(connection->udp ? policy->service[i].udp : policy->service[i].tcp) ==
		    connection->remote.port)
			situation.at_destination = random_somebody(&policy->service[i]);
	return situation;
}

static void identity_print(const char *what, const struct service_identity *identity)
{
	print_error(" %s", what);
	if (identity->has_user)
		print_error(" user %u", identity->user);
	print_error(" cgroup %s", identity->cgroup ? identity->cgroup : "any");
}

static void somebody_print(const struct somebody *somebody)
{
	static const char *const found[] = { "nobody", "shared", "outside", "listener" };

	print_error(" %s %u in %s\n", found[somebody->found], somebody->user,
		    somebody->cgroup ? somebody->cgroup : "-");
}

void situation_print(const struct policy *policy, const struct situation *situation)
{
	const struct client *connection = &situation->connection;
	char address[INET6_ADDRSTRLEN];
	size_t i;

	for (i = 0; i < policy->services; i++) {
		const struct service *service = &policy->service[i];

		print_error("%s: weight %u, tcp %u udp %u%s%s%s,", service->name, service->weight,
			    service->tcp, service->udp, service->has4 ? " v4" : "",
			    service->has6 ? " v6" : "", service->when_down ? ", passes" : "");
		identity_print("is", &service->identity);
		identity_print("made by", &service->listener);
		somebody_print(&situation->at_service[i]);
	}
	inet_ntop(AF_INET6, connection->remote.address, address, sizeof(address));
	print_error("%s to %s port %u, by %u in %s (%u)%s, limit %u; there:",
		    connection->udp ? "UDP" : "TCP", address, ntohs(connection->remote.port),
		    connection->user, connection->cgroup, situation->recorded,
		    situation->unreachable ? ", which reaches no service" : "", policy->hop_limit);
	somebody_print(&situation->at_destination);
	for (i = 0; i < situation->records; i++)
		print_error("hop %zu: %s%s\n", i, situation->record[i].service,
			    situation->record[i].presumed ? " (presumed)" : "");
}
