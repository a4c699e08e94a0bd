// SPDX-License-Identifier: BSD-2-Clause
/*
 * The longest decision there is, on a connection that as many services as there may be would see,
 * if they were not down, while the policy is swapped: it begins anew, and no connection is refused.
 */
#include <pthread.h>

#include "world.h"

#define SECONDS 5

static struct world world;
static atomic_int stop;
static atomic_long connected, refused, swaps;

static struct policy *policy(int hops)
{
	char path[] = "/tmp/waybill-test-XXXXXX";
	struct message message = {};
	struct policy *result;
	FILE *file = fdopen(mkstemp(path), "w");

	fprintf(file, "version: 1\nlimits: { unheard: redirect, hops: %d }\nservices:\n", hops);
	for (int i = 0; i < POLICY_SERVICES_MAX; i++)
		fprintf(file,
			"  - { name: s%d, weight: %d, endpoint: { tcp: %d }, identity: { user: %d "
			"}, when_down: pass }\n",
			i, 1000 - i, 20001 + i, 60001 + i);
	fprintf(file, "filters:\n");
	for (int i = 0; i < POLICY_SERVICES_MAX; i++)
		fprintf(file,
			"  - { name: all, service: s%d, match: { remote_port: [ %d ] }, action: "
			"redirect }\n",
			i, SERVER_PORT);
	fclose(file);
	EXPECT(!policy_load(path, &result, &message), "%s", message.text);
	unlink(path);
	return result;
}

static void apply(const struct policy *policy)
{
	struct apply_result result;
	struct message message;

	EXPECT(!instance_apply(world.instance, policy, &result, &message), "%s", message.text);
}

static void *connect_on(void *unused)
{
	struct linger reset = { .l_onoff = 1 };

	while (!stop) {
		int descriptor = connect_to(V4, SERVER_PORT);

		if (descriptor < 0) {
			refused++;
			continue;
		}
		connected++;
		setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(descriptor);
	}
	return unused;
}

int main(void)
{
	struct policy *policies[2];
	pthread_t threads[2];
	time_t end;

	world_begin(&world, "swap_long");
	world_up(&world);
	world_server(&world);
	for (int i = 0; i < 2; i++)
		policies[i] = policy(4 + i);
	apply(policies[0]);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, connect_on, NULL);
	for (end = time(NULL) + SECONDS; time(NULL) < end; swaps++)
		apply(policies[swaps % 2]);
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EXPECT(connected > 100 && swaps > 10, "%ld connected, %ld swaps", connected, swaps);
	EXPECT(!refused && counter(&world, COUNT_BROKEN) == 0, "%ld of %ld refused, %ld swaps",
	       refused, connected, swaps);
	for (int i = 0; i < 2; i++)
		policy_free(policies[i]);
	world_end(&world);
}
