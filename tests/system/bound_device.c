// SPDX-License-Identifier: BSD-2-Clause
/*
 * bound_device: a client that is bound to a device other than lo (SO_BINDTODEVICE) cannot reach a
 * service on loopback: for it the service is down, at once, and it never hangs. "when_down: block"
 * gives ECONNREFUSED, "when_down: pass" lets it go through its device. One that is bound to lo is
 * redirected.
 */
#include "records_tools.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

#define DEVICE "waybill0"

static void echo_all(int listener)
{
	char buffer[64];

	for (;;) {
		int accepted = accept(listener, NULL, NULL);
		ssize_t count;

		while ((count = recv(accepted, buffer, sizeof(buffer), 0)) > 0)
			if (send(accepted, buffer, count, MSG_NOSIGNAL) < 0)
				break;
		close(accepted);
	}
}

/* A server in a network namespace of its own, at the other end of the device. */
static void start_peer(struct world *world)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(SERVER_PORT) };
	int parent[2], child[2], listener;
	pid_t test = getpid(), peer;
	char text[128], byte;

	EXPECT(!pipe(parent) && !pipe(child));
	peer = fork();
	EXPECT(peer >= 0);
	if (!peer) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != test)
			_exit(1);
		alarm(0);
		close(parent[1]);
		world_enter(world, "other");
		if (unshare(CLONE_NEWNET) || write(child[1], "n", 1) != 1 ||
		    read(parent[0], &byte, 1) != 1 ||
		    system("ip link set lo up && ip link set waybill1 up &&"
			   " ip address add 198.51.100.2/24 dev waybill1 &&"
			   " ip address add fd67::2/64 dev waybill1 nodad"))
			_exit(1);
		listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(listener, (void *)&address, sizeof(address)) || listen(listener, 8) ||
		    write(child[1], "l", 1) != 1)
			_exit(1);
		echo_all(listener);
	}
	close(child[1]);
	close(parent[0]);
	EXPECT(read(child[0], &byte, 1) == 1);
	snprintf(text, sizeof(text), "ip link set waybill1 netns %d", peer);
	EXPECT(!system(text) && write(parent[1], "w", 1) == 1);
	EXPECT(!system("ip link set " DEVICE " up && ip address add 198.51.100.1/24 dev " DEVICE
		       " && ip address add fd67::1/64 dev " DEVICE " nodad"));
	EXPECT(read(child[0], &byte, 1) == 1, "the other end is not there");
}

/* A socket that is bound to a device, which does not wait. */
static int bound_socket(enum family family, const char *device)
{
	int descriptor = socket_of(family, SOCK_NONBLOCK);

	EXPECT(!setsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, device, strlen(device)), "%s",
	       strerror(errno));
	return descriptor;
}

/* What a connect to the peer comes to within two seconds: 0 or a negative errno. */
static int connect_peer(int descriptor, enum family family)
{
	static const char *const text[FAMILIES] = {
		[V4] = "198.51.100.2", [V6] = "fd67::2", [MAPPED] = "::ffff:198.51.100.2"
	};
	struct pollfd wait = { .fd = descriptor, .events = POLLOUT };
	struct sockaddr_storage address;
	socklen_t length = address_of(family, SERVER_PORT, &address), size = sizeof(int);
	int error;

	inet_pton(address.ss_family, text[family],
		  family == V4 ? (void *)&((struct sockaddr_in *)&address)->sin_addr :
				 (void *)&((struct sockaddr_in6 *)&address)->sin6_addr);
	if (!connect(descriptor, (void *)&address, length))
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	if (poll(&wait, 1, 2000) != 1)
		return -ETIMEDOUT;
	EXPECT(!getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size));
	return -error;
}

static void wait_and_check(int descriptor, const char *text)
{
	EXPECT(!fcntl(descriptor, F_SETFL, 0));
	echo_check(descriptor, text);
	close(descriptor);
}

int main(void)
{
	struct world world;
	int descriptor;

	world_begin(&world, "bound_device");
	if (system("ip link add " DEVICE " type veth peer name waybill1 2>/dev/null"))
		world_skip("no veth device (iproute2)");
	start_peer(&world);
	world_up(&world);
	world_server(&world);
	world_service(&world, 0, SERVICE_RECORDS);

	world_policy(&world, 1, "    when_down: block\n");
	for (int family = 0; family < FAMILIES; family++) {
		struct sockaddr_storage address;
		socklen_t length = address_of(family, SERVER_PORT, &address);

		as_application(&world);
		descriptor = bound_socket(family, DEVICE);
		/* Of its own, connect does not wait: so this is at once. */
		EXPECT(connect(descriptor, (void *)&address, length) && errno == ECONNREFUSED, "%s",
		       strerror(errno));
		close(descriptor);
		descriptor = bound_socket(family, DEVICE);
		EXPECT_RESULT(connect_peer(descriptor, family), -ECONNREFUSED);
		close(descriptor);
		as_root(&world);
		EXPECT(counter(&world, COUNT_DOWN_BLOCKED) == 2 * (uint64_t)(family + 1));
	}

	world_policy(&world, 1, "    when_down: pass\n");
	for (int family = 0; family < FAMILIES; family++) {
		as_application(&world);
		descriptor = bound_socket(family, DEVICE);
		EXPECT_RESULT(connect_peer(descriptor, family), 0);
		wait_and_check(descriptor, "through the device\n");
		as_root(&world);
		EXPECT(counter(&world, COUNT_DOWN_PASSED) == (uint64_t)(family + 1));
	}
	EXPECT(counter(&world, COUNT_REDIRECTED) == 0 && world.seen[0].accepted == 0);
	EXPECT(connections_counted(&world) == 0);

	for (int family = 0; family < FAMILIES; family++) {
		as_application(&world);
		descriptor = socket_of(family, 0);
		EXPECT(!setsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2));
		EXPECT_RESULT(connect_socket(descriptor, family, SERVER_PORT), 0);
		echo_check(descriptor, "by a\n");
		close(descriptor);
		expect_count("service a", &world.seen[0].accepted, family + 1);
		EXPECT(world.seen[0].info.hop_count == 1);
	}
	as_root(&world);
	world_end(&world);
}
