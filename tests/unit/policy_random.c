// SPDX-License-Identifier: BSD-2-Clause
/*
 * Makes random policies in which much overlaps, and says by brute force which filters match.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../record/service_id.h"
#include "policy_random.h"

const char *const random_cgroup[RANDOM_CGROUPS] = {
	"/a",   "/a/b", "/a/b/c", "/a.b", "/a/b/c/d/e", "/f",
	"/f/g", "/f-g", "/",      "/a/x", "/z",         "/a/b/c/d",
};

/* "/bin/aN" and "/usr/bin/aN" are one file. */
static unsigned int application_of(const char *path)
{
	return strtoul(strrchr(path, 'a') + 1, NULL, 10);
}

struct policy_executable random_executable_number(unsigned int application)
{
	/* Two of them differ in nothing but one of the three. */
	struct policy_executable executable = {
		.inode = 100 + application % RANDOM_TWINS / 3,
		.device = 5 + (application % RANDOM_TWINS % 3 == 1),
		.generation = application % RANDOM_TWINS % 3 == 2,
	};
	uint64_t key = policy_executable_key(&executable);

	if (application < RANDOM_TWINS)
		return executable;
	/* Another file, whose owner has chosen its numbers so that the hash does not tell it apart. */
	executable = (struct policy_executable){ .inode = 7000 };
	key ^= policy_executable_key(&executable);
	executable.device = key >> 32;
	executable.generation = key;
	return executable;
}

int random_executable(const char *path, struct policy_executable *executable, char real[PATH_MAX])
{
	*executable = random_executable_number(application_of(path));
	snprintf(real, PATH_MAX, "/usr/bin/a%u", application_of(path));
	return 0;
}

uint32_t random_application_number(unsigned int application)
{
	char path[32];

	snprintf(path, sizeof(path), "/usr/bin/a%u", application);
	return application < RANDOM_APPLICATIONS ? record_service_id(path) : 0;
}

static uint64_t state = 1;

void random_seed(uint64_t seed)
{
	state = seed * 2 + 1;
}

uint64_t random_number(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dULL;
}

uint64_t random_below(uint64_t below)
{
	return (random_number() >> 11) % below;
}

static bool one_in(unsigned int count)
{
	return random_below(count) == 0;
}

/* Grows an array by one element when its count comes to a power of two. */
static void *more(void *array, size_t count, size_t size)
{
	if (count & (count - 1))
		return array;
	array = reallocarray(array, count ? count * 2 : 1, size);
	if (!array)
		abort();
	return array;
}

static void append_prefix(struct prefix **list, size_t *count, struct prefix prefix)
{
	*list = more(*list, *count, sizeof(**list));
	(*list)[(*count)++] = prefix;
}

void add_prefix(struct filter *filter, struct prefix prefix)
{
	append_prefix(&filter->match.remote, &filter->match.remotes, prefix);
}

static void add_range(struct range **range, size_t *count, uint32_t from, uint32_t to)
{
	*range = more(*range, *count, sizeof(**range));
	(*range)[(*count)++] = (struct range){ from, to };
}

static void clear_after(uint8_t address[16], unsigned int bits)
{
	for (; bits < 128; bits++)
		address[bits / 8] &= ~(0x80 >> bits % 8);
}

struct prefix random_prefix(void)
{
	struct prefix prefix = { .v4 = one_in(2) };
	int i;

