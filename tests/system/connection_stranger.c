// SPDX-License-Identifier: BSD-2-Clause
/*
 * connection_stranger: a process outside of the instance's cgroup, whom no hook sees, binds the
 * address of another's connection, and its port too when its client is gone, and connects to the
 * service. He has no record, whether the client lives, is reset, or never got through; and each
 * client keeps its own.
 */
#include <fcntl.h>
#include <netinet/tcp.h>

#include "records_tools.h"

static struct world world;

/* The test has no privilege otherwise; moving about takes it. */
static void as_outsider(void)
{
	char path[512];
	int descriptor;

	as_root(&world);
	snprintf(path, sizeof(path), "%s/cgroup.procs", world.mount);
	descriptor = open(path, O_WRONLY);
	EXPECT(descriptor >= 0 && write(descriptor, "0", 1) == 1, "%s: %s", path, strerror(errno));
	close(descriptor);
}

/* From an address and port, or that address and any port, to the service; with a byte. */
static int dial(struct sockaddr_in from, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	int descriptor, one = 1;

	as_outsider();
	descriptor = socket_of(V4, 0);
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	from.sin_port = port;
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT(!bind(descriptor, (void *)&from, sizeof(from)), "%s", strerror(errno));
	EXPECT(!connect(descriptor, (void *)&to, sizeof(to)), "%s", strerror(errno));
	EXPECT(send(descriptor, "x", 1, 0) == 1);
	return descriptor;
}

static int client(struct sockaddr_in *source, uint16_t port)
{
	socklen_t size = sizeof(*source);
	int descriptor;

	as_application(&world);
	descriptor = connect_to(V4, port);
	EXPECT(descriptor >= 0, "%s", result_name(descriptor));
	EXPECT(!getsockname(descriptor, (void *)source, &size));
	EXPECT((ntohl(source->sin_addr.s_addr) & ~CONNECTION_MASK) == CONNECTION_ADDRESS4);
	return descriptor;
}

static void expect_nothing(int listener)
{
	int accepted;

	as_service(&world, 0);
	accepted = accept_from(listener);
	EXPECT_RESULT(state_of(accepted), -ENOENT);
	close(accepted);
}

static int expect_own(int listener, uint16_t port)
{
	struct sockaddr_in said;
	socklen_t size = sizeof(said);
	int accepted;

	as_service(&world, 0);
	accepted = accept_from(listener);
	EXPECT_RESULT(query(accepted, WAYBILL_ORIGINAL_DESTINATION, &said, &size), 0);
	EXPECT(ntohs(said.sin_port) == port, "%u", ntohs(said.sin_port));
	return accepted;
}

int main(void)
{
	struct linger reset = { .l_onoff = 1 };
	struct sockaddr_in source;
	int listener, one = 1, own, stranger, accepted;

	world_begin(&world, "connection_stranger");
	world_up(&world);
	world_policy(&world, 1, NULL);
	listener = listener_of(&world, 0, V4, false);

	/* While the client lives, before and after it is accepted. */
	own = client(&source, 8081);
	stranger = dial(source, 0);
	accepted = expect_own(listener, 8081);
	expect_nothing(listener);
	close(stranger);
	stranger = dial(source, 0);
	expect_nothing(listener);
	close(stranger);

	/* When it is gone, and its service still has it. */
	setsockopt(own, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(own);
	stranger = dial(source, source.sin_port);
	expect_nothing(listener);
	close(stranger);
	close(accepted);
	stranger = dial(source, source.sin_port);
	expect_nothing(listener);
	close(stranger);

	/* When its handshake never came to an end: the service waits for the first byte. */
	EXPECT(!setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof(one)));
	for (int known = 0; known < 2; known++) {
		own = client(&source, 8082);
		setsockopt(own, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(own);
		stranger = dial(source, known ? source.sin_port : 0);
		expect_nothing(listener);
		close(stranger);
	}
	/* Nor by the address and port that a client had bound itself. */
	as_application(&world);
	own = socket_of(V4, 0);
	source = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(41007) };
	source.sin_addr.s_addr = htonl(0x7f000009);
	setsockopt(own, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	EXPECT(!bind(own, (void *)&source, sizeof(source)));
	EXPECT_RESULT(connect_socket(own, V4, 8082), 0);
	setsockopt(own, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(own);
	stranger = dial(source, source.sin_port);
	expect_nothing(listener);
	close(stranger);

	own = client(&source, 8083);
	EXPECT(send(own, "x", 1, 0) == 1);
	close(expect_own(listener, 8083));
	close(own);
	as_root(&world);
	world_end(&world);
}
