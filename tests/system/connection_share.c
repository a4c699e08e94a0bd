// SPDX-License-Identifier: BSD-2-Clause
/*
 * connection_share: a user has no more connections than it leaves for the others, also if it
 * completes no handshake, and is told when that is so; another user's connections meanwhile have
 * their records. What was the greedy one's is anybody's when its sockets are closed, and nobody waits
 * for that.
 */
#include "records_tools.h"

#define ROOM 1024
#define SHARE (ROOM / 2)
#define OTHER_USER (APPLICATION_UID + 1)

static const char policy[] = WORLD_TWO_SERVICES
	"filters:\n"
	"  - { name: a, service: a, action: redirect, match: { remote_port: 8080 } }\n"
	"  - { name: b, service: b, action: redirect, match: { remote_port: 8081 } }\n";

static int greedy[ROOM];

static void become_other(struct world *world)
{
	as_application(world);
	EXPECT(!setresuid(0, 0, 0) && !setresgid(OTHER_USER, OTHER_USER, 0) &&
	       !setresuid(OTHER_USER, OTHER_USER, 0));
}

/* A connection through service b, with records. */
static void expect_records(struct world *world, int listener, uid_t user)
{
	struct waybill_info info;
	int client = socket_of(V4, 0), accepted;

	EXPECT_RESULT(connect_socket(client, V4, SERVER_PORT + 1), 0);
	as_service(world, 1);
	accepted = accept_from(listener);
	EXPECT_RESULT(waybill_info_query(accepted, &info), 0);
	EXPECT(info.state == WAYBILL_REDIRECTED_BY_SELF && info.client.uid == user, "user %u",
	       info.client.uid);
	close(accepted);
	close(client);
}

/* Connections to a service whose backlog is full: most get no answer. */
static int open_all(void)
{
	int opened = 0, error;

	for (; opened < ROOM; opened++) {
		greedy[opened] = socket_of(V4, SOCK_NONBLOCK);
		error = connect_socket(greedy[opened], V4, SERVER_PORT);
		if (error == -EAGAIN)
			break;
		EXPECT(!error || error == -EINPROGRESS, "%s", result_name(error));
	}
	return opened;
}

int main(void)
{
	struct world world;
	int listener, opened;

	world_begin(&world, "connection_share");
	world.connections = ROOM;
	world_up(&world);
	EXPECT(!world_apply(&world, policy));
	listener_of(&world, 0, V4, false);
	listener = listener_of(&world, 1, V4, false);

	as_application(&world);
	opened = open_all();
	EXPECT(opened >= SHARE - 1 && opened <= SHARE, "%d", opened);
	EXPECT(counted(&world, COUNT_CONNECTIONS_FULL) == 1);

	for (int i = 0; i < 300; i++) {
		become_other(&world);
		expect_records(&world, listener, OTHER_USER);
	}

	as_application(&world);
	for (int i = 0; i <= opened; i++)
		close(greedy[i]);
	/* What nobody has accepted is left alone for a moment. */
	usleep(150000);
	expect_records(&world, listener, APPLICATION_UID);
	for (int i = 0; i < 2 * ROOM; i++) {
		as_application(&world);
		expect_records(&world, listener, APPLICATION_UID);
	}
	EXPECT(counted(&world, COUNT_UNCLAIMED) == 0);
	as_root(&world);
	world_end(&world);
}
