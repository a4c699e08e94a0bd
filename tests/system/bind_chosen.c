// SPDX-License-Identifier: BSD-2-Clause
/*
 * bind_chosen: a service's port that the kernel chooses, for a socket that asks for none. A stranger
 * is refused it, and counted; the service gets it. Any other port is anybody's.
 */
#include "records_tools.h"

static struct world world;

static void choose_from(uint16_t first, uint16_t last)
{
	FILE *range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "we");

	EXPECT(range && fprintf(range, "%d %d", first, last) > 0 && !fclose(range), "%s",
	       strerror(errno));
}

/* The port, or a negative errno. */
static int port_of_bind(int family, int type)
{
	struct sockaddr_storage address = { .ss_family = family };
	socklen_t length =
		family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	int descriptor = socket(family, type | SOCK_CLOEXEC, 0), port;

	EXPECT(descriptor >= 0);
	if (bind(descriptor, (void *)&address, length))
		port = -errno;
	else if (getsockname(descriptor, (void *)&address, &length))
		port = -errno;
	else
		port = ntohs(((struct sockaddr_in *)&address)->sin_port);
	close(descriptor);
	return port;
}

int main(void)
{
	static const int families[] = { AF_INET, AF_INET6 }, types[] = { SOCK_STREAM, SOCK_DGRAM };
	uint64_t refused = 0;

	world_begin(&world, "bind_chosen");
	world_up(&world);
	EXPECT(!world_apply(
		&world, "version: 1\nservices:\n"
			"  - { name: a, weight: 1, endpoint: { tcp: 9001, udp: 9001 }, identity: "
			"{ cgroup: %C/s0 } }\n"
			"filters: []\n"));
	for (int i = 0; i < 4; i++) {
		int family = families[i / 2], type = types[i % 2];

		as_root(&world);
		choose_from(SERVICE_PORT(0), SERVICE_PORT(0));
		as_application(&world);
		EXPECT_RESULT(port_of_bind(family, type), -EACCES);
		EXPECT(counted(&world, COUNT_BIND_REFUSED) == ++refused);
		as_service(&world, 0);
		EXPECT_RESULT(port_of_bind(family, type), SERVICE_PORT(0));
		as_root(&world);
		choose_from(SERVICE_PORT(1), SERVICE_PORT(1));
		as_application(&world);
		EXPECT_RESULT(port_of_bind(family, type), SERVICE_PORT(1));
	}
	as_root(&world);
	EXPECT(counted(&world, COUNT_BIND_REFUSED) == refused);
	world_end(&world);
}
