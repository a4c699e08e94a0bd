// SPDX-License-Identifier: BSD-2-Clause
/*
 * Queries on a socket that is listening, not connected, or still connecting give ENOTCONN; those
 * on a datagram socket are nobody's business but the kernel's.
 */
#include "records_tools.h"

static void expect_all(int descriptor, int wanted, const char *when)
{
	unsigned char buffer[WAYBILL_RECORDS_MAX];

	for (int option = 1; option <= 4; option++) {
		socklen_t size = sizeof(buffer);
		int result = query(descriptor, option, buffer, &size);

		EXPECT(result == wanted && size == sizeof(buffer), "%s, option %d: %s", when,
		       option, result_name(result));
	}
}

/* A socket whose SYN nobody answers: the queue of the listener is full. */
static int connecting_socket(enum family family, uint16_t port)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(family, port, &address);
	int listener = socket_of(family, 0), descriptor;

	EXPECT(!bind(listener, (void *)&address, length) && !listen(listener, 0));
	EXPECT(connect_to(family, port) >= 0);
	descriptor = socket_of(family, SOCK_NONBLOCK);
	EXPECT_RESULT(connect_socket(descriptor, family, port), -EINPROGRESS);
	return descriptor;
}

int main(void)
{
	unsigned char buffer[64];
	struct world world;
	socklen_t size = sizeof(buffer);
	int datagram;

	world_begin(&world, "option_not_connected");
	world_up(&world);
	world_policy(&world, 1, NULL);
	for (enum family family = V4; family < FAMILIES; family++) {
		as_service(&world, 0);
		expect_all(socket_of(family, 0), -ENOTCONN, "not connected");
		expect_all(connecting_socket(family, 8001 + family), -ENOTCONN, "connecting");
		if (family != MAPPED)
			expect_all(listener_of(&world, 0, family, false), -ENOTCONN, "listening");
	}
	datagram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	EXPECT_RESULT(query(datagram, WAYBILL_REDIRECT_INFO, buffer, &size), -ENOTCONN);
	as_root(&world);
	world_end(&world);
}
