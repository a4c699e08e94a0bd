// SPDX-License-Identifier: BSD-2-Clause
/*
 * scale: a hundred thousand redirected connections are open at once through one endpoint, each with
 * its own records, and the kernel keeps at most a KiB for one more than for a direct connection.
 */
#include <math.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "world.h"

#define CONNECTIONS 100000
#define PARTS 8 /* processes at each end, so that none has too many descriptors */
#define PART (CONNECTIONS / PARTS)
#define FIRST_PORT 8080 /* each goes to an address and port of its own: 65,536 addresses, 2 ports */
#define DIRECT_PORT 7100 /* of which no filter is */
#define KEPT_AT_MOST 1024

static struct world world;
static enum family family;

/* Shared by the processes. */
static struct {
	atomic_int accepted, wrong;
	atomic_uchar seen[CONNECTIONS]; /* by its destination */
} * shared;

static socklen_t destination(unsigned int n, struct sockaddr_storage *address)
{
	socklen_t length = address_of(family, FIRST_PORT + (n >> 16), address);
	struct sockaddr_in6 *six = (void *)address;
	struct sockaddr_in *four = (void *)address;

	if (family == V4)
		four->sin_addr.s_addr = htonl(0x7f420000 | (n & 0xffff));
	else
		six->sin6_addr.s6_addr32[3] = htonl(n & 0xffff);
	return length;
}

/* Which connection it is, by what its records say of its destination; or -1. */
static int number_of(int accepted)
{
	struct sockaddr_storage said, wanted;
	socklen_t length = sizeof(said);
	unsigned int n;

	if (getsockopt(accepted, SOL_WAYBILL, WAYBILL_ORIGINAL_DESTINATION, &said, &length))
		return -1;
	if (family == V4) {
		struct sockaddr_in *four = (void *)&said;

		n = (ntohl(four->sin_addr.s_addr) & 0xffff) +
		    ((ntohs(four->sin_port) - FIRST_PORT) << 16);
	} else {
		struct sockaddr_in6 *six = (void *)&said;

		n = ntohl(six->sin6_addr.s6_addr32[3]) +
		    ((ntohs(six->sin6_port) - FIRST_PORT) << 16);
	}
	return n < CONNECTIONS && destination(n, &wanted) == length ? (int)n : -1;
}

/* Accepts, looks whose it is, and keeps it: one part of all. */
static void keep(int listener, bool redirected)
{
	for (int i = 0; i < PART; i++) {
		int accepted = accept(listener, NULL, NULL), n;

		if (accepted < 0)
			_exit(2);
		n = redirected ? number_of(accepted) : 0;
		if (n < 0 || (redirected && atomic_exchange(&shared->seen[n], 1)))
			shared->wrong++;
		shared->accepted++;
	}
	pause();
	_exit(0);
}

/* For both families: a service by both is reached by IPv4. */
static int listener_at(uint16_t port)
{
	struct sockaddr_storage at;
	socklen_t length = address_of(family, port, &at);
	int listener = socket_of(family, 0), one = 1;

	if (family == V4)
		((struct sockaddr_in *)&at)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&at)->sin6_addr = in6addr_any;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	EXPECT(!bind(listener, (void *)&at, length) && !listen(listener, 1024), "%s",
	       strerror(errno));
	return listener;
}

static void start_keepers(pid_t child[PARTS], bool redirected)
{
	int listener;

	shared->accepted = 0;
	world_enter(&world, redirected ? "s0" : "other");
	listener = listener_at(redirected ? SERVICE_PORT(0) : DIRECT_PORT);
	for (int i = 0; i < PARTS; i++) {
		child[i] = fork();
		if (!child[i])
			keep(listener, redirected);
	}
	close(listener);
	world_enter(&world, "app");
}

static void end(pid_t child[PARTS])
{
	for (int i = 0; i < PARTS; i++)
		kill(child[i], SIGKILL);
	for (int i = 0; i < PARTS; i++)
		waitpid(child[i], NULL, 0);
}

