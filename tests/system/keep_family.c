// SPDX-License-Identifier: BSD-2-Clause
/*
 * keep_family: a connection to IPv6 comes to its service by IPv4 where it listens there too, and says
 * what it was meant for all the same, also to who asks SO_ORIGINAL_DST with room for it; by IPv6
 * where the service asks for that, where it does not listen by IPv4, and of a socket that cannot.
 */
#include <poll.h>

#include "records_tools.h"

#define SO_ORIGINAL_DST 80 /* of <linux/netfilter_ipv4.h>, which fights with the C library */

static const char policy[] = "version: 1\n"
			     "services:\n"
			     "  - { name: a, weight: 2, endpoint: { tcp: 9001 }, keep_family: %s,\n"
			     "      identity: { cgroup: %%C/s0 } }\n"
			     "filters:\n"
			     "  - { name: a, service: a, action: redirect, match: { remote_port: 8080 } }\n";

static struct world world;
static int listener[2];

/* The family by which a client's connection comes. */
static int comes_by(bool v6only)
{
	struct pollfd wait[2] = { { .fd = listener[V4], .events = POLLIN },
				  { .fd = listener[V6], .events = POLLIN } };
	struct sockaddr_in6 said, original, wanted;
	struct sockaddr_storage to, peer;
	socklen_t size = sizeof(said), length = address_of(V6, SERVER_PORT, &to);
	int client, accepted, one = 1, result;

	as_application(&world);
	client = socket_of(V6, 0);
	if (v6only)
		EXPECT(!setsockopt(client, SOL_IPV6, IPV6_V6ONLY, &one, sizeof(one)));
	EXPECT(!connect(client, (void *)&to, length), "%s", strerror(errno));
	memcpy(&wanted, &to, sizeof(wanted));
	size = sizeof(peer);
	EXPECT(!getpeername(client, (void *)&peer, &size) && !memcmp(&peer, &wanted, size));
	as_service(&world, 0);
	EXPECT(poll(wait, 2, patience(2000)) == 1);
	accepted = accept_from(wait[0].revents ? listener[V4] : listener[V6]);
	size = sizeof(said);
	EXPECT_RESULT(query(accepted, WAYBILL_ORIGINAL_DESTINATION, &said, &size), 0);
	EXPECT(size == sizeof(said) && !memcmp(&said, &wanted, size));
	size = sizeof(original);
	result = getsockopt(accepted, wait[0].revents ? SOL_IP : SOL_IPV6, SO_ORIGINAL_DST,
			    &original, &size);
	EXPECT(!result && size == sizeof(original) && !memcmp(&original, &wanted, size), "%s",
	       strerror(errno));
	/* There is no room for IPv6 in this. */
	size = sizeof(struct sockaddr_in);
	result = getsockopt(accepted, SOL_IP, SO_ORIGINAL_DST, &original, &size);
	EXPECT(result < 0);
	close(accepted);
	close(client);
	return wait[0].revents ? V4 : V6;
}

static void apply(const char *keep)
{
	char text[1024];

	snprintf(text, sizeof(text), policy, keep);
	as_root(&world);
	EXPECT(!world_apply(&world, text));
}

int main(void)
{
	world_begin(&world, "keep_family");
	world_up(&world);
	apply("no");
	listener[V4] = listener_of(&world, 0, V4, false);
	listener[V6] = listener_of(&world, 0, V6, false);
	EXPECT(comes_by(false) == V4);
	EXPECT(comes_by(true) == V6);
	apply("yes");
	for (int i = 0; i < 3; i++)
		EXPECT(comes_by(false) == V6);
	apply("no");
	close(listener[V4]);
	listener[V4] = -1;
	EXPECT(comes_by(false) == V6);
	/* Without a listener by IPv6 it is down for that. */
	close(listener[V6]);
	listener[V4] = listener_of(&world, 0, V4, false);
	as_application(&world);
	EXPECT_RESULT(connect_to(V6, SERVER_PORT), -ECONNREFUSED);
	EXPECT(counted(&world, COUNT_UNCLAIMED) == 0);
	as_root(&world);
	world_end(&world);
}
