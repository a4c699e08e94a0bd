// SPDX-License-Identifier: BSD-2-Clause
/*
 * records_reuse FAMILY: a socket that was connected and disconnected (connect to AF_UNSPEC) starts
 * anew. A service's onward socket needs the records again; a client's socket names the peer that
 * it has, not the one that it had, whatever it connects to.
 */
#include "records_tools.h"

#include <arpa/inet.h>

#define OTHER_PORT 8100 /* no filter */

static void expect_peer(int descriptor, enum family family, uint16_t port)
{
	struct sockaddr_storage wanted, peer = {};
	socklen_t length = address_of(family, port, &wanted), size = sizeof(peer);

	EXPECT(!getpeername(descriptor, (void *)&peer, &size), "%s", strerror(errno));
	EXPECT(size == length && !memcmp(&peer, &wanted, length), "port %u: it is port %u", port,
	       ntohs(((struct sockaddr_in *)&peer)->sin_port));
}

static void expect_no_peer(int descriptor)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);

	EXPECT(getpeername(descriptor, (void *)&peer, &size) && errno == ENOTCONN);
}

/* The endpoint of service a itself, as somebody who knows of it dials it. */
static void dial_service(int descriptor, enum family family)
{
	struct sockaddr_storage address, peer = {};
	socklen_t length = address_of(family, SERVICE_PORT(0), &address), size = sizeof(peer);

	if (family == V4)
		((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		inet_pton(AF_INET6, family == V6 ? "::1" : "::ffff:127.0.0.1",
			  &((struct sockaddr_in6 *)&address)->sin6_addr);
	EXPECT(!connect(descriptor, (void *)&address, length), "%s", strerror(errno));
	EXPECT(!getpeername(descriptor, (void *)&peer, &size));
	EXPECT(size == length && !memcmp(&peer, &address, length));
}

static void client_starts_anew(struct world *world, int listener, enum family family)
{
	int client, accepted;

	as_application(world);
	client = socket_of(family, 0);
	for (int round = 0; round < 3; round++) {
		EXPECT_RESULT(connect_socket(client, family, SERVER_PORT), 0);
		expect_peer(client, family, SERVER_PORT);
		accepted = accept_from(listener);
		disconnect(client);
		expect_no_peer(client);
		close(accepted);

		EXPECT_RESULT(connect_socket(client, family, OTHER_PORT), 0);
		expect_peer(client, family, OTHER_PORT);
		disconnect(client);

		dial_service(client, family);
		accepted = accept_from(listener);
		as_service(world, 0);
		EXPECT_RESULT(state_of(accepted), -ENOENT);
		as_application(world);
		disconnect(client);
		close(accepted);
	}
	close(client);
}

/* Of the records there is only what is presumed of a, who is taken for the originator. */
static void expect_presumed(int accepted)
{
	unsigned char blob[WAYBILL_RECORDS_MAX];
	struct waybill_records records;
	struct waybill_info info;
	size_t size = records_of(accepted, blob);

	EXPECT_RESULT(waybill_records_decode(blob, size, &records), 0);
	EXPECT(records.hop_count == 2 && records.hops[0].filter == 0 && records.hops[1].filter);
	EXPECT(records.hops[0].flow == 0 && records.hops[0].service == waybill_service_id("a"));
	EXPECT_RESULT(waybill_info_query(accepted, &info), 0);
	EXPECT(info.hop_count == 2 && info.originator.uid == SERVICE_UID(0));
}

static void onward_starts_anew(struct world *world, const int *listener, enum family family)
{
	struct waybill_info info;
	struct leg leg[2];
	uint64_t without;

	redirect_chain(world, 2, listener, family, leg);
	family = family == MAPPED ? V4 : family;
	for (int round = 0; round < 3; round++) {
		as_service(world, 0);
		expect_peer(leg[1].client, family, SERVER_PORT);
		disconnect(leg[1].client);
		expect_no_peer(leg[1].client);
		close(leg[1].accepted);

		/* Without records: b does not hear of a's client. */
		without = counted(world, COUNT_NO_RECORDS);
		EXPECT_RESULT(connect_socket(leg[1].client, family, SERVER_PORT), 0);
		expect_peer(leg[1].client, family, SERVER_PORT);
		EXPECT(counted(world, COUNT_NO_RECORDS) == without + 1);
		as_service(world, 1);
		leg[1].accepted = accept_from(listener[1]);
		expect_presumed(leg[1].accepted);
		close(leg[1].accepted);

		/* With records, put on it again. */
		as_service(world, 0);
		disconnect(leg[1].client);
		EXPECT_RESULT(waybill_forward(leg[0].accepted, leg[1].client), 0);
		EXPECT_RESULT(connect_socket(leg[1].client, family, SERVER_PORT), 0);
		EXPECT(counted(world, COUNT_NO_RECORDS) == without + 1);
		as_service(world, 1);
		leg[1].accepted = accept_from(listener[1]);
		EXPECT_RESULT(waybill_info_query(leg[1].accepted, &info), 0);
		EXPECT(info.hop_count == 2 && info.originator.uid == APPLICATION_UID);
	}
	close(leg[1].accepted);
	close(leg[1].client);
	close(leg[0].accepted);
	close(leg[0].client);
}

int main(int argc, char **argv)
{
	enum family family = argc > 1 && !strcmp(argv[1], "v6")     ? V6 :
			     argc > 1 && !strcmp(argv[1], "mapped") ? MAPPED :
								      V4;
	int listener[2];
	struct world world;

	world_begin(&world, "records_reuse");
	world_up(&world);
	world_policy(&world, 2, NULL);
	for (int i = 0; i < 2; i++)
		listener[i] = listener_of(&world, i, family == V6 ? V6 : V4, false);
	as_root(&world);
	server_listener(family, OTHER_PORT);
	client_starts_anew(&world, listener[0], family);
	onward_starts_anew(&world, listener, family);
	world_end(&world);
}
