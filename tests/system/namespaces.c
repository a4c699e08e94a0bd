// SPDX-License-Identifier: BSD-2-Clause
/*
 * namespaces: a second network namespace with the same addresses and ports. Its clients are not
 * sent to the first one's services; somebody else's listener on the service's port there may
 * exist and gets nothing; and when the service listens there as well, connections with equal
 * addresses in both get their own records.
 */
#include "world.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

static struct world world;

static void other_network(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int descriptor;

	EXPECT(!unshare(CLONE_NEWNET));
	descriptor = socket(AF_INET, SOCK_DGRAM, 0);
	EXPECT(!ioctl(descriptor, SIOCSIFFLAGS, &request));
	close(descriptor);
}

/* A client with a port of its own choice, so that both namespaces have the same addresses. */
static int dial(uint16_t port)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(45000) };
	struct sockaddr_storage address;
	socklen_t length = address_of(V4, port, &address);
	int descriptor = socket_of(V4, 0), one = 1;

	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	inet_pton(AF_INET, "127.0.0.1", &here.sin_addr);
	EXPECT(!bind(descriptor, (void *)&here, sizeof(here)));
	return connect(descriptor, (void *)&address, length) ? -errno : descriptor;
}

int main(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	int first, squatter, status;
	pid_t child;

	world_begin(&world, "namespaces");
	world_up(&world);
	world_service(&world, 0, SERVICE_HOLDS);
	world_policy(&world, 1, NULL);
	first = dial(8081);
	EXPECT(first >= 0, "%s", strerror(-first));
	expect_count("accepted", &world.seen[0].accepted, 1);

	child = fork();
	if (!child) {
		other_network();
		/* Nobody here: the service is down, and its policy says block. */
		EXPECT(dial(8082) == -ECONNREFUSED);
		EXPECT(counter(&world, COUNT_DOWN_BLOCKED) == 1);
		/* The port is free here, and worth nothing to whoever takes it. */
		squatter = socket_of(V4, 0);
		inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
		EXPECT(!bind(squatter, (void *)&address, sizeof(address)), "%s", strerror(errno));
		EXPECT(!listen(squatter, 8));
		EXPECT(dial(8082) == -ECONNREFUSED);
		close(squatter);
		/* The service, here too. */
		world_service(&world, 0, SERVICE_HOLDS);
		EXPECT(dial(8083) >= 0);
		expect_count("accepted", &world.seen[0].accepted, 1);
		EXPECT(ntohs(world.seen[0].info.original_destination.port) == 8083);
		kill(world.service[0], SIGKILL);
		_exit(0);
	}
	EXPECT(waitpid(child, &status, 0) == child && !status, "the other namespace");
	world_end(&world);
}
