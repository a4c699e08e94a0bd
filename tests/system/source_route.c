// SPDX-License-Identifier: BSD-2-Clause
/*
 * source_route v4|v6|mapped: a client whose socket has a source route (LSRR, SSRR) or a routing
 * header, and that a filter would redirect, gets ECONNREFUSED: its packets would not go to the
 * service, but where the route says. Nothing of it leaves. Without the route it is redirected.
 */
#include "records_tools.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/tcp.h>

#define DEVICE "waybill0"
#define NO_FILTER_PORT 8100

/* The next stop of the route, at the other end of a wire, where nobody answers. */
static void make_device(void)
{
	static const char commands[] =
		"{ ip link add " DEVICE " type veth peer name waybill1 &&"
		" ip link set " DEVICE " up && ip link set waybill1 up &&"
		" ip address add 198.51.100.1/24 dev " DEVICE " &&"
		" ip address add fd67::1/64 dev " DEVICE " nodad &&"
		" ip neighbour add 198.51.100.2 lladdr 02:00:00:00:00:02 dev " DEVICE " &&"
		" ip neighbour add fd67::2 lladdr 02:00:00:00:00:02 dev " DEVICE "; }"
		" >/dev/null 2>&1";

	if (system(commands))
		world_skip("no veth device (iproute2)");
}

/* Sees what goes through the device. */
static int watch(void)
{
	struct sockaddr_ll where = { .sll_family = AF_PACKET,
				     .sll_protocol = htons(ETH_P_ALL),
				     .sll_ifindex = if_nametoindex(DEVICE) };
	int descriptor = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));

	EXPECT(descriptor >= 0 && !bind(descriptor, (void *)&where, sizeof(where)), "%s",
	       strerror(errno));
	return descriptor;
}

/* How many TCP segments left until now. */
static int segments(int watcher)
{
	unsigned char packet[256];
	int count = 0;

	usleep(50000);
	for (;;) {
		ssize_t length = recv(watcher, packet, sizeof(packet), MSG_DONTWAIT);

		if (length < 0)
			return count;
		if (length >= 20 && packet[0] >> 4 == 4)
			count += packet[9] == IPPROTO_TCP;
		else if (length > 40 && packet[0] >> 4 == 6)
			count += packet[6] == IPPROTO_TCP ||
				 (packet[6] == IPPROTO_ROUTING && packet[40] == IPPROTO_TCP);
	}
}

static socklen_t far_address(enum family family, uint16_t port, struct sockaddr_storage *address)
{
	socklen_t length = address_of(family, port, address);

	if (family == V4)
		inet_pton(AF_INET, "203.0.113.9", &((struct sockaddr_in *)address)->sin_addr);
	else
		inet_pton(AF_INET6, family == V6 ? "2001:db8::9" : "::ffff:203.0.113.9",
			  &((struct sockaddr_in6 *)address)->sin6_addr);
	return length;
}

/* A socket of the application's with the route on it. IPv4 wants root for that. */
static int routed_socket(struct world *world, enum family family, bool strict)
{
	/* Routing header of type 4: two segments, of which the last is the first to be visited. */
	unsigned char v4[8] = { strict ? 137 : 131, 7, 4, 198, 51, 100, 2, 1 };
	unsigned char v6[40] = { 0, 4, 4, 1, 1 };
	int descriptor, one = 1;

	as_root(world);
	descriptor = socket_of(family, SOCK_NONBLOCK);
	inet_pton(AF_INET6, "fd67::2", v6 + 24);
	if (family == V6 ? setsockopt(descriptor, IPPROTO_IPV6, IPV6_RTHDR, v6, sizeof(v6)) :
			   setsockopt(descriptor, IPPROTO_IP, IP_OPTIONS, v4, sizeof(v4)))
		world_skip("this kernel has no such route");
	setsockopt(descriptor, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &one, sizeof(one));
	as_application(world);
	return descriptor;
}

static void route_off(struct world *world, enum family family, int descriptor)
{
	as_root(world);
	EXPECT(!(family == V6 ? setsockopt(descriptor, IPPROTO_IPV6, IPV6_RTHDR, NULL, 0) :
				setsockopt(descriptor, IPPROTO_IP, IP_OPTIONS, NULL, 0)),
	       "%s", strerror(errno));
	as_application(world);
}

int main(int argc, char **argv)
{
	static const char *const names[FAMILIES] = {
		[V4] = "v4", [V6] = "v6", [MAPPED] = "mapped"
	};
	int listener, watcher, descriptor, refused = 0;
	struct sockaddr_storage address;
	enum family family = V4;
	struct world world;
	socklen_t length;

	while (argc > 1 && family < FAMILIES && strcmp(argv[1], names[family]))
		family++;
	EXPECT(family < FAMILIES);
	world_begin(&world, "source_route");
	make_device();
	world_up(&world);
	world_policy(&world, 1, NULL);
	listener = listener_of(&world, 0, family == MAPPED ? V4 : family, false);
	as_root(&world);
	watcher = watch();

	/* Where no filter is, it goes where the route says. */
	descriptor = routed_socket(&world, family, false);
	length = far_address(family, NO_FILTER_PORT, &address);
	EXPECT(connect(descriptor, (void *)&address, length) && errno == EINPROGRESS, "%s",
	       strerror(errno));
	EXPECT(segments(watcher) > 0, "the route is not taken");
	close(descriptor);

	length = far_address(family, SERVER_PORT, &address);
	for (int strict = 0; strict < (family == V6 ? 1 : 2); strict++) {
		segments(watcher);
		descriptor = routed_socket(&world, family, strict);
		EXPECT(connect(descriptor, (void *)&address, length) && errno == ECONNREFUSED, "%s",
		       strerror(errno));
		EXPECT(counted(&world, COUNT_SOURCE_ROUTE) == (uint64_t)++refused);
		EXPECT(sendto(descriptor, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (void *)&address,
			      length) < 0 &&
			       errno == ECONNREFUSED,
		       "%s", strerror(errno));
		EXPECT(counted(&world, COUNT_SOURCE_ROUTE) == (uint64_t)++refused);
		EXPECT(segments(watcher) == 0, "something left");
		EXPECT(counted(&world, COUNT_REDIRECTED) == (uint64_t)strict);

		route_off(&world, family, descriptor);
		EXPECT(connect(descriptor, (void *)&address, length) && errno == EINPROGRESS, "%s",
		       strerror(errno));
		as_service(&world, 0);
		EXPECT_RESULT(state_of(accept_from(listener)), WAYBILL_REDIRECTED_BY_SELF);
		EXPECT(segments(watcher) == 0, "something left");
	}
	EXPECT(counted(&world, COUNT_SOURCE_ROUTE) == (uint64_t)refused);
	world_end(&world);
}
