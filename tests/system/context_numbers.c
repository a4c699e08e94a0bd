// SPDX-License-Identifier: BSD-2-Clause
/*
 * context_numbers: policies come and go, and contexts with them, but a number that a context had is
 * never given to other bytes, also when its entry is long gone: a socket whose hop still has it is
 * told that there is none. Bytes that come back while their entry is there have their number again.
 */
#include "records_tools.h"

#include <bpf/bpf.h>

#define ROUNDS 5
#define LONG_AGO (700ULL * 1000000000) /* longer than an entry is kept */

/* A policy with a context for each of two services, or NULL for none. */
static void apply(struct world *world, const char *of_a, const char *of_b)
{
	const char *context[2] = { of_a, of_b };
	char text[2048];
	int length = snprintf(text, sizeof(text), "version: 1\nservices:\n");

	for (int i = 0; i < 2; i++)
		length += snprintf(text + length, sizeof(text) - length,
				   "  - { name: %c, weight: %d, endpoint: { tcp: %d }, "
				   "identity: { cgroup: %%C/s%d } }\n",
				   'a' + i, 2 - i, SERVICE_PORT(i), i);
	length += snprintf(text + length, sizeof(text) - length, "filters:\n");
	for (int i = 0; i < 2; i++)
		length += snprintf(text + length, sizeof(text) - length,
				   "  - { name: all, service: %c, match: { remote_port: 8080 }, "
				   "action: redirect%s%s }\n",
				   'a' + i, context[i] ? ", context: " : "",
				   context[i] ? context[i] : "");
	as_root(world);
	EXPECT(!world_apply(world, text));
}

/* The number that the policy in force has for a service's filter, and the last one ever given. */
static uint32_t number_of(struct world *world, const char *service, uint32_t *last)
{
	const struct policy_filter *filter = NULL;
	const struct policy_header *header;
	struct message message = {};
	struct policy_image image;
	uint32_t number = 0;

	EXPECT(!instance_policy(world->instance, &image, &message), "%s", message.text);
	header = policy_line(&image, 0);
	for (uint32_t i = 0; i < header->filters; i++) {
		filter = policy_filter(&image, header, i);
		if (!strcmp(policy_service(&image, header, filter->slot)->name, service))
			number = filter->context;
	}
	*last = header->last_context;
	free(image.line);
	EXPECT(filter && number <= *last, "number %u, last %u", number, *last);
	return number;
}

/* The bytes that a number stands for, or "" for none. */
static const char *bytes_of(struct world *world, uint32_t number)
{
	static struct context context;
	static char text[64];

	text[0] = '\0';
	if (!bpf_map_lookup_elem(world->instance->map[MAP_CONTEXTS], &number, &context))
		snprintf(text, sizeof(text), "%.*s", (int)context.size, context.bytes);
	return text;
}

/* Entries of contexts that no policy has are of long ago: the next one to be applied drops them. */
static void age(struct world *world)
{
	int map = world->instance->map[MAP_CONTEXTS];
	uint32_t number, *previous = NULL;
	struct context context;

	for (; !bpf_map_get_next_key(map, previous, &number); previous = &number) {
		EXPECT(!bpf_map_lookup_elem(map, &number, &context));
		if (!context.retired)
			continue;
		context.retired -= LONG_AGO; /* it may wrap around, as differences of it do */
		EXPECT(!bpf_map_update_elem(map, &number, &context, BPF_EXIST));
	}
}

static void expect_context(struct world *world, int onward, const char *wanted)
{
	char context[WAYBILL_CONTEXT_MAX] = {};
	socklen_t size = sizeof(context);

	as_service(world, 0);
	EXPECT_RESULT(query(onward, WAYBILL_REDIRECT_CONTEXT, context, &size),
		      wanted ? 0 : -ENODATA);
	EXPECT(!strcmp(context, wanted ? wanted : ""), "%s", context);
	as_root(world);
}

int main(void)
{
	unsigned char records[WAYBILL_RECORDS_MAX];
	uint32_t number, first, last, highest;
	struct records_hop *hop = (void *)(records + RECORDS_HEADER_SIZE + RECORDS_ORIGINATOR_SIZE);
	int listener, onward;
	struct world world;
	char text[64];
	struct leg leg;

	world_begin(&world, "context_numbers");
	world_up(&world);
	apply(&world, "mine", NULL);
	first = number_of(&world, "a", &last);
	EXPECT(first > 0 && last == first && !strcmp(bytes_of(&world, first), "mine"));

	/* A's onward socket keeps the hop with that number, longer than its flow lives. */
	listener = listener_of(&world, 0, V4, false);
	redirect_application(&world, 0, listener, V4, &leg);
	records_of(leg.accepted, records);
	EXPECT(hop->context == first, "the hop has %u, the policy %u", hop->context, first);
	onward = onward_of(&world, 0, leg.accepted);
	close(leg.accepted);
	close(leg.client);
	expect_context(&world, onward, "mine");

	/* It comes back before its entry has gone. */
	apply(&world, NULL, NULL);
	EXPECT(number_of(&world, "a", &last) == 0 && last == first);
	EXPECT(!strcmp(bytes_of(&world, first), "mine"));
	expect_context(&world, onward, "mine");
	apply(&world, NULL, "mine");
	EXPECT(number_of(&world, "b", &last) == first && last == first);
	EXPECT(map_entries(&world, "contexts") == 1);

	highest = first;
	for (int round = 0; round < ROUNDS; round++) {
		apply(&world, NULL, NULL);
		age(&world);
		apply(&world, NULL, NULL);
		EXPECT(map_entries(&world, "contexts") == 0);
		EXPECT(number_of(&world, "b", &last) == 0 && last == highest, "last %u, not %u",
		       last, highest);
		expect_context(&world, onward, NULL);

		snprintf(text, sizeof(text), "secret of b %d", round);
		apply(&world, NULL, text);
		number = number_of(&world, "b", &last);
		EXPECT(number > highest && last == number, "round %d: %u after %u", round, number,
		       highest);
		EXPECT(!strcmp(bytes_of(&world, number), text));
		highest = number;
		expect_context(&world, onward, NULL);
	}
	/* The first bytes are others by now, too. */
	apply(&world, "mine", NULL);
	EXPECT(number_of(&world, "a", &last) > highest);
	expect_context(&world, onward, NULL);
	world_end(&world);
}