	/* Few values in each byte, so that prefixes often share their beginnings. */
	for (i = 0; i < 16; i++)
		prefix.address[i] = one_in(3) ? random_number() : random_below(3) * 0x55;
	if (prefix.v4)
		memcpy(prefix.address, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
	prefix.length = random_below(prefix.v4 ? 33 : 129);
	clear_after(prefix.address, prefix.length + (prefix.v4 ? 96 : 0));
	return prefix;
}

static void random_ids(struct range **range, size_t *count, int some)
{
	for (; some > 0; some--) {
		uint32_t from = random_number() >> (32 + random_below(32));
		uint32_t to = from + (random_below(0x100000000ULL - from) >> random_below(32));

		add_range(range, count, from, to);
	}
}

static void random_applications(char ***list, size_t *count, int some)
{
	for (; some > 0; some--) {
		*list = more(*list, *count, sizeof(**list));
		if (asprintf(&(*list)[(*count)++], "%s/a%u", one_in(2) ? "/bin" : "/usr/bin",
			     (unsigned int)random_below(RANDOM_APPLICATIONS)) < 0)
			abort();
	}
}

/* Up to so many of each condition, and often none. */
static void random_conditions(struct conditions *conditions, int most)
{
	uint32_t from, to;
	int i;

	for (i = random_below(most + 1) * random_below(2); i > 0; i--)
		append_prefix(&conditions->remote, &conditions->remotes, random_prefix());
	for (i = random_below(most) * one_in(4); i > 0; i--)
		append_prefix(&conditions->local, &conditions->locals, random_prefix());
	for (i = random_below(most) * random_below(2); i > 0; i--) {
		from = random_below(65536) >> random_below(16);
		to = from + (random_below(65536 - from) >> random_below(16));
		add_range(&conditions->port, &conditions->ports, from, to);
	}
	random_ids(&conditions->user, &conditions->users, random_below(most) * random_below(2));
	random_ids(&conditions->group, &conditions->groups, random_below(most) * one_in(4));
	random_ids(&conditions->interface, &conditions->interfaces, random_below(most) * one_in(6));
	for (i = random_below(most) * random_below(2); i > 0; i--) {
		const char *path = random_cgroup[random_below(RANDOM_CGROUPS_NAMED)];

		conditions->cgroup =
			more(conditions->cgroup, conditions->cgroups, sizeof(*conditions->cgroup));
		conditions->cgroup[conditions->cgroups++] = strdup(path);
	}
	random_applications(&conditions->application, &conditions->applications,
			    random_below(most + 1) * one_in(4));
	random_applications(&conditions->original, &conditions->originals,
			    random_below(most + 1) * one_in(4));
	for (i = random_below(most) * one_in(4); i > 0; i--) {
		conditions->namespace = more(conditions->namespace, conditions->namespaces,
					     sizeof(*conditions->namespace));
		conditions->namespace[conditions->namespaces++] = 1 + random_below(4);
	}
}

static void random_filter(struct policy *policy, struct filter *filter, size_t number)
{
	*filter = (struct filter){ .weight = random_below(4) };
	filter->match.tcp = !one_in(4);
	filter->match.udp = !filter->match.tcp || one_in(2);
	if (asprintf(&filter->name, "f%zu", number) < 0)
		abort();
	filter->service = strdup(policy->service[random_below(policy->services)].name);
	filter->action = 1 + random_below(3);
	random_conditions(&filter->match, 3);
	if (one_in(3))
		random_conditions(&filter->except, 3);
}

static void random_identity(struct service_identity *identity)
{
	identity->has_user = one_in(2);
	identity->user = random_below(8);
	if (!identity->has_user || one_in(2))
		identity->cgroup = strdup(
			random_cgroup[random_below(RANDOM_CGROUPS_NAMED - !identity->has_user)]);
}

static void random_service(struct service *service, size_t number)
{
	*service = (struct service){
		.tcp = 9000 + number,
		.udp = 9000 + number,
		.has4 = true,
		.has6 = true,
		/* All different, in an order that is not that of the file. */
		.weight = (uint32_t)(number + 1) * 2654435761U,
	};
	if (asprintf(&service->name, "service-%zu", number) < 0)
		abort();
	random_identity(&service->identity);
	if (one_in(3))
		random_identity(&service->listener);
}

struct policy *random_policy(size_t services, size_t filters)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	size_t i;

	if (!policy)
		abort();
	policy->source = strdup("random");
	policy->hop_limit = WAYBILL_HOPS_DEFAULT;
	policy->records_expire = 600000000000ULL;
	policy->datagram_idle = 60000000000ULL;
	policy->service = calloc(services + 1, sizeof(*policy->service));
	policy->filter = calloc(filters + 1, sizeof(*policy->filter));
	for (i = 0; i < services; i++)
		random_service(&policy->service[policy->services++], i);
	for (i = 0; i < filters && services; i++)
		random_filter(policy, &policy->filter[policy->filters++], i);
	if (one_in(3)) {
		policy->no_service = calloc(1, sizeof(*policy->no_service));
		policy->no_service[policy->no_services++] =
			strdup(random_cgroup[random_below(RANDOM_CGROUPS_NAMED)]);
	}
	return policy;
}

