// SPDX-License-Identifier: BSD-2-Clause
/*
 * Compiles a policy into its image: puts services and filters in order of precedence, and each
 * condition into its table. decision/image.h says what the image looks like.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../record/service_id.h"
#include "cgroup.h"
#include "check.h"
#include "compile.h"
#include "message.h"
#include "number.h"
#include "table.h"
#include "../progress.h"

static int too_large(const struct compilation *compilation)
{
	size_t lines = compilation->builder.lines;

	if (lines <= POLICY_LINES_MAX)
		policy_error(compilation->message, compilation->policy->source, 0,
			     "the ids of its cgroups do not fit into a hash of %u lines",
			     POLICY_LINES_MAX);
	else
		policy_error(compilation->message, compilation->policy->source, 0,
			     "its image has %s%zu lines more than the limit of %u (use fewer "
			     "prefixes; long IPv6 prefixes cost most)",
			     compilation->incomplete ? "at least " : "", lines - POLICY_LINES_MAX,
			     POLICY_LINES_MAX);
	return -E2BIG;
}

static int compare_services(const void *left, const void *right)
{
	const struct service *a = *(const struct service *const *)left;
	const struct service *b = *(const struct service *const *)right;

	return (a->weight < b->weight) - (a->weight > b->weight);
}

/* Filters are elements of one array, so their addresses are the order of the file. */
static int compare_filters(const void *left, const void *right)
{
	const struct filter *a = *(const struct filter *const *)left;
	const struct filter *b = *(const struct filter *const *)right;

	if (a->weight != b->weight)
		return (a->weight < b->weight) - (a->weight > b->weight);
	return (a > b) - (a < b);
}

static void put_in_order(struct compilation *compilation)
{
	const struct policy *policy = compilation->policy;
	size_t slot, i, first, count = 0;

	for (i = 0; i < policy->services; i++)
		compilation->service[i] = &policy->service[i];
	qsort(compilation->service, policy->services, sizeof(*compilation->service),
	      compare_services);
	for (slot = 0; slot < policy->services; slot++) {
		first = count;
		for (i = 0; i < policy->filters; i++) {
			if (strcmp(policy->filter[i].service, compilation->service[slot]->name))
				continue;
			compilation->slot[count] = slot;
			compilation->filter[count++] = &policy->filter[i];
		}
		qsort(compilation->filter + first, count - first, sizeof(*compilation->filter),
		      compare_filters);
	}
}

static int compile_services(struct compilation *compilation, struct policy_header *header)
{
	struct policy_cell ids[POLICY_SERVICES_MAX], endpoints[2 * POLICY_SERVICES_MAX];
	size_t slot, filter = 0, ports = 0;
	struct policy_service *line;
	int error;

	header->services = compilation->policy->services;
	error = image_append(&compilation->builder, header->services, &header->service_line);
	if (error)
		return error;
	for (slot = 0; slot < header->services; slot++) {
		const struct service *service = compilation->service[slot];

		line = (void *)compilation->builder.line[header->service_line + slot];
		line->id = policy_service_id(service->name);
		line->weight = service->weight;
		line->tcp_port = htons(service->tcp);
		line->udp_port = htons(service->udp);
		line->when_down = service->when_down;
		line->has4 = service->has4;
		line->has6 = service->has6;
		line->keep_family = service->keep_family;
		line->first_filter = filter;
		while (filter < compilation->policy->filters && compilation->slot[filter] == slot)
			filter++;
		line->filters = filter - line->first_filter;
		line->has_user = service->identity.has_user;
		line->user = service->identity.user;
		memcpy(line->address4, service->address4, sizeof(line->address4));
		memcpy(line->address6, service->address6, sizeof(line->address6));
		snprintf(line->name, sizeof(line->name), "%s", service->name);
		ids[slot] = (struct policy_cell){ .key = line->id, .value = slot };
		if (service->tcp)
			endpoints[ports++] =
				(struct policy_cell){ .key = policy_endpoint_key(0, service->tcp),
						      .value = slot };
		if (service->udp)
			endpoints[ports++] =
				(struct policy_cell){ .key = policy_endpoint_key(1, service->udp),
						      .value = slot };
	}
	error = image_hash(&compilation->builder, ids, header->services, &header->ids);
	return error ? error :
		       image_hash(&compilation->builder, endpoints, ports, &header->endpoints);
}

/* Ids that are taken move up by one, in order of precedence. */
static uint32_t filter_id(const struct compilation *compilation, const uint32_t *taken,
			  size_t number)
{
	const struct filter *filter = compilation->filter[number];
	char name[2 * POLICY_NAME_MAX];
	uint32_t id;
	size_t i;

	snprintf(name, sizeof(name), "%s/%s", filter->service, filter->name);
	id = record_service_id(name);
	for (i = 0; i < number; i++)
		if (taken[i] == id) {
			id = id + 1 ? id + 1 : 1;
			i = -1; /* look through all of them again */
		}
	return id;
}