/* What the kernel has in use of its allocator for sockets, and for what programs keep: bytes. */
static double allocated(void)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	double total = 0;
	static const char *const caches[] = { "kmalloc", "TCP", "tcp", "sock", "request", "filp" };
	unsigned long active, size;
	char line[512];

	EXPECT(file, "%s", strerror(errno));
	while (fgets(line, sizeof(line), file))
		for (size_t i = 0; i < sizeof(caches) / sizeof(caches[0]); i++)
			if (!strncmp(line, caches[i], strlen(caches[i])) &&
			    sscanf(line, "%*s %lu %*u %lu", &active, &size) == 2)
				total += (double)active * size;
	fclose(file);
	return total;
}

/* Without redirection: to the listener, from as many sources as Waybill has. */
static socklen_t direct(unsigned int n, int client, struct sockaddr_storage *to)
{
	struct sockaddr_storage from;
	socklen_t length = address_of(family, 0, &from);
	int one = 1;

	setsockopt(client, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (family == V4) {
		((struct sockaddr_in *)&from)->sin_addr.s_addr = htonl(0x7f420000 | (n & 0xffff));
	} else {
		((struct sockaddr_in6 *)&from)->sin6_addr.s6_addr32[3] = htonl(1 + n % 8);
	}
	EXPECT(!bind(client, (void *)&from, length), "%s", strerror(errno));
	length = address_of(family, DIRECT_PORT, to);
	if (family == V4)
		((struct sockaddr_in *)to)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)to)->sin6_addr = in6addr_loopback;
	return length;
}

static void open_part(int part, bool redirected)
{
	for (unsigned int n = part * PART; n < (part + 1U) * PART; n++) {
		int client = socket_of(family, 0);
		struct sockaddr_storage to;
		socklen_t length = redirected ? destination(n, &to) : direct(n, client, &to);

		if (connect(client, (void *)&to, length)) {
			fprintf(stderr, "connection %u: %s\n", n, strerror(errno));
			shared->wrong++;
			_exit(1);
		}
	}
	pause();
	_exit(0);
}

/* Opens all of them; bytes of the kernel's for each. */
static double open_all(bool redirected)
{
	pid_t service[PARTS], client[PARTS];
	double before, kept;

	start_keepers(service, redirected);
	before = allocated();
	for (int i = 0; i < PARTS; i++) {
		client[i] = fork();
		if (!client[i])
			open_part(i, redirected);
	}
	for (int wait = 0;
	     shared->accepted < CONNECTIONS && !shared->wrong && wait < patience(30000); wait++)
		usleep(10000);
	kept = (allocated() - before) / CONNECTIONS;
	EXPECT(shared->accepted == CONNECTIONS && !shared->wrong, "%d accepted, %d wrong",
	       shared->accepted, shared->wrong);
	end(client);
	end(service);
	/* What they leave is freed a moment later. */
	sleep(2);
	return kept;
}

int main(int argc, char **argv)
{
	double without = 0, with = INFINITY;

	family = argc > 1 && !strcmp(argv[1], "v6") ? V6 : V4;
	world_begin(&world, "scale");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	EXPECT(shared != MAP_FAILED);
	for (int i = 1; family == V6 && i <= 8; i++) {
		char command[128];

		snprintf(command, sizeof(command), "ip address replace fd66::%d/128 dev lo nodad",
			 i);
		EXPECT(!system(command));
	}
	world_up(&world);
	world_policy(&world, 1, NULL);
	/* Others on the machine use the allocator too, so a figure that is too high is taken again. */
	for (int try = 0; try < 3 && with - without > KEPT_AT_MOST; try++) {
		memset(shared->seen, 0, sizeof(shared->seen));
		without = open_all(false);
		with = open_all(true);
	}
	printf("%.0f bytes for a direct connection, %.0f for a redirected one: %.0f more\n",
	       without, with, with - without);
	EXPECT(with - without <= KEPT_AT_MOST, "%.0f bytes more", with - without);
	for (unsigned int n = 0; n < CONNECTIONS; n++)
		EXPECT(shared->seen[n], "connection %u", n);
	world_end(&world);
}