/* In one of the prefixes, or next to it, more often than not. */
static void random_address(const struct prefix *list, size_t count, struct waybill_address *address)
{
	struct prefix prefix = random_prefix();
	unsigned int bit;
	uint32_t i;

	if (count && !one_in(8))
		prefix = list[random_below(count)];
	/* The rest at random, all zeroes, or all ones; sometimes with one bit of it all turned. */
	bit = prefix.length + (prefix.v4 ? 96 : 0);
	i = random_below(3);
	for (; bit < 128; bit++)
		if (i == 1 || (i == 2 && one_in(2)))
			prefix.address[bit / 8] |= 0x80 >> bit % 8;
	bit = (prefix.v4 ? 96 : 0) + random_below(prefix.v4 ? 32 : 128);
	if (one_in(3))
		prefix.address[bit / 8] ^= 0x80 >> bit % 8;
	address->family = prefix.v4 ? 2 : 10;
	memcpy(address->address, prefix.address, 16);
}

static uint32_t random_edge(const struct range *range, size_t ranges, uint32_t otherwise)
{
	const struct range *of;

	if (!ranges)
		return otherwise;
	of = &range[random_below(ranges)];
	switch (random_below(6)) {
	case 0:
		return of->from;
	case 1:
		return of->to;
	case 2:
		return of->from - 1;
	case 3:
		return of->to + 1;
	case 4:
		return of->from + random_below((uint64_t)of->to - of->from + 1);
	default:
		return otherwise;
	}
}

struct client random_connection(const struct policy *policy)
{
	static const struct conditions none;
	struct client connection = {
		.udp = one_in(3),
		.user = one_in(2) ? random_below(8) : random_number(),
		.group = random_below(8),
		.interface = random_below(3),
		.cgroup = random_cgroup[random_below(RANDOM_CGROUPS)],
		.application = random_below(2 * RANDOM_TWINS),
		.original = random_below(RANDOM_APPLICATIONS + 1),
		.onward = one_in(2),
		.netns = random_below(5),
	};
	const struct conditions *near = &none;
	uint16_t port = random_number();

	if (policy->filters) {
		const struct filter *filter = &policy->filter[random_below(policy->filters)];

		near = one_in(3) ? &filter->except : &filter->match;
	}
	port = random_edge(near->port, near->ports, port);
	connection.user = random_edge(near->user, near->users, connection.user);
	connection.group = random_edge(near->group, near->groups, connection.group);
	connection.interface = random_edge(near->interface, near->interfaces, connection.interface);
	random_address(near->remote, near->remotes, &connection.remote);
	random_address(near->local, near->locals, &connection.local);
	if (near->applications && !one_in(3))
		connection.application =
			application_of(near->application[random_below(near->applications)]);
	if (near->originals && !one_in(3))
		connection.original = application_of(near->original[random_below(near->originals)]);
	if (near->namespaces && !one_in(3))
		connection.netns = near->namespace[random_below(near->namespaces)];
	if (!connection.onward)
		connection.original = connection.application;
	connection.remote.port = htons(port);
	return connection;
}

static bool prefix_contains(const struct prefix *prefix, const struct waybill_address *address)
{
	unsigned int bit, end = prefix->length + (prefix->v4 ? 96 : 0);

	if (prefix->v4 != (address->family == 2))
		return false;
	for (bit = 0; bit < end; bit++)
		if ((prefix->address[bit / 8] ^ address->address[bit / 8]) & (0x80 >> bit % 8))
			return false;
	return true;
}

static bool in_ranges(const struct range *range, size_t ranges, uint32_t value)
{
	size_t i;

	for (i = 0; i < ranges; i++)
		if (range[i].from <= value && value <= range[i].to)
			return true;
	return false;
}