static int compile_context(struct compilation *compilation, const struct filter *filter,
			   struct policy_filter *line)
{
	const struct policy_target *target = compilation->target;

	line->context_size = filter->context_size;
	if (!target->context_number)
		return 0;
	return target->context_number(target->data, filter->context, filter->context_size,
				      &line->context, compilation->message);
}

static int compile_filters(struct compilation *compilation, struct policy_header *header)
{
	uint32_t taken[POLICY_FILTERS_MAX];
	struct policy_filter *line;
	size_t i;
	int error;

	header->filters = compilation->policy->filters;
	header->words = (header->filters + 63) / 64;
	error = image_append(&compilation->builder, (header->filters + 1) / 2,
			     &header->filter_line);
	for (i = 0; !error && i < header->filters; i++) {
		const struct filter *filter = compilation->filter[i];

		line = (void *)compilation->builder.line[header->filter_line + i / 2];
		line += i % 2;
		taken[i] = filter_id(compilation, taken, i);
		line->id = taken[i];
		line->slot = compilation->slot[i];
		line->action = filter->action;
		line->weight = filter->weight;
		snprintf(line->name, sizeof(line->name), "%s", filter->name);
		if (filter->context)
			error = compile_context(compilation, filter, line);
	}
	return error;
}

#define PORT_BITS 17 /* a port with its protocol before it */

/* A condition under construction: what it is about, and its tables. */
struct dimension {
	const char *key;
	struct table table[2]; /* of prefixes IPv4's and IPv6's, of ranges the first */
};

static int no_value_left(struct compilation *compilation, unsigned int number, const char *key)
{
	const struct filter *filter = compilation->filter[number];

	policy_error(compilation->message, compilation->policy->source, filter->line,
		     "filter \"%s\" can match nothing: its exceptions leave no %s", filter->name,
		     key);
	return -EINVAL;
}

static struct table_range range_of_prefix(const struct prefix *prefix)
{
	table_value rest = prefix->v4 ? UINT32_MAX : ~(table_value)0, from = 0;
	size_t byte;

	for (byte = prefix->v4 ? 12 : 0; byte < 16; byte++)
		from = from << 8 | prefix->address[byte];
	rest = prefix->length == 128 ? 0 : rest >> prefix->length;
	return (struct table_range){ from & ~rest, from | rest };
}

/* Those of one family. */
static size_t prefixes_of(const struct prefix *prefix, size_t prefixes, bool v4,
			  struct table_range *range)
{
	size_t i, count = 0;

	for (i = 0; i < prefixes; i++)
		if (prefix[i].v4 == v4)
			range[count++] = range_of_prefix(&prefix[i]);
	return count;
}

static int add_prefixes(struct compilation *compilation, struct dimension *dimension,
			const struct prefix *prefix, size_t prefixes, const struct prefix *except,
			size_t exceptions, unsigned int number)
{
	struct table_range *range = reallocarray(NULL, prefixes + exceptions + 1, sizeof(*range));
	int any = 0, added = 0, family;

	if (!range)
		return -ENOMEM;
	for (family = 0; added >= 0 && family < 2; family++) {
		size_t count = prefixes_of(prefix, prefixes, !family, range);
		size_t without = prefixes_of(except, exceptions, !family, range + count);

		/* Of this family there are none, but of the other. */
		if (prefixes && !count)
			continue;
		added = table_add(&dimension->table[family], range, count, range + count, without,
				  family ? 128 : 32, number);
		any |= added > 0;
	}
	free(range);
	if (added < 0)
		return added;
	return any ? 0 : no_value_left(compilation, number, dimension->key);
}

static int add_ranges(struct compilation *compilation, struct dimension *dimension,
		      const struct range *range, size_t ranges, const struct range *except,
		      size_t exceptions, int bits, unsigned int number)
{
	struct table_range *wide = reallocarray(NULL, ranges + exceptions + 1, sizeof(*wide));
	size_t i;
	int added;

	if (!wide)
		return -ENOMEM;
	for (i = 0; i < ranges; i++)
		wide[i] = (struct table_range){ range[i].from, range[i].to };
	for (i = 0; i < exceptions; i++)
		wide[ranges + i] = (struct table_range){ except[i].from, except[i].to };
	added = table_add(&dimension->table[0], wide, ranges, wide + ranges, exceptions, bits,
			  number);
	free(wide);
	if (added < 0)
		return added;
	return added ? 0 : no_value_left(compilation, number, dimension->key);
}

