// SPDX-License-Identifier: BSD-2-Clause
/*
 * A client that is bound to an address of this host that is not of the loopback reaches the service
 * all the same, by TCP and by UDP, and keeps its address; the records say where it wanted to go.
 */
#include "datagram_tools.h"

#include <arpa/inet.h>

#define HERE4 "198.18.66.1"
#define HERE6 "fd67::1"

static struct world world;

/* To our address with any port. */
static void bind_here(int descriptor, enum family family)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	int error;

	inet_pton(AF_INET6, HERE6, &six.sin6_addr);
	inet_pton(AF_INET, HERE4, &four.sin_addr);
	/* The kernel finishes adding an IPv6 address a moment later. */
	for (int try = 0; try < patience(200); try++) {
		error = family == V6 ? bind(descriptor, (void *)&six, sizeof(six)) :
				       bind(descriptor, (void *)&four, sizeof(four));
		if (!error)
			return;
		usleep(10000);
	}
	EXPECT(!error, "%s", strerror(errno));
}

/* Whether it is that address still, with any port. */
static void expect_here(const struct sockaddr_storage *address, enum family family)
{
	const struct sockaddr_in6 *six = (const void *)address;
	const struct sockaddr_in *four = (const void *)address;
	char text[64];

	inet_ntop(address->ss_family,
		  family == V6 ? (const void *)&six->sin6_addr : (const void *)&four->sin_addr,
		  text, sizeof(text));
	EXPECT(!strcmp(text, family == V6 ? HERE6 : HERE4), "%s", text);
}

static void connection(enum family family)
{
	struct sockaddr_storage to, here;
	socklen_t length = address_of(family, SERVER_PORT, &to);
	int descriptor = socket_of(family, 0);

	bind_here(descriptor, family);
	EXPECT(!connect(descriptor, (void *)&to, length), "%s", strerror(errno));
	echo_check(descriptor, "from here\n");
	expect_count("service", &world.seen[0].accepted, 1);
	length = sizeof(here);
	EXPECT(!getsockname(descriptor, (void *)&here, &length));
	expect_here(&here, family);
	expect_here(&world.seen[0].peer, family);
	EXPECT(world.seen[0].info.original_destination.port == htons(SERVER_PORT));
	close(descriptor);
}

static void datagrams(enum family family)
{
	int descriptor = datagram_socket(family);
	struct sockaddr_storage to;
	socklen_t length = datagram_address(family, 3, &to);

	bind_here(descriptor, family);
	for (unsigned int n = 0; n < 3; n++)
		datagram_check(descriptor, family, n, "from here");
	EXPECT(!connect(descriptor, (void *)&to, length), "%s", strerror(errno));
	EXPECT(send(descriptor, "connected", 9, 0) == 9);
	datagram_expect(descriptor, family, 3, "connected");
	expect_count("flows", &world.seen[1].accepted, 4);
	close(descriptor);
}

int main(int argc, char **argv)
{
	enum family family = family_of(argv[1]);

	(void)argc;
	world_begin(&world, "bound_address");
	EXPECT(!system("ip address add " HERE4 "/32 dev lo"));
	EXPECT(!system("ip address add " HERE6 "/128 dev lo nodad"));
	world_up(&world);
	world_server(&world);
	world_service(&world, 0, SERVICE_RECORDS);
	world_policy(&world, 1, NULL);
	connection(family);
	datagram_server(&world);
	datagram_service(&world, 1, DATAGRAMS_RECORDS);
	EXPECT(!world_apply(
		&world,
		"version: 1\n"
		"services:\n"
		"  - { name: b, weight: 1, endpoint: { udp: 9002 }, identity: { cgroup: %C/s1 } }\n"
		"filters:\n"
		"  - { name: b, service: b, match: { remote_port: [ 8080 ] }, action: redirect }\n"));
	datagrams(family);
	world_end(&world);
}
