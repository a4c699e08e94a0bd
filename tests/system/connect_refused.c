// SPDX-License-Identifier: BSD-2-Clause
/*
 * connect gives ECONNREFUSED, counted, when a filter blocks, and when a service is down whose
 * policy then blocks, at once and not after a timeout; to the application as to a service,
 * blocking, nonblocking and through the library. With when_down: pass the connection goes on.
 */
#include "records_tools.h"

static const char *const policy =
	"version: 1\n"
	"services:\n"
	"  - { name: a, weight: 300, endpoint: { tcp: 9001 }, identity: { cgroup: %C/s0 } }\n"
	"  - { name: b, weight: 200, endpoint: { tcp: 9002 }, identity: { cgroup: %C/s1 },\n"
	"      when_down: block }\n"
	"  - { name: c, weight: 100, endpoint: { tcp: 9003 }, identity: { cgroup: %C/s2 },\n"
	"      when_down: pass }\n"
	"filters:\n"
	"  - { name: a, service: a, match: { remote_port: [ 8080-8082 ] }, action: redirect }\n"
	"  - { name: none, service: b, match: { remote_port: [ 8081, 8091 ] }, action: block }\n"
	"  - { name: b, service: b, match: { remote_port: [ 8082, 8092 ] }, action: redirect }\n"
	"  - { name: c, service: c, match: { remote_port: [ 8080-8099 ] }, action: redirect }\n";

static const char *const policy_of_c =
	"version: 1\n"
	"services:\n"
	"  - { name: c, weight: 100, endpoint: { tcp: 9003 }, identity: { cgroup: %C/s2 },\n"
	"      when_down: pass }\n"
	"filters:\n"
	"  - { name: c, service: c, match: { remote_port: [ 8080 ] }, action: redirect }\n";

static void expect_refused(struct world *world, enum family family, uint16_t port,
			   enum counter counter)
{
	uint64_t before = counted(world, counter);
	int client = socket_of(family, 0), nonblocking = socket_of(family, SOCK_NONBLOCK);

	EXPECT_RESULT(connect_socket(client, family, port), -ECONNREFUSED);
	EXPECT_RESULT(connect_socket(client, family, port), -ECONNREFUSED);
	EXPECT_RESULT(connect_socket(nonblocking, family, port), -ECONNREFUSED);
	EXPECT(counted(world, counter) == before + 3);
	close(client);
	close(nonblocking);
}

/* a's client asked for the port, and a goes on with records. */
static void expect_onward_refused(struct world *world, int listener, enum family family,
				  uint16_t port, enum counter counter)
{
	uint64_t before = counted(world, counter);
	struct leg leg;

	as_application(world);
	leg.client = socket_of(family, 0);
	EXPECT_RESULT(connect_socket(leg.client, family, port), 0);
	as_service(world, 0);
	leg.accepted = accept_from(listener);
	EXPECT_RESULT(waybill_connect_onward(leg.accepted, 0), -ECONNREFUSED);
	EXPECT_RESULT(waybill_connect_onward(leg.accepted, SOCK_NONBLOCK), -ECONNREFUSED);
	EXPECT(counted(world, counter) == before + 2);
	close(leg.accepted);
	close(leg.client);
}

int main(void)
{
	struct world world;
	int listener, client;

	world_begin(&world, "connect_refused");
	world_up(&world);
	world_server(&world);
	EXPECT(!world_apply(&world, policy));
	for (enum family family = V4; family < FAMILIES; family++) {
		listener = listener_of(&world, 0, family == MAPPED ? V4 : family, false);
		as_application(&world);
		expect_refused(&world, family, 8091, COUNT_BLOCKED);
		expect_refused(&world, family, 8092, COUNT_DOWN_BLOCKED);
		expect_onward_refused(&world, listener, family, 8081, COUNT_BLOCKED);
		expect_onward_refused(&world, listener, family, 8082, COUNT_DOWN_BLOCKED);

		/* a died: unless its filter says otherwise, that blocks. */
		close(listener);
		as_application(&world);
		expect_refused(&world, family, 8080, COUNT_DOWN_BLOCKED);
	}
	/* c alone: it is down, which does not matter. */
	as_root(&world);
	EXPECT(!world_apply(&world, policy_of_c));
	as_application(&world);
	client = connect_to(V4, SERVER_PORT);
	EXPECT(client >= 0, "%s", result_name(client));
	echo_check(client, "the server\n");
	EXPECT(counted(&world, COUNT_DOWN_PASSED) == 1);
	as_root(&world);
	world_end(&world);
}
