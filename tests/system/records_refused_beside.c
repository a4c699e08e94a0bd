// SPDX-License-Identifier: BSD-2-Clause
/*
 * records_refused_beside [first]: another engine on the same sockets (`waybill run`), which knows
 * no service of the caller's, does not change what the caller's own engine says of records: good
 * ones pass, and the error is that of who knows the service. "first": it was there before.
 */
#include "records_tools.h"

static const char other_policy[] =
	"version: 1\n"
	"services:\n"
	"  - { name: z, weight: 1, endpoint: { tcp: 9099 }, identity: { user: 60999 } }\n"
	"filters:\n"
	"  - { name: z, service: z, match: { remote_port: [ 9098 ] }, action: redirect }\n";

static struct instance *run_beside(struct world *world)
{
	struct message message = {};
	struct apply_result result;
	struct instance *instance;
	struct policy *policy;

	EXPECT(!instance_create_private(world->cgroup, 0, &instance, &message), "%s", message.text);
	EXPECT(!policy_load_text("other", other_policy, strlen(other_policy), &policy, &message),
	       "%s", message.text);
	EXPECT(!instance_apply(instance, policy, &result, &message), "%s", message.text);
	policy_free(policy);
	return instance;
}

int main(int argc, char **argv)
{
	bool first = argc > 1 && !strcmp(argv[1], "first");
	unsigned char records[WAYBILL_RECORDS_MAX];
	struct instance *beside = NULL;
	struct leg leg[2];
	struct world world;
	int listener[2], onward;
	size_t size;

	world_begin(&world, "records_refused_beside");
	if (first)
		beside = run_beside(&world);
	world_up(&world);
	world_policy(&world, 2, NULL);
	if (!first)
		beside = run_beside(&world);
	for (int i = 0; i < 2; i++)
		listener[i] = listener_of(&world, i, V4, false);
	redirect_chain(&world, 2, listener, V4, leg);
	as_service(&world, 0);
	onward = socket_of(V4, 0);
	size = records_of(leg[0].accepted, records);
	EXPECT_RESULT(set_records(onward, records, size), 0);
	EXPECT_RESULT(state_of(onward), WAYBILL_REDIRECTED_BY_SELF);
	EXPECT_RESULT(set_records(leg[1].client, records, size), -EISCONN);
	EXPECT_RESULT(set_records(onward, records, 4097), -EBADMSG);
	records[40] ^= 1;
	EXPECT_RESULT(set_records(onward, records, size), -EBADMSG);
	as_service(&world, 1);
	records[40] ^= 1;
	EXPECT_RESULT(set_records(onward, records, size), -EACCES);
	as_root(&world);
	instance_close(beside);
	world_end(&world);
}
