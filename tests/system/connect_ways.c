// SPDX-License-Identifier: BSD-2-Clause
/*
 * connect_ways WAY FAMILY: connections made with a nonblocking connect, through io_uring, with
 * TCP Fast Open, and on MPTCP sockets are redirected through two services like any other, and
 * getpeername tells the server's address.
 */
#include "world.h"

#include <fcntl.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <poll.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static int finish(int descriptor)
{
	struct pollfd end = { .fd = descriptor, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = -1;

	EXPECT(poll(&end, 1, patience(5000)) == 1, "connect did not finish");
	EXPECT(!getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size));
	EXPECT(!error, "%s", strerror(error));
	return descriptor;
}

static int by_ring(int descriptor, const struct sockaddr_storage *address, socklen_t length)
{
	struct io_uring_cqe *entry;
	struct io_uring ring;

	if (io_uring_queue_init(4, &ring, 0))
		world_skip("no io_uring here");
	io_uring_prep_connect(io_uring_get_sqe(&ring), descriptor, (void *)address, length);
	EXPECT(io_uring_submit(&ring) == 1);
	EXPECT(!io_uring_wait_cqe(&ring, &entry));
	EXPECT(!entry->res, "%s", strerror(-entry->res));
	io_uring_queue_exit(&ring);
	return descriptor;
}

int main(int argc, char **argv)
{
	enum family family = argc > 2 && !strcmp(argv[2], "v6")     ? V6 :
			     argc > 2 && !strcmp(argv[2], "mapped") ? MAPPED :
								      V4;
	const char *way = argc > 1 ? argv[1] : "nonblocking";
	struct sockaddr_storage address, name;
	socklen_t length = address_of(family, SERVER_PORT, &address), size = sizeof(name);
	int rounds = !strcmp(way, "fastopen") ? 3 : 1, descriptor;
	struct world world;

	world_begin(&world, "connect_ways");
	world_up(&world);
	world_server(&world);
	/* Fast Open: client and server, and data without waiting for a cookie. */
	EXPECT(!system("sysctl -qw net.ipv4.tcp_fastopen=0x607"));
	for (int i = 0; i < 2; i++)
		world_service(&world, i, SERVICE_RECORDS);
	world_policy(&world, 2, NULL);
	for (int round = 1; round <= rounds; round++) {
		if (!strcmp(way, "nonblocking")) {
			descriptor = socket_of(family, SOCK_NONBLOCK);
			EXPECT(connect(descriptor, (void *)&address, length) &&
			       errno == EINPROGRESS);
			finish(descriptor);
		} else if (!strcmp(way, "io_uring")) {
			descriptor = by_ring(socket_of(family, 0), &address, length);
		} else if (!strcmp(way, "fastopen")) {
			descriptor = socket_of(family, 0);
			EXPECT(sendto(descriptor, "fast ", 5, MSG_FASTOPEN, (void *)&address,
				      length) == 5,
			       "%s", strerror(errno));
			EXPECT(recv(descriptor, &name, 5, MSG_WAITALL) == 5);
		} else {
			descriptor = socket(family == V4 ? AF_INET : AF_INET6,
					    SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
			if (descriptor < 0)
				world_skip("no MPTCP here");
			EXPECT(!connect(descriptor, (void *)&address, length), "%s",
			       strerror(errno));
		}
		EXPECT(!fcntl(descriptor, F_SETFL, 0));
		echo_check(descriptor, "hello\n");
		size = sizeof(name);
		EXPECT(!getpeername(descriptor, (void *)&name, &size));
		EXPECT(size == length && !memcmp(&name, &address, length), "the peer's name");
		close(descriptor);
		expect_count("server", &SERVER_SEEN(&world)->accepted, round);
		expect_count("service a", &world.seen[0].accepted, round);
		expect_count("service b", &world.seen[1].accepted, round);
		EXPECT(world.seen[1].info.hop_count == 2);
	}
	world_end(&world);
}