/* The ports of each protocol, which stands before them. */
static int add_ports(struct compilation *compilation, struct dimension *dimension,
		     const struct conditions *match, const struct conditions *except,
		     unsigned int number)
{
	struct table_range *wide =
		reallocarray(NULL, match->ports + except->ports + 2, sizeof(*wide));
	int added = 0, any = 0, udp;
	size_t i, ports;

	if (!wide)
		return -ENOMEM;
	for (udp = 0; added >= 0 && udp < 2; udp++) {
		uint32_t first = udp ? 1 << 16 : 0;

		if (udp ? !match->udp : !match->tcp)
			continue;
		for (ports = 0; ports < match->ports; ports++)
			wide[ports] = (struct table_range){ first + match->port[ports].from,
							    first + match->port[ports].to };
		/* Without any, all of this protocol; both together would be all values. */
		if (!ports)
			wide[ports++] = (struct table_range){ first, first + UINT16_MAX };
		for (i = 0; i < except->ports; i++)
			wide[ports + i] = (struct table_range){ first + except->port[i].from,
								first + except->port[i].to };
		added = table_add(&dimension->table[0], wide, ports, wide + ports, except->ports,
				  PORT_BITS, number);
		any |= added > 0;
	}
	free(wide);
	if (added < 0)
		return added;
	return any ? 0 : no_value_left(compilation, number, dimension->key);
}

/* Who may be a service, and who may make its listener: a range of one user, or of all. */
static int add_service(struct compilation *compilation, struct dimension *dimension,
		       unsigned int slot)
{
	const struct service_identity *identity = &compilation->service[slot]->identity;
	const struct service_identity *listener = &compilation->service[slot]->listener;
	struct range service = { identity->user, identity->user };
	struct range maker = { listener->user, listener->user };
	int error =
		add_ranges(compilation, dimension, &service, identity->has_user, NULL, 0, 32, slot);

	if (!error && (listener->has_user || listener->cgroup))
		error = add_ranges(compilation, dimension, &maker, listener->has_user, NULL, 0, 32,
				   POLICY_LISTENER * 64 + slot);
	return error;
}

enum { REMOTE, PORT, LOCAL, USER, GROUP, INTERFACE, SERVICE, DIMENSIONS };

