// SPDX-License-Identifier: BSD-2-Clause
/*
 * sources: a redirected connection has one of many sources, and gives it back when its socket is
 * used again: then it reaches what it could reach before, and no condition sees what it was given.
 */
#include <fcntl.h>

#include "world.h"

static struct world world;

static void source_of(int descriptor, struct sockaddr_in6 *source)
{
	socklen_t length = sizeof(*source);

	EXPECT(!getsockname(descriptor, (void *)source, &length));
}

/* The third and the last word of an address, in host byte order. */
static uint32_t word(const struct sockaddr_in6 *address, int number)
{
	return ntohl(address->sin6_addr.s6_addr32[number]);
}

static bool is_spread(enum family family, const struct sockaddr_in6 *source)
{
	uint32_t address = family == V4 ?
				   ntohl(((const struct sockaddr_in *)source)->sin_addr.s_addr) :
				   word(source, 3);

	return (family == V4 || word(source, 2) == 0xffff) &&
	       (address & ~CONNECTION_MASK) == CONNECTION_ADDRESS4;
}

static void disconnect(int descriptor)
{
	struct sockaddr unspecified = { .sa_family = AF_UNSPEC };

	EXPECT(!connect(descriptor, &unspecified, sizeof(unspecified)));
}

static void different(enum family family)
{
	struct sockaddr_in6 source[4];
	int descriptor[4];

	for (int i = 0; i < 4; i++) {
		descriptor[i] = connect_to(family, SERVER_PORT);
		EXPECT(descriptor[i] >= 0, "%s", strerror(-descriptor[i]));
		source_of(descriptor[i], &source[i]);
		EXPECT(is_spread(family, &source[i]), "family %d", family);
		for (int j = 0; j < i; j++)
			EXPECT(memcmp(&source[i], &source[j], sizeof(source[i])));
	}
	for (int i = 0; i < 4; i++) {
		echo_check(descriptor[i], "one of many\n");
		close(descriptor[i]);
	}
}

/* Redirected, then direct, then redirected: by one socket. */
static void used_again(enum family family)
{
	int descriptor = connect_to(family, SERVER_PORT);
	struct sockaddr_in6 source;
	struct sockaddr_storage to;
	socklen_t length = address_of(family, 7001, &to);

	EXPECT(descriptor >= 0);
	disconnect(descriptor);
	/* It came to its service by IPv4: the kernel makes no connection by IPv6 of it any more. */
	if (family == V6) {
		EXPECT(connect(descriptor, (void *)&to, length) && errno == EADDRNOTAVAIL, "%s",
		       strerror(errno));
		EXPECT(counter(&world, COUNT_USED_AGAIN) == 1);
		length = address_of(family, SERVER_PORT, &to);
		EXPECT(!connect(descriptor, (void *)&to, length), "%s", strerror(errno));
		echo_check(descriptor, "again\n");
		close(descriptor);
		return;
	}
	EXPECT(!connect(descriptor, (void *)&to, length), "family %d: %s", family, strerror(errno));
	source_of(descriptor, &source);
	disconnect(descriptor);
	/* Would be blocked if the source that it had were its own. */
	length = address_of(family, 7002, &to);
	EXPECT(!connect(descriptor, (void *)&to, length), "family %d: %s", family, strerror(errno));
	disconnect(descriptor);
	length = address_of(family, SERVER_PORT, &to);
	EXPECT(!connect(descriptor, (void *)&to, length), "family %d: %s", family, strerror(errno));
	echo_check(descriptor, "again\n");
	close(descriptor);
	/* And straight from the one to the other. */
	descriptor = connect_to(family, SERVER_PORT);
	disconnect(descriptor);
	length = address_of(family, 7002, &to);
	EXPECT(!connect(descriptor, (void *)&to, length), "family %d: %s", family, strerror(errno));
	close(descriptor);
}

/* What the kernel chose once, on the way to this host, is not in the way to another. */
static void to_another_host(void)
{
	struct sockaddr_in far = { .sin_family = AF_INET, .sin_port = htons(7001) };
	int descriptor = connect_to(V4, SERVER_PORT);
	struct sockaddr_storage to;
	socklen_t length = address_of(V4, 7001, &to);

	EXPECT(!system(
		"ip link add waybill0 type veth peer name waybill1 && ip link set waybill1 up "
		"&& ip link set waybill0 up && ip address add 10.9.9.1/24 dev waybill0"));
	far.sin_addr.s_addr = htonl(0x0a090902);
	EXPECT(descriptor >= 0);
	disconnect(descriptor);
	EXPECT(!connect(descriptor, (void *)&to, length), "%s", strerror(errno));
	disconnect(descriptor);
	EXPECT(!fcntl(descriptor, F_SETFL, O_NONBLOCK));
	EXPECT(connect(descriptor, (void *)&far, sizeof(far)) && errno == EINPROGRESS, "%s",
	       strerror(errno));
	close(descriptor);
}

/* A program may bind a socket that it uses again, and keeps what it chose. */
static void bound_again(void)
{
	struct sockaddr_in own = { .sin_family = AF_INET }, source;
	int descriptor = connect_to(V4, SERVER_PORT), one = 1;
	struct sockaddr_storage to;
	socklen_t length = address_of(V4, 7001, &to), size = sizeof(source);

	own.sin_addr.s_addr = htonl(0x7f00004d);
	EXPECT(descriptor >= 0);
	disconnect(descriptor);
	EXPECT(!setsockopt(descriptor, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)));
	EXPECT(!bind(descriptor, (void *)&own, sizeof(own)), "%s", strerror(errno));
	EXPECT(!connect(descriptor, (void *)&to, length), "%s", strerror(errno));
	EXPECT(!getsockname(descriptor, (void *)&source, &size));
	EXPECT(source.sin_addr.s_addr == own.sin_addr.s_addr);
	close(descriptor);
}

static void listen_at(enum family family, uint16_t port)
{
	struct sockaddr_storage at;
	socklen_t length = address_of(family, port, &at);
	int listener = socket_of(family, 0), error = -1;

	/* The kernel finishes adding an IPv6 address a moment later. */
	for (int try = 0; error && try < 200; try++) {
		error = bind(listener, (void *)&at, length);
		if (error)
			usleep(10000);
	}
	EXPECT(!error && !listen(listener, 64), "%s", strerror(errno));
}

int main(void)
{
	world_begin(&world, "sources");
	world_up(&world);
	world_server(&world);
	world_service(&world, 0, SERVICE_RECORDS);
	for (enum family family = V4; family <= V6; family++) {
		listen_at(family, 7001);
		listen_at(family, 7002);
	}
	EXPECT(!world_apply(
		&world, WORLD_TWO_SERVICES
		"filters:\n"
		"  - { name: all, service: a, match: { remote_port: 8080 }, action: redirect }\n"
		"  - { name: given, service: a, match: { remote_port: 7002, local: [ 127.112.0.0/12, "
		"\"fd57:6179:6269:6c6c::/64\" ] }, action: block }\n"));
	for (enum family family = V4; family < FAMILIES; family++) {
		different(family);
		used_again(family);
	}
	to_another_host();
	bound_again();
	world_end(&world);
}
