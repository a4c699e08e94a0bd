// SPDX-License-Identifier: BSD-2-Clause
/*
 * fallback [user]: three services in every order of weights, of which any set no records. Each sees
 * a connection once, in that order, and then it reaches the server: who sets none counts as having
 * seen it, with all above him. And when a service comes up only while a connection is past it: with
 * records it is asked then; without, it is passed over; and if it sets none itself, those below it
 * are asked once more. No connection ever goes round. "user": services are told by user.
 */
#include "records_tools.h"

#include <poll.h>

#define SERVICES 3
#define SERVER SERVICES /* in place of a service: the connection has arrived */
#define STEPS_MAX 6
#define NOBODY (-1)

static struct world world;
static int listener[SERVICES][2], server[2];
static unsigned int without_records;

/* The services in order of weight; each is passed over while it is down. */
static void apply(const int order[SERVICES])
{
	char text[2048], identity[32];
	int length = snprintf(text, sizeof(text), "version: 1\nservices:\n");

	for (int place = 0; place < SERVICES; place++) {
		snprintf(identity, sizeof(identity), world.by_user ? "user: %d" : "cgroup: %%C/s%d",
			 world.by_user ? SERVICE_UID(order[place]) : order[place]);
		length += snprintf(text + length, sizeof(text) - length,
				   "  - { name: %c, weight: %d, endpoint: { tcp: %d }, "
				   "identity: { %s }, when_down: pass }\n",
				   'a' + order[place], 30 - 10 * place, SERVICE_PORT(order[place]),
				   identity);
	}
	length += snprintf(text + length, sizeof(text) - length, "filters:\n");
	for (int i = 0; i < SERVICES; i++)
		length += snprintf(text + length, sizeof(text) - length,
				   "  - { name: all, service: %c, match: { remote_port: 8080 }, "
				   "action: redirect }\n",
				   'a' + i);
	as_root(&world);
	EXPECT(!world_apply(&world, text));
}

static void listen_as(int service)
{
	for (enum family family = V4; family <= V6; family++)
		listener[service][family] = listener_of(&world, service, family, false);
}

static void end(int service)
{
	close(listener[service][V4]);
	close(listener[service][V6]);
	listener[service][V4] = listener[service][V6] = -1;
}

/* Who got the connection: the one listener to which something has come. */
static int who_got(enum family family, int *accepted)
{
	struct pollfd wait[SERVICES + 1];
	int found = NOBODY;

	/* What goes to IPv6 comes to a service by IPv4. */
	for (int i = 0; i <= SERVICES; i++)
		wait[i] = (struct pollfd){
			.fd = i == SERVER ? server[family == V6] : listener[i][V4],
			.events = POLLIN,
		};
	EXPECT(poll(wait, SERVICES + 1, patience(2000)) == 1, "not one listener has got it");
	for (int i = 0; i <= SERVICES; i++)
		if (wait[i].revents)
			found = i;
	*accepted = accept4(wait[found].fd, NULL, NULL, SOCK_CLOEXEC);
	EXPECT(*accepted >= 0);
	return found;
}

/* What is documented, as a walk: those that are alive, in order, and that do not count as seen. */
static int next_of(const int order[SERVICES], const bool seen[SERVICES], int down)
{
	for (int place = 0; place < SERVICES; place++)
		if (!seen[order[place]] && order[place] != down)
			return order[place];
	return SERVER;
}

/* After a service has connected onward: with records it is added to them, else they begin anew. */
static void see(const int order[SERVICES], bool seen[SERVICES], int service, bool records,
		unsigned int *hops)
{
	if (records) {
		seen[service] = true;
		return;
	}
	memset(seen, 0, SERVICES * sizeof(*seen));
	for (int place = 0; place < SERVICES; place++) {
		seen[order[place]] = true;
		if (order[place] == service)
			break;
	}
	*hops = 1; /* the presumed one */
	without_records++;
}

/* One connection. down: a service that comes up when the first one has got it; or NOBODY. */
static void walk(const int order[SERVICES], unsigned int forget, enum family family, int down)
{
	int socket[STEPS_MAX], accepted[STEPS_MAX], times[SERVICES] = { 0 }, step = 0, got, wanted;
	bool seen[SERVICES] = { false };
	struct waybill_info info;
	unsigned int hops = 0;

	if (down != NOBODY)
		end(down);
	as_application(&world);
	socket[0] = connect_to(family, SERVER_PORT);
	EXPECT(socket[0] >= 0, "%s", result_name(socket[0]));
	for (;; step++) {
		EXPECT(step < STEPS_MAX - 1, "it goes round");
		wanted = next_of(order, seen, step ? NOBODY : down);
		got = who_got(family, &accepted[step]);
		EXPECT(got == wanted, "step %d: %d, not %d (order %d%d%d, forget %x, down %d)",
		       step, got, wanted, order[0], order[1], order[2], forget, down);
		if (got == SERVER)
			break;
		times[got]++;
		if (!step && down != NOBODY)
			listen_as(down);
		as_service(&world, got);
		EXPECT_RESULT(waybill_info_query(accepted[step], &info), 0);
		EXPECT(info.service == waybill_service_id((char[]){ 'a' + got, 0 }));
		EXPECT(info.hop_count == ++hops, "%u hops, not %u", info.hop_count, hops);
		if (forget >> got & 1) {
			socket[step + 1] = connect_to(family, SERVER_PORT);
			EXPECT(socket[step + 1] >= 0, "%s", result_name(socket[step + 1]));
		} else {
			socket[step + 1] = onward_of(&world, got, accepted[step]);
			EXPECT_RESULT(connect_socket(socket[step + 1], family == V6 ? V6 : V4,
						     SERVER_PORT),
				      0);
		}
		see(order, seen, got, !(forget >> got & 1), &hops);
	}
	for (int i = 0; i < SERVICES; i++)
		EXPECT(down == NOBODY ? times[i] == 1 : times[i] <= 2, "%d has seen it %d times", i,
		       times[i]);
	for (; step >= 0; step--) {
		close(socket[step]);
		close(accepted[step]);
	}
}

int main(int argc, char **argv)
{
	static const int orders[][SERVICES] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
						{ 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	unsigned int turn = 0;

	world_begin(&world, "fallback");
	world.by_user = argc > 1 && !strcmp(argv[1], "user");
	world_up(&world);
	for (int i = 0; i < SERVICES; i++)
		listen_as(i);
	as_root(&world);
	server[0] = server_listener(V4, SERVER_PORT);
	server[1] = server_listener(V6, SERVER_PORT);
	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		apply(orders[i]);
		for (unsigned int forget = 0; forget < 1 << SERVICES; forget++)
			for (int down = NOBODY; down < SERVICES; down++)
				walk(orders[i], forget, turn++ % FAMILIES, down);
	}
	EXPECT(counted(&world, COUNT_NO_RECORDS) == without_records);
	as_root(&world);
	world_end(&world);
}
