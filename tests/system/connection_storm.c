// SPDX-License-Identifier: BSD-2-Clause
/*
 * connection_storm: clients of two processes connect in every way, and end in every way: closed,
 * reset, aborted in the handshake, gone before they are accepted, with listeners that close over a
 * full queue. Every socket that two others accept has its own record: the one of the client whose
 * address it has as its peer. None has another's, and none is without. Arguments: how many, and how
 * much room there is for them: with little, numbers are used anew all the time.
 */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "world.h"

#define CLIENTS 2
#define FIRST_PORT 8080
#define OPEN_AT_ONCE 8 /* of a process at each end */
#define CLOSING_PORT 8098 /* to the service that closes its listener, and one more */
#define NUMBERS (18 << 16)

enum kind {
	CLOSES,
	RESETS,
	ABORTS, /* before it is connected */
	LEAVES, /* before it is accepted */
	SENDS,
	DEFERS, /* the SYN to the first byte */
	BINDS_ADDRESS,
	BINDS_PORT,
	BINDS_BOTH,
	STAYS, /* open for a while */
	KINDS
};

static struct world world;

/* Shared by the processes. */
static struct {
	atomic_int done, accepted, without, wrong, twice, full, last_error;
	atomic_ulong lost;            /* where the last one that has none comes from */
	atomic_ulong source[NUMBERS]; /* of each client, as it says */
	atomic_uchar seen[NUMBERS];
} * shared;

static unsigned long encoded(const struct sockaddr_storage *address)
{
	const struct sockaddr_in6 *six = (const void *)address;
	const struct sockaddr_in *four = (const void *)address;

	return (unsigned long)ntohl(address->ss_family == AF_INET ? four->sin_addr.s_addr :
								    six->sin6_addr.s6_addr32[3])
		       << 16 |
	       ntohs(four->sin_port);
}

/* A destination for each. The service that closes its listener has some of the first. */
static socklen_t destination(unsigned int n, struct sockaddr_storage *address)
{
	uint16_t port = FIRST_PORT + (n >> 16);
	enum family family = n % 8 == 7 ? V6 : n % 8 == 6 ? MAPPED : V4;
	struct sockaddr_in6 *six = (void *)address;
	socklen_t length;

	if (n >> 16 < 2 && n % 16 == 3)
		port = CLOSING_PORT + (n >> 16);
	length = address_of(family, port, address);
	if (family == V4)
		((struct sockaddr_in *)address)->sin_addr.s_addr = htonl(0x7f420000 | (n & 0xffff));
	else
		six->sin6_addr.s6_addr32[3] =
			htonl(family == V6 ? n & 0xffff : 0x7f420000 | (n & 0xffff));
	return length;
}

/* Which one it is, by its records; or a negative errno. */
static int number_of(int accepted)
{
	struct sockaddr_storage said;
	socklen_t length = sizeof(said);
	unsigned long code;
	unsigned int port;

	if (getsockopt(accepted, SOL_WAYBILL, WAYBILL_ORIGINAL_DESTINATION, &said, &length))
		return -errno;
	code = encoded(&said);
	port = code & 0xffff;
	port -= port >= CLOSING_PORT ? CLOSING_PORT : FIRST_PORT;
	return port << 16 | (code >> 16 & 0xffff);
}

static void check(int accepted, const struct sockaddr_storage *peer)
{
	int n = number_of(accepted);

	shared->accepted++;
	if (n < 0) {
		shared->last_error = -n;
		shared->lost = encoded(peer);
		shared->without++;
		return;
	}
	/* The client says where it comes from as soon as its connect() has returned. */
	for (int i = 0; i < patience(50000) && !shared->source[n]; i++)
		i < 1000 ? sched_yield() : usleep(100);
	if (shared->source[n] != encoded(peer))
		shared->wrong++;
	if (atomic_exchange(&shared->seen[n], 1))
		shared->twice++;
}

static void serve(int listener, unsigned int seed)
{
	int open[OPEN_AT_ONCE], used = 0;
	struct linger reset = { .l_onoff = 1 };

	for (int i = 0; i < OPEN_AT_ONCE; i++)
		open[i] = -1;
	for (;;) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof(peer);
		int accepted = accept(listener, (void *)&peer, &length), choice = rand_r(&seed);

		if (accepted < 0)
			continue;
		/* Now and then others wait in the queue, and some of them are gone then. */
		if (choice % 256 == 0)
			usleep(2000);
		check(accepted, &peer);
		if (choice % 4 == 0)
			setsockopt(accepted, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (choice % 8) {
			close(accepted);
			continue;
		}
		used = (used + 1) % OPEN_AT_ONCE;
		if (open[used] >= 0)
			close(open[used]);
		open[used] = accepted;
	}
}

static int listen_at(uint16_t port, int backlog)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int listener = socket_of(V6, 0), one = 1, size = 16;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &size, sizeof(size));
	EXPECT(!bind(listener, (void *)&at, sizeof(at)) && !listen(listener, backlog), "%s",
	       strerror(errno));
	return listener;
}

/* Closes its listener over a queue, again and again. */
static void serve_and_close(void)
{
	for (;;) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof(peer);
		int listener = listen_at(SERVICE_PORT(1), 4), accepted;

		fcntl(listener, F_SETFL, O_NONBLOCK);
		usleep(2000);
		for (int i = 0; i < 2; i++) {
			length = sizeof(peer);
			accepted = accept(listener, (void *)&peer, &length);
			if (accepted < 0)
				break;
			check(accepted, &peer);
			close(accepted);
		}
		close(listener);
	}
}

