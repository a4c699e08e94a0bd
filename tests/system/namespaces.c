// SPDX-License-Identifier: BSD-2-Clause
/*
 * namespaces: a second network namespace with the same addresses and ports. Its clients are not
 * sent to the first one's services; somebody else's listener on the service's port there may
 * exist and gets nothing; when the service listens there as well, connections with equal
 * addresses in both get their own records, and the port is the service's from then on, also while
 * it is down; and a handshake under way in one leaves nothing to a
 * connection with the same addresses in the other.
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

/* Somebody else on the port of service a. */
static int squat(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	int squatter = socket_of(V4, 0), error = 0, one = 1;

	setsockopt(squatter, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	if (bind(squatter, (void *)&address, sizeof(address)) || listen(squatter, 8))
		error = -errno;
	return error ? error : squatter;
}

/* A client with a port of its own choice, so that both namespaces have the same addresses. */
static int client_of(uint16_t port, int flags)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(port) };
	int descriptor = socket_of(V4, flags), one = 1;

	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	inet_pton(AF_INET, "127.0.0.1", &here.sin_addr);
	EXPECT(!bind(descriptor, (void *)&here, sizeof(here)));
	return descriptor;
}

static int dial(uint16_t port)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(V4, port, &address);
	int descriptor = client_of(45000, 0);

	return connect(descriptor, (void *)&address, length) ? -errno : descriptor;
}

/* Handshakes under way to service b, which accepts nobody; the last from port 45001. */
static void begin_handshakes(void)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(V4, 8090, &address);

	for (int i = 0; i < 9; i++) {
		int descriptor =
			i < 8 ? socket_of(V4, SOCK_NONBLOCK) : client_of(45001, SOCK_NONBLOCK);

		connect(descriptor, (void *)&address, length);
	}
	EXPECT(connections_counted(&world) > 0);
}

/* From the same port to the same service, in this namespace, and by nobody's redirection. */
static void dial_directly(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(1)) };
	int descriptor = client_of(45001, 0);

	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	EXPECT(!connect(descriptor, (void *)&address, sizeof(address)), "%s", strerror(errno));
	expect_count("direct", &world.seen[1].direct, 1);
}

/* Of the connections to service a. */
static int port_add(void *data, const struct flow *flow)
{
	int port = ntohs(flow->hop[0]->destination.port);

	*(int *)data += port < 8090 ? port : 0;
	return 0;
}

/* The flows of both namespaces are listed, in whichever of them is asked. */
static void list(void)
{
	struct message message = {};
	int ports = 0;

	EXPECT(!instance_flows(world.instance, port_add, &ports, &message), "%s", message.text);
	EXPECT(ports == 8081 + 8083, "%d", ports);
}

int main(void)
{
	int first, squatter, status;
	pid_t child;

	world_begin(&world, "namespaces");
	world_up(&world);
	world_service(&world, 0, SERVICE_HOLDS);
	world_service(&world, 1, SERVICE_LISTENS);
	EXPECT(!world_apply(
		&world, WORLD_TWO_SERVICES
		"filters:\n"
		"  - { name: a, service: a, match: { remote_port: [ 8080-8089 ] }, action: redirect }\n"
		"  - { name: b, service: b, match: { remote_port: [ 8090 ] }, action: redirect }\n"));
	begin_handshakes();
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
		squatter = squat();
		EXPECT(squatter >= 0, "%s", strerror(-squatter));
		EXPECT(dial(8082) == -ECONNREFUSED);
		close(squatter);
		/* The service, here too. */
		world_service(&world, 0, SERVICE_HOLDS);
		EXPECT(dial(8083) >= 0);
		expect_count("accepted", &world.seen[0].accepted, 1);
		EXPECT(ntohs(world.seen[0].info.original_destination.port) == 8083);
		list();
		world_service(&world, 1, SERVICE_RECORDS);
		dial_directly();
		kill(world.service[1], SIGKILL);
		/* A service has been at home here: the port is its own, whoever else was first. */
		world_service_end(&world, 0);
		EXPECT(squat() == -EACCES);
		EXPECT(counter(&world, COUNT_BIND_REFUSED) == 1);
		other_network();
		squatter = squat();
		EXPECT(squatter >= 0, "%s", strerror(-squatter));
		_exit(0);
	}
	EXPECT(waitpid(child, &status, 0) == child && !status, "the other namespace");
	world_end(&world);
}
