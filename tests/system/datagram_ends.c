// SPDX-License-Identifier: BSD-2-Clause
/*
 * A flow ends with its socket, when that is connected elsewhere, and when it was idle; the next
 * datagram begins it anew. One in use, or connected, does not end.
 */
#include "datagram_tools.h"

static struct world world;

static void expect_nothing(const char *when)
{
	static const char *const maps[] = { "flows", "flow_index", "flow_histories" };

	for (int i = 0; i < 3; i++)
		EXPECT(map_entries(&world, maps[i]) == 0, "%s: %d in %s", when,
		       map_entries(&world, maps[i]), maps[i]);
}

/* What the service opened onward is gone with it, too. */
static void service_anew(int i)
{
	if (world.service[i])
		world_service_end(&world, i);
	datagram_service(&world, i, DATAGRAMS_RECORDS);
}

static void with_the_socket(enum family family, unsigned int flows)
{
	int fd;

	/* The socket is ours alone: made after the services, which would inherit it. */
	service_anew(0);
	service_anew(1);
	fd = datagram_socket(family);
	for (unsigned int n = 0; n < flows; n++)
		datagram_check(fd, family, n, "x");
	EXPECT(map_entries(&world, "flows") == (int)flows * 2);
	EXPECT(map_entries(&world, "flow_histories") == (int)flows);
	close(fd);
	EXPECT(map_entries(&world, "flows") == (int)flows, "%d", map_entries(&world, "flows"));
	world_service_end(&world, 0);
	expect_nothing("closed");
	world_service_end(&world, 1);
}

static void connect_away(enum family family)
{
	struct sockaddr_storage to;
	int fd;

	service_anew(0);
	service_anew(1);
	fd = datagram_socket(family);
	for (unsigned int n = 0; n < 5; n++) {
		socklen_t length = datagram_address(family, n, &to);

		EXPECT(!connect(fd, (void *)&to, length));
		EXPECT(map_entries(&world, "flows") == 1, "%d", map_entries(&world, "flows"));
	}
	/* To where nobody redirects. */
	((struct sockaddr_in *)&to)->sin_port = htons(9999);
	EXPECT(!connect(fd, (void *)&to, sizeof(to)));
	expect_nothing("connected away");
	close(fd);
}

static void idle(enum family family)
{
	struct sockaddr_storage to;
	socklen_t length = datagram_address(family, 1, &to);
	int fd, connected;

	service_anew(0);
	service_anew(1);
	fd = datagram_socket(family);
	connected = datagram_socket(family);
	EXPECT(!connect(connected, (void *)&to, length));
	EXPECT(send(connected, "x", 1, 0) == 1);
	datagram_expect(connected, family, 1, "x");
	/* In use: one flow. */
	for (int i = 0; i < 6; i++) {
		datagram_check(fd, family, 0, "again");
		usleep(300000);
	}
	expect_count("flows", &world.seen[0].accepted, 2);
	/* Not in use: another. */
	usleep(1300000);
	datagram_check(fd, family, 0, "anew");
	expect_count("flows", &world.seen[0].accepted, 3);
	expect_count("flows", &world.seen[1].accepted, 3);
	/* The connected one lives as long as it is connected. */
	EXPECT(send(connected, "y", 1, 0) == 1);
	datagram_expect(connected, family, 1, "y");
	EXPECT(world.seen[0].accepted == 3);
	close(fd);
	close(connected);
}

int main(void)
{
	world_begin(&world, "datagram_ends");
	world_up(&world);
	datagram_server(&world);
	datagram_policy(&world, 2, "limits: { datagram_idle: 1s }\n");
	with_the_socket(V4, 1);
	with_the_socket(V4, SOCKET_FLOWS);
	with_the_socket(V6, SOCKET_FLOWS + 1);
	with_the_socket(V4, 200);
	connect_away(V4);
	connect_away(V6);
	idle(V4);
	idle(V6);
	world_end(&world);
}
