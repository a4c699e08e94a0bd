// SPDX-License-Identifier: BSD-2-Clause
/*
 * decisions_wanted: a monitor that wants those of a service, of a kind, of a user, gets these and
 * no others; and of a flood no more than so many a second, is told how many were left out, and has
 * lost none.
 */
#include "world.h"

#include <pthread.h>

#define FLOOD 300
#define FLOOD_RATE 5

static struct world world;
static volatile sig_atomic_t stop;
static struct event events[512];
static atomic_int count;
static uint64_t left_out, lost;

static int take(void *data, const struct event *event)
{
	EXPECT(count < 512);
	events[count++] = *event;
	return 0;
}

static void missed(void *data, uint64_t now_left_out, uint64_t now_lost)
{
	left_out += now_left_out;
	lost += now_lost;
}

static void *monitor(void *wanted)
{
	struct message message = {};

	EXPECT(!instance_monitor(world.instance, wanted, &stop, &message), "%s", message.text);
	return NULL;
}

static int refused(void *unused)
{
	return connect_to(V4, 7000) == -ECONNREFUSED && connect_to(V6, 8090) == -ECONNREFUSED;
}

/* The same traffic for each wish. Returns how many events came. */
static int watched(struct monitoring *wanted, int least)
{
	pthread_t thread;
	int descriptor;

	wanted->each = take;
	wanted->missed = missed;
	stop = 0;
	count = 0;
	pthread_create(&thread, NULL, monitor, wanted);
	usleep(300000);
	descriptor = connect_to(V4, SERVER_PORT);
	EXPECT(descriptor >= 0);
	echo_check(descriptor, "watched");
	close(descriptor);
	EXPECT(refused(NULL));
	EXPECT(world_as(&world, "app", APPLICATION_UID, refused, NULL) == 1);
	for (int i = 0; count < least && i < patience(200); i++)
		usleep(10000);
	stop = 1;
	pthread_join(thread, NULL);
	EXPECT(!left_out && !lost);
	return count;
}

static void flood(void)
{
	struct monitoring wanted = { .rate = FLOOD_RATE, .each = take, .missed = missed };
	uint64_t begin, end, before = counter(&world, COUNT_EVENTS_LEFT_OUT);
	pthread_t thread;
	int most;

	stop = 0;
	count = 0;
	pthread_create(&thread, NULL, monitor, &wanted);
	usleep(300000);
	begin = boot_time();
	for (int i = 0; i < FLOOD; i++)
		EXPECT(connect_to(V4, 7000) == -ECONNREFUSED);
	end = boot_time();
	usleep(100000);
	stop = 1;
	pthread_join(thread, NULL);
	most = FLOOD_RATE * (end / 1000000000 - begin / 1000000000 + 1);
	EXPECT(count >= FLOOD_RATE && count <= most, "%d of %d", count, most);
	EXPECT(!lost && left_out == (uint64_t)(FLOOD - count), "%d and %d left out", count,
	       (int)left_out);
	EXPECT(counter(&world, COUNT_EVENTS_LEFT_OUT) - before == left_out);
}

int main(void)
{
	uint32_t b = policy_service_id("b");

	world_begin_two(&world, "decisions-wanted");
	EXPECT(!world_apply(
		&world, WORLD_TWO_SERVICES
		"filters:\n"
		"  - { name: yes, service: a, match: { remote_port: [ 8080 ] }, action: redirect }\n"
		"  - { name: yes, service: b, match: { remote_port: [ 8080 ] }, action: redirect }\n"
		"  - { name: no, service: b, match: { remote_port: [ 8090 ] }, action: block }\n"));

	/* Redirected to a, seen by a, to b, seen by both; and two refused for each of the users. */
	EXPECT(watched(&(struct monitoring){ .rate = 1000000 }, 9) == 9, "%d", count);
	EXPECT(watched(&(struct monitoring){ .service = b }, 4) == 4, "%d", count);
	for (int i = 0; i < count; i++)
		EXPECT(events[i].service == b);
	EXPECT(watched(&(struct monitoring){ .decisions =
						     1 << DECISION_BLOCK | 1 << DECISION_REDIRECT },
		       4) == 4,
	       "%d", count);
	for (int i = 0; i < count; i++)
		EXPECT(events[i].decision == DECISION_BLOCK ||
		       events[i].decision == DECISION_REDIRECT);
	EXPECT(watched(&(struct monitoring){ .by_user = true, .user = APPLICATION_UID }, 2) == 2,
	       "%d", count);
	for (int i = 0; i < count; i++)
		EXPECT(events[i].client.uid == APPLICATION_UID);
	EXPECT(watched(&(struct monitoring){ .by_user = true,
					     .user = APPLICATION_UID,
					     .service = b,
					     .decisions = 1 << DECISION_BLOCK },
		       1) == 1);
	flood();
	world_end(&world);
}
