// SPDX-License-Identifier: BSD-2-Clause
/*
 * A filter without a context: ENODATA for the context, 0 as its size in the info, and everything
 * else is there. With a context of the largest size it is there to the last byte.
 */
#include "records_tools.h"

static const char policy[] =
	"version: 1\n"
	"services:\n"
	"  - { name: a, weight: 300, endpoint: { tcp: 9001 }, identity: { cgroup: %C/s0 } }\n"
	"filters:\n"
	"  - { name: all, service: a, match: { remote_port: [ 8080 ] }, action: redirect";

int main(void)
{
	unsigned char context[WAYBILL_CONTEXT_MAX + 64], records[WAYBILL_RECORDS_MAX];
	char text[4096], large[WAYBILL_CONTEXT_MAX + 1];
	struct waybill_info info;
	socklen_t size;
	struct world world;
	struct leg leg;
	int listener;

	world_begin(&world, "option_no_context");
	world_up(&world);
	snprintf(text, sizeof(text), "%s }\n", policy);
	EXPECT(!world_apply(&world, text));
	listener = listener_of(&world, 0, V4, false);
	redirect_application(&world, 0, listener, V4, &leg);
	for (size = 0; size <= sizeof(context); size += 64) {
		socklen_t told = size;

		EXPECT_RESULT(query(leg.accepted, WAYBILL_REDIRECT_CONTEXT, context, &told),
			      -ENODATA);
		EXPECT(told == size);
	}
	size = 0;
	EXPECT_RESULT(query(leg.accepted, WAYBILL_REDIRECT_CONTEXT, NULL, &size), -ENODATA);
	EXPECT_RESULT(waybill_info_query(leg.accepted, &info), 0);
	EXPECT(info.context_size == 0 && info.state == WAYBILL_REDIRECTED_BY_SELF);
	EXPECT(records_of(leg.accepted, records) == info.records_size);
	close(leg.client);
	close(leg.accepted);

	as_root(&world);
	for (int i = 0; i < WAYBILL_CONTEXT_MAX; i++)
		large[i] = 'A' + i % 26;
	large[WAYBILL_CONTEXT_MAX] = 0;
	snprintf(text, sizeof(text), "%s, context: \"%s\" }\n", policy, large);
	EXPECT(!world_apply(&world, text));
	redirect_application(&world, 0, listener, V4, &leg);
	memset(context, 0xa5, sizeof(context));
	size = sizeof(context);
	EXPECT_RESULT(query(leg.accepted, WAYBILL_REDIRECT_CONTEXT, context, &size), 0);
	EXPECT(size == WAYBILL_CONTEXT_MAX && !memcmp(context, large, size));
	for (size_t i = size; i < sizeof(context); i++)
		EXPECT(context[i] == 0xa5, "byte %zu was written", i);
	as_root(&world);
	world_end(&world);
}