static int add_filter(struct compilation *compilation, struct dimension *dimension,
		      unsigned int number)
{
	const struct conditions *match = &compilation->filter[number]->match;
	const struct conditions *except = &compilation->filter[number]->except;
	int error;

	error = add_prefixes(compilation, &dimension[REMOTE], match->remote, match->remotes,
			     except->remote, except->remotes, number);
	if (!error)
		error = add_prefixes(compilation, &dimension[LOCAL], match->local, match->locals,
				     except->local, except->locals, number);
#define RANGES(of, member, bits)                                                                   \
	if (!error)                                                                                \
	error = add_ranges(compilation, &dimension[of], match->member, match->member##s,           \
			   except->member, except->member##s, bits, number)
	if (!error)
		error = add_ports(compilation, &dimension[PORT], match, except, number);
	RANGES(USER, user, 32);
	RANGES(GROUP, group, 32);
	RANGES(INTERFACE, interface, 32);
#undef RANGES
	return error;
}

/* The conditions that few policies have get a line of their own, if this one has any of them. */
static int compile_more(struct compilation *compilation, struct dimension *dimension,
			struct policy_header *header)
{
	struct image_builder *builder = &compilation->builder;
	struct policy_more more = { 0 };
	bool any;
	int error;

	error = numbers_compile(compilation, &more, &any);
	if (error)
		return error;
	if (!any && !dimension[LOCAL].table[0].edges && !dimension[LOCAL].table[1].edges &&
	    !dimension[GROUP].table[0].edges && !dimension[INTERFACE].table[0].edges)
		return 0;
	error = table_build(&dimension[LOCAL].table[0], builder, &more.local4);
	if (!error)
		error = table_build(&dimension[LOCAL].table[1], builder, &more.local6);
	if (!error)
		error = table_build(&dimension[GROUP].table[0], builder, &more.group);
	if (!error)
		error = table_build(&dimension[INTERFACE].table[0], builder, &more.interface);
	if (!error)
		error = image_append(builder, 1, &header->more);
	if (!error)
		memcpy(builder->line[header->more], &more, sizeof(more));
	return error;
}

static int compile_tables(struct compilation *compilation, struct policy_header *header)
{
	struct dimension dimension[DIMENSIONS] = {
		[REMOTE] = { .key = "remote address" }, [PORT] = { .key = "port" },
		[LOCAL] = { .key = "local address" },   [USER] = { .key = "user" },
		[GROUP] = { .key = "group" },           [INTERFACE] = { .key = "interface" },
		[SERVICE] = { .key = "service" },
	};
	struct image_builder *builder = &compilation->builder;
	unsigned int i;
	int error = 0;

	for (i = 0; !error && i < compilation->policy->filters; i++)
		error = add_filter(compilation, dimension, i);
	for (i = 0; !error && i < compilation->policy->services; i++)
		error = add_service(compilation, &dimension[SERVICE], i);
	progress_phase("compiling IPv4 addresses", TABLE_STEPS);
	if (!error)
		error = table_build(&dimension[REMOTE].table[0], builder, &header->remote4);
	progress_phase("compiling IPv6 addresses", TABLE_STEPS);
	if (!error)
		error = table_build(&dimension[REMOTE].table[1], builder, &header->remote6);
	progress_phase("compiling the rest", TABLE_STEPS);
	if (!error)
		error = table_build(&dimension[PORT].table[0], builder, &header->remote_port);
	if (!error)
		error = table_build(&dimension[USER].table[0], builder, &header->user);
	if (!error)
		error = table_build(&dimension[SERVICE].table[0], builder, &header->service_user);
	if (!error)
		error = compile_more(compilation, dimension, header);
	for (i = 0; i < DIMENSIONS; i++) {
		table_release(&dimension[i].table[0]);
		table_release(&dimension[i].table[1]);
	}
	return error;
}

static int compile_protocols(struct compilation *compilation, struct policy_header *header)
{
	struct bitmap tcp = { 0 }, udp = { 0 };
	unsigned int i;
	int error;

	for (i = 0; i < compilation->policy->filters; i++) {
		if (compilation->filter[i]->match.tcp)
			bitmap_set(&tcp, i);
		if (compilation->filter[i]->match.udp)
			bitmap_set(&udp, i);
	}
	error = image_share(&compilation->builder, &tcp, &header->tcp);
	return error ? error : image_share(&compilation->builder, &udp, &header->udp);
}

static int compile_header(struct compilation *compilation, struct policy_header *header)
{
	struct timespec now;
	int error = image_append(&compilation->builder, 1, &header->source_line);

	if (error)
		return error;
	snprintf((char *)compilation->builder.line[header->source_line], POLICY_LINE, "%s",
		 compilation->policy->source);
	error = compile_services(compilation, header);
	if (!error)
		error = compile_filters(compilation, header);
	if (!error)
		error = compile_protocols(compilation, header);
	if (!error)
		error = cgroups_compile(compilation, header);
	if (!error)
		error = compile_tables(compilation, header);
	compilation->incomplete = error == -E2BIG;
	if (!error && compilation->builder.lines > POLICY_LINES_MAX)
		error = -E2BIG;
	if (error)
		return error;
	clock_gettime(CLOCK_BOOTTIME, &now);
	header->magic = POLICY_MAGIC;
	header->layout = POLICY_LAYOUT;
	header->hop_limit = compilation->policy->hop_limit;
	header->generation = compilation->target->generation;
	header->lines = compilation->builder.lines;
	header->records_expire = compilation->policy->records_expire;
	header->flags = (compilation->policy->lose_mark ? POLICY_LOSE_MARK : 0) |
			(compilation->policy->redirect_unheard ? POLICY_REDIRECT_UNHEARD : 0);
	header->flow_idle = compilation->policy->datagram_idle / 1000000;
	header->applied = now.tv_sec * 1000000000ULL + now.tv_nsec;
	return 0;
}

int policy_compile(const struct policy *policy, const struct policy_target *target,
		   struct policy_image *image, struct message *message)
{
	struct compilation *compilation;
	struct policy_header header = { 0 };
	uint32_t first;
	int error;

	*image = (struct policy_image){ 0 };
	error = policy_check(policy, NULL, message);
	if (error)
		return error;
	message->text[0] = 0;
	compilation = calloc(1, sizeof(*compilation));
	if (!compilation) {
		error = -ENOMEM;
		goto end;
	}
	compilation->policy = policy;
	compilation->target = target;
	compilation->message = message;
	error = image_append(&compilation->builder, 1, &first);
	if (error)
		goto end;
	put_in_order(compilation);
	error = compile_header(compilation, &header);
	if (error == -E2BIG)
		too_large(compilation);
	if (error)
		goto end;
	memcpy(compilation->builder.line[first], &header, sizeof(header));
	image->line = compilation->builder.line;
	image->lines = compilation->builder.lines;
	compilation->builder.line = NULL;
end:
	if (error && !message->text[0])
		policy_error(message, policy->source, 0, "cannot be compiled: %s",
			     strerror(-error));
	if (compilation)
		image_release(&compilation->builder);
	free(compilation);
	return error;
}
