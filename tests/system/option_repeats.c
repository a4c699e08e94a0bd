// SPDX-License-Identifier: BSD-2-Clause
/*
 * A query consumes nothing: the same answer every time, from eight threads at once, before and
 * after data came and after the client left; and a query does not disturb another option's.
 */
#include "records_tools.h"

#include <pthread.h>

#define THREADS 8
#define ROUNDS 2000

struct answers {
	int accepted;
	unsigned char value[5][WAYBILL_RECORDS_MAX]; /* by option */
	socklen_t size[5];
};

static void ask(int accepted, struct answers *answers)
{
	answers->accepted = accepted;
	for (int option = 1; option <= 4; option++) {
		answers->size[option] = WAYBILL_RECORDS_MAX;
		EXPECT_RESULT(
			query(accepted, option, answers->value[option], &answers->size[option]), 0);
	}
}

static void expect_same(const struct answers *wanted)
{
	static _Thread_local struct answers now;

	ask(wanted->accepted, &now);
	for (int option = 1; option <= 4; option++)
		EXPECT(now.size[option] == wanted->size[option] &&
			       !memcmp(now.value[option], wanted->value[option], now.size[option]),
		       "option %d", option);
}

static void *repeat(void *wanted)
{
	for (int i = 0; i < ROUNDS; i++)
		expect_same(wanted);
	return NULL;
}

int main(void)
{
	static struct answers wanted;
	pthread_t thread[THREADS];
	struct leg leg[2];
	struct world world;
	int listener[2];

	world_begin(&world, "option_repeats");
	world_up(&world);
	world_policy(&world, 2, NULL);
	listener[0] = listener_of(&world, 0, V4, false);
	listener[1] = listener_of(&world, 1, V4, false);
	redirect_chain(&world, 2, listener, V4, leg);
	ask(leg[1].accepted, &wanted);
	expect_same(&wanted);
	for (int i = 0; i < THREADS; i++)
		EXPECT(!pthread_create(&thread[i], NULL, repeat, &wanted));
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	EXPECT(send(leg[1].client, "data", 4, 0) == 4);
	expect_same(&wanted);
	EXPECT(recv(leg[1].accepted, &(char[8]){}, 8, 0) == 4);
	close(leg[1].client);
	EXPECT(recv(leg[1].accepted, &(char[8]){}, 8, 0) == 0);
	expect_same(&wanted);
	/* It was not changed for the one before either. */
	as_service(&world, 0);
	EXPECT_RESULT(state_of(leg[0].accepted), WAYBILL_REDIRECTED_BY_SELF);
	as_root(&world);
	world_end(&world);
}
