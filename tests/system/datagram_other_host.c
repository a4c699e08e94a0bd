// SPDX-License-Identifier: BSD-2-Clause
/*
 * Another host, on the link, sends to the addresses of flows: the kernel takes IPv6's from any device,
 * since they are local, and the service's socket takes none of it.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>

#include "datagram_tools.h"

#define PLAIN_PORT 9100
#define FLOWS 20

static struct world world;

/* In the other host: to every flow's address, at the service's port and at another one's. */
static int other_host(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), sent = 0;

	for (int try = 0; try < 100 && sent < FLOWS; try++) {
		sent = 0;
		for (uint32_t flow = 1; flow <= FLOWS; flow++) {
			struct sockaddr_in6 to = { .sin6_family = AF_INET6,
						   .sin6_port = htons(SERVICE_PORT(0)) };

			waybill_flow_address6(flow, &to.sin6_addr);
			sent += sendto(fd, "evil", 4, 0, (void *)&to, sizeof(to)) == 4;
			to.sin6_port = htons(PLAIN_PORT);
			sendto(fd, "evil", 4, 0, (void *)&to, sizeof(to));
		}
		/* The kernel finishes adding an IPv6 address a moment later. */
		usleep(20000);
	}
	return sent < FLOWS;
}

/* The other host: a network namespace at the other end of a pair of devices. */
static pid_t other_host_fork(int go[2])
{
	char byte, command[160];
	int ready[2];
	pid_t child;

	EXPECT(!pipe(ready));
	child = fork();
	if (!child) {
		if (unshare(CLONE_NEWNET) || write(ready[1], "r", 1) != 1 ||
		    read(go[0], &byte, 1) != 1)
			_exit(1);
		if (system("ip address add fd68::2/64 dev other nodad && ip link set other up && "
			   "ip -6 route add fd57:6179:6269:6c6c::/64 via fd68::1"))
			_exit(2);
		_exit(other_host() ? 3 : 0);
	}
	EXPECT(read(ready[0], &byte, 1) == 1);
	snprintf(command, sizeof(command), "ip link add here type veth peer name other netns %d",
		 child);
	if (system(command))
		world_skip("needs veth devices");
	EXPECT(!system("ip address add fd68::1/64 dev here nodad && ip link set here up"));
	return child;
}

int main(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(PLAIN_PORT) };
	struct pollfd wait = { .events = POLLIN };
	int plain, go[2], status, fd;
	pid_t child;

	world_begin(&world, "datagram_other_host");
	EXPECT(!pipe(go));
	child = other_host_fork(go);
	world_up(&world);
	datagram_server(&world);
	datagram_policy(&world, 1, NULL);
	datagram_service(&world, 0, DATAGRAMS_ANSWERS);
	fd = datagram_socket(V6);
	for (unsigned int n = 0; n < 4; n++)
		datagram_check(fd, V6, n, "of this host");
	plain = datagram_socket(V6);
	EXPECT(!bind(plain, (void *)&any, sizeof(any)));
	EXPECT(write(go[1], "g", 1) == 1);
	EXPECT(waitpid(child, &status, 0) == child && !status, "%d", status >> 8);
	/* They do arrive: at a socket that hears everybody. */
	wait.fd = plain;
	EXPECT(poll(&wait, 1, patience(2000)) == 1, "nothing of the other host arrives at all");
	usleep(100000);
	EXPECT(world.seen[0].accepted == 4, "%d flows", world.seen[0].accepted);
	EXPECT(world.seen[0].direct == 0, "%d from another host", world.seen[0].direct);
	wait.fd = fd;
	EXPECT(poll(&wait, 1, 100) == 0, "the client is answered what it did not ask");
	world_end(&world);
}