static void bind_client(int descriptor, enum kind kind, bool v4, unsigned int n)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	uint16_t port = kind == BINDS_ADDRESS ? 0 : htons(20000 + n % 64);
	int one = 1;

	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (kind == BINDS_ADDRESS)
		setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	four.sin_port = six.sin6_port = port;
	if (kind != BINDS_PORT)
		four.sin_addr.s_addr = htonl(0x7f000002);
	/* What is taken, or waits for its last packets, is bound another time. */
	if (v4)
		bind(descriptor, (void *)&four, sizeof(four));
	else
		bind(descriptor, (void *)&six, sizeof(six));
}

/* Returns whether the client is to go on: false if there was no number for it. */
static bool client_once(unsigned int n, unsigned int *seed, int *kept)
{
	struct sockaddr_storage to, source = {};
	socklen_t length = destination(n, &to), size = sizeof(source);
	bool v4 = to.ss_family == AF_INET;
	enum kind kind = rand_r(seed) % KINDS;
	struct linger reset = { .l_onoff = 1 };
	/* Whoever finds a full queue would wait for a second. */
	bool waits = kind != ABORTS && kind != LEAVES && n % 16 != 3 && rand_r(seed) % 2;
	int descriptor = socket_of(v4 ? V4 : V6, waits ? 0 : SOCK_NONBLOCK), result;

	if (kind >= BINDS_ADDRESS && kind <= BINDS_BOTH)
		bind_client(descriptor, kind, v4, n);
	if (kind == DEFERS)
		result = sendto(descriptor, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, (void *)&to,
				length);
	else
		result = connect(descriptor, (void *)&to, length);
	if (result < 0 && errno == EAGAIN) {
		shared->full++;
		close(descriptor);
		return false;
	}
	if (!getsockname(descriptor, (void *)&source, &size))
		shared->source[n] = encoded(&source);
	if (result >= 0 || errno == EINPROGRESS) {
		if (kind == SENDS || kind == STAYS) {
			poll(&(struct pollfd){ .fd = descriptor, .events = POLLOUT }, 1, 20);
			send(descriptor, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		}
		if (kind == RESETS || kind == ABORTS)
			setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	}
	if (kind != STAYS) {
		close(descriptor);
		return true;
	}
	if (*kept >= 0)
		close(*kept);
	*kept = descriptor;
	return true;
}

static void connect_all(unsigned int first, unsigned int count)
{
	int kept[OPEN_AT_ONCE];
	unsigned int seed = first + 1;

	for (int i = 0; i < OPEN_AT_ONCE; i++)
		kept[i] = -1;
	for (unsigned int n = first; n < count; n += CLIENTS)
		for (int tries = 0; tries < patience(20000); tries++) {
			if (client_once(n, &seed, &kept[n % OPEN_AT_ONCE]))
				break;
			/* Others may have what one waits for. */
			for (int i = 0; i < OPEN_AT_ONCE && tries % 16 == 15; i++)
				if (kept[i] >= 0) {
					close(kept[i]);
					kept[i] = -1;
				}
			usleep(1000);
		}
	shared->done++;
	_exit(0);
}

int main(int argc, char **argv)
{
	unsigned int count = argc > 1 ? atoi(argv[1]) : 60000;
	int before = 0, listener;

	EXPECT(count <= NUMBERS);
	world_begin(&world, "connection_storm");
	world.connections = argc > 2 ? atoi(argv[2]) : 0;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	EXPECT(shared != MAP_FAILED);
	EXPECT(!system("sysctl -qw net.ipv4.tcp_fastopen=1027 net.ipv4.tcp_max_syn_backlog=32"));
	world_up(&world);
	EXPECT(!world_apply(&world, WORLD_TWO_SERVICES
			    "filters:\n"
			    "  - { name: a, service: a, match: { remote_port: [ 8080-8097 ] }, "
			    "action: redirect }\n"
			    "  - { name: b, service: b, match: { remote_port: [ 8098-8099 ] }, "
			    "action: redirect }\n"));
	if (world_service_fork(&world, 0)) {
		listener = listen_at(SERVICE_PORT(0), 1024);
		world.seen[0].ready = 1;
		serve(listener, fork() ? 1 : 2);
	}
	if (world_service_fork(&world, 1)) {
		world.seen[1].ready = 1;
		serve_and_close();
	}
	for (int i = 0; i < patience(2000) && !(world.seen[0].ready && world.seen[1].ready); i++)
		usleep(1000);
	world_enter(&world, "app");
	for (int i = 0; i < CLIENTS; i++)
		if (!fork())
			connect_all(i, count);
	for (int i = 0; i < patience(1200000) && shared->done < CLIENTS; i += 10)
		usleep(10000);
	EXPECT(shared->done == CLIENTS, "%d of %d clients", shared->done, CLIENTS);
	for (int i = 0; i < patience(100) && before != shared->accepted; i++) {
		before = shared->accepted;
		usleep(100000);
	}
	printf("%d accepted of %u; %d times no number\n", shared->accepted, count, shared->full);
	EXPECT(!shared->without, "%d without records (%s, from %lx), %lu unclaimed", shared->without,
	       strerror(shared->last_error), shared->lost,
	       (unsigned long)counter(&world, COUNT_UNCLAIMED));
	EXPECT(!shared->wrong && !shared->twice, "%d with another's, %d twice", shared->wrong,
	       shared->twice);
	EXPECT(shared->accepted > (int)count / 3, "%d", shared->accepted);
	EXPECT(counter(&world, COUNT_UNCLAIMED) == 0, "%lu",
	       (unsigned long)counter(&world, COUNT_UNCLAIMED));
	EXPECT(world.connections || !shared->full);
	world_end(&world);
}
