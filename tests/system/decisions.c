// SPDX-License-Identifier: BSD-2-Clause
/*
 * decisions: a monitor sees each decision, in order, with its reason, and nothing once it has
 * ended; a second monitor is told that there is one.
 */
#include "world.h"

#include <pthread.h>

static struct world world;
static volatile sig_atomic_t stop;
static struct event events[64];
static atomic_int count;

static int take(void *data, const struct event *event)
{
	/* Only the test's own, and its services' onward connects. */
	if (count < 64)
		events[count++] = *event;
	return 0;
}

static const struct monitoring everything = { .each = take };

static void *monitor(void *unused)
{
	struct message message = {};

	EXPECT(!instance_monitor(world.instance, &everything, &stop, &message), "%s", message.text);
	return NULL;
}

/* Of the server's address, whoever has it: the hook comes first. */
static bool bind_refused(enum family family, struct waybill_address *asked)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(family, SERVICE_PORT(0), &address);
	int descriptor = socket_of(family, 0);
	bool refused = bind(descriptor, (void *)&address, length) && errno == EACCES;

	close(descriptor);
	return refused && !waybill_address_from_sockaddr((void *)&address, length, asked);
}

int main(void)
{
	static const enum verdict wanted[] = {
		/* To 8080: a takes it; from a to b; from b on nobody is left. */
		DECISION_REDIRECT,
		DECISION_SEEN,
		DECISION_REDIRECT,
		DECISION_SEEN,
		DECISION_SEEN,
		/* To 8090: blocked. To 8091: permitted. To 7000: no filter. */
		DECISION_BLOCK,
		DECISION_PERMIT,
		DECISION_NO_FILTER,
		/* The port of a, asked for by a stranger. */
		DECISION_BIND_REFUSED,
		DECISION_BIND_REFUSED,
	};
	struct waybill_address asked[2];
	struct instance *second;
	struct message message = {};
	pthread_t thread;
	int descriptor;

	world_begin_two(&world, "decisions");
	EXPECT(!world_apply(
		&world, WORLD_TWO_SERVICES
		"filters:\n"
		"  - { name: yes, service: a, match: { remote_port: [ 8080 ] }, action: redirect }\n"
		"  - { name: yes, service: b, match: { remote_port: [ 8080 ] }, action: redirect }\n"
		"  - { name: no, service: a, match: { remote_port: [ 8090 ] }, action: block }\n"
		"  - { name: pass, service: b, match: { remote_port: [ 8091 ] }, action: permit }\n"));
	pthread_create(&thread, NULL, monitor, NULL);
	usleep(300000);
	EXPECT(!instance_open(world.name, &second, &message), "%s", message.text);
	EXPECT(instance_monitor(second, &everything, &stop, &message) == -EBUSY);
	instance_close(second);

	descriptor = connect_to(V4, SERVER_PORT);
	EXPECT(descriptor >= 0);
	echo_check(descriptor, "watched");
	expect_count("events", &count, 5);
	EXPECT(connect_to(V6, 8090) == -ECONNREFUSED);
	EXPECT(connect_to(V4, 8091) == -ECONNREFUSED);
	EXPECT(connect_to(MAPPED, 7000) == -ECONNREFUSED);
	EXPECT(bind_refused(V4, &asked[0]) && bind_refused(V6, &asked[1]));
	expect_count("events", &count, (int)(sizeof(wanted) / sizeof(*wanted)));
	for (int i = 0; i < count; i++) {
		EXPECT(events[i].decision == wanted[i], "event %d is %s, not %s", i,
		       decision_name(events[i].decision), decision_name(wanted[i]));
		EXPECT(events[i].client.pid && events[i].destination.port);
	}
	EXPECT(events[0].flow && events[2].flow > events[0].flow);
	EXPECT(events[2].hop_count == 1 && events[4].hop_count == 2);
	for (int i = 0; i < 2; i++)
		EXPECT(!memcmp(&events[8 + i].destination, &asked[i], sizeof(asked[i])));
	EXPECT(events[5].filter && events[5].service == policy_service_id("a"));
	stop = 1;
	pthread_join(thread, NULL);
	EXPECT(connect_to(V4, 7000) == -ECONNREFUSED);
	usleep(100000);
	EXPECT(count == (int)(sizeof(wanted) / sizeof(*wanted)));
	EXPECT(counter(&world, COUNT_EVENTS_LOST) == 0);
	world_end(&world);
}