static bool in_prefixes(const struct prefix *prefix, size_t prefixes,
			const struct waybill_address *address)
{
	size_t i;

	for (i = 0; i < prefixes; i++)
		if (prefix_contains(&prefix[i], address))
			return true;
	return false;
}

static bool cgroup_contains(const char *cgroup, const char *path)
{
	size_t length = strlen(cgroup);

	return !strcmp(cgroup, "/") || !strcmp(cgroup, path) ||
	       (!strncmp(cgroup, path, length) && path[length] == '/');
}

static bool in_cgroups(char *const *cgroup, size_t cgroups, const char *path)
{
	size_t i;

	for (i = 0; i < cgroups; i++)
		if (cgroup_contains(cgroup[i], path))
			return true;
	return false;
}

static bool in_applications(char *const *path, size_t paths, unsigned int application)
{
	size_t i;

	for (i = 0; i < paths; i++)
		if (application_of(path[i]) == application)
			return true;
	return false;
}

static bool in_namespaces(const uint64_t *namespace, size_t namespaces, uint64_t netns)
{
	size_t i;

	for (i = 0; i < namespaces; i++)
		if (namespace[i] == netns)
			return true;
	return false;
}

static bool filter_matches(const struct filter *filter, const struct client *c)
{
	const struct conditions *m = &filter->match, *e = &filter->except;

#define HOLDS(in, list, count, value)                                                              \
	((!m->count || in(m->list, m->count, value)) && !in(e->list, e->count, value))
	return (c->udp ? m->udp : m->tcp) && HOLDS(in_prefixes, remote, remotes, &c->remote) &&
	       HOLDS(in_prefixes, local, locals, &c->local) &&
	       HOLDS(in_ranges, port, ports, ntohs(c->remote.port)) &&
	       HOLDS(in_ranges, user, users, c->user) &&
	       HOLDS(in_ranges, group, groups, c->group) &&
	       HOLDS(in_ranges, interface, interfaces, c->interface) &&
	       HOLDS(in_cgroups, cgroup, cgroups, c->cgroup) &&
	       HOLDS(in_applications, application, applications, c->application) &&
	       HOLDS(in_applications, original, originals, c->original) &&
	       HOLDS(in_namespaces, namespace, namespaces, c->netns);
#undef HOLDS
}

static const struct service *service_named(const struct policy *policy, const char *name)
{
	size_t i;

	for (i = 0; i < policy->services; i++)
		if (!strcmp(policy->service[i].name, name))
			return &policy->service[i];
	abort();
}

size_t reference_matches(const struct policy *policy, const struct client *connection,
			 const struct filter *match[])
{
	uint32_t weight[POLICY_FILTERS_MAX], this;
	size_t matches = 0, i, at;

	for (i = 0; i < policy->filters; i++) {
		const struct filter *filter = &policy->filter[i];

		if (!filter_matches(filter, connection))
			continue;
		this = service_named(policy, filter->service)->weight;
		/* Behind all that go before it, which those of equal weights do. */
		for (at = matches++; at; at--) {
			if (weight[at - 1] > this ||
			    (weight[at - 1] == this && match[at - 1]->weight >= filter->weight))
				break;
			match[at] = match[at - 1];
			weight[at] = weight[at - 1];
		}
		match[at] = filter;
		weight[at] = this;
	}
	return matches;
}

static bool is_one(const struct service_identity *identity, uint32_t user, const char *cgroup)
{
	return (!identity->has_user || identity->user == user) &&
	       (!identity->cgroup || cgroup_contains(identity->cgroup, cgroup));
}

bool reference_is_service(const struct policy *policy, const struct service *service, uint32_t user,
			  const char *cgroup, bool maker)
{
	const struct service_identity *listener = &service->listener;
	size_t i;

	for (i = 0; i < policy->no_services; i++)
		if (cgroup_contains(policy->no_service[i], cgroup))
			return false;
	return is_one(&service->identity, user, cgroup) ||
	       (maker && (listener->has_user || listener->cgroup) &&
		is_one(listener, user, cgroup));
}
