// SPDX-License-Identifier: BSD-2-Clause
/*
 * winsock_service tcp|udp SERVICES FAMILY: the service that is written as for Windows (w:
 * $WAYBILL_WINSOCK_SERVICE) in a chain with native ones (n), and with the
 * relay (r). Each sees each connection or flow once, with the records of those before it, and the
 * example says a line of each.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>

#include "datagram_tools.h"

#define REQUEST_SIZE 3000017 /* more than the buffers on the way hold */
#define ROUNDS 3

static struct world world;
static enum family family;
static int services, log_file[SERVICES_MAX];
static const char *kinds, *program, *relay;

static unsigned char byte_at(size_t i)
{
	return i * 31 + (i >> 8) * 7;
}

/* Whether a socket of this namespace is bound to the port. */
static bool bound(const char *table, uint16_t port)
{
	char line[256], wanted[16];
	FILE *file = fopen(table, "r");
	bool found = false;

	snprintf(wanted, sizeof(wanted), ":%04X ", port);
	while (file && fgets(line, sizeof(line), file))
		found |= !!strstr(line, wanted);
	if (file)
		fclose(file);
	return found;
}

static void example_start(int i)
{
	char port[16];

	log_file[i] = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	EXPECT(log_file[i] >= 0);
	snprintf(port, sizeof(port), "%d", SERVICE_PORT(i));
	if (world_service_fork(&world, i)) {
		dup2(log_file[i], STDERR_FILENO);
		execl(program, program, port, NULL);
		perror(program);
		_exit(1);
	}
	for (int try = 0; try < patience(500); try++) {
		if (bound("/proc/net/tcp6", SERVICE_PORT(i)) &&
		    bound("/proc/net/udp6", SERVICE_PORT(i)))
			return;
		usleep(10000);
	}
	EXPECT(false, "%s does not listen", program);
}

static void relay_start(int i)
{
	char listen[32], ready[16], byte;
	int ends[2];

	snprintf(listen, sizeof(listen), ":%d", SERVICE_PORT(i));
	EXPECT(!pipe(ends));
	if (world_service_fork(&world, i)) {
		snprintf(ready, sizeof(ready), "%d", ends[1]);
		dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
		execl(relay, relay, "--listen", listen, "--datagrams", "--ready-fd", ready, NULL);
		_exit(1);
	}
	close(ends[1]);
	EXPECT(read(ends[0], &byte, 1) == 1, "the relay does not start");
	close(ends[0]);
}

/* Waits for so many lines of the example with these words, and for no others of them. */
static void expect_lines(int i, const char *words, int wanted)
{
	static char text[65536];
	ssize_t size = 0;
	int found = -1;

	for (int try = 0; try < patience(200) && found != wanted; try++) {
		usleep(10000);
		size = pread(log_file[i], text, sizeof(text) - 1, 0);
		EXPECT(size >= 0);
		text[size] = '\0';
		found = 0;
		for (char *at = text; (at = strstr(at, words)); at++)
			found++;
	}
	EXPECT(found == wanted, "\"%s\" %d times, not %d, in:\n%s", words, found, wanted, text);
}

/* A request that is longer than what fits on the way, its end, and the same as the answer. */
static void converse(int connection)
{
	struct timeval limit = { .tv_sec = patience(10) };
	unsigned char buffer[65536];
	size_t got = 0;
	ssize_t count;
	pid_t child = fork();
	int status;

	EXPECT(child >= 0);
	if (!child) {
		for (size_t sent = 0; sent < REQUEST_SIZE; sent += count) {
			size_t i;

			for (i = 0; i < sizeof(buffer) && sent + i < REQUEST_SIZE; i++)
				buffer[i] = byte_at(sent + i);
			count = send(connection, buffer, i, 0);
			if (count < 0)
				_exit(1);
		}
		_exit(!!shutdown(connection, SHUT_WR));
	}
	setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	while ((count = recv(connection, buffer, sizeof(buffer), 0)) > 0)
		for (ssize_t i = 0; i < count; i++, got++)
			EXPECT(buffer[i] == byte_at(got), "byte %zu", got);
	EXPECT(count == 0, "after %zu bytes: %s", got, strerror(errno));
	EXPECT(got == REQUEST_SIZE, "%zu bytes", got);
	EXPECT(waitpid(child, &status, 0) == child && !status);
}

/* What the native ones saw: everybody before, and what was asked for. */
static void expect_hops(void)
{
	for (int i = 0; i < services; i++) {
		struct seen *seen = &world.seen[i];
		struct waybill_records records;

		if (kinds[i] != 'n')
			continue;
		EXPECT(!seen->failed && !seen->direct, "%d, %d", seen->failed, seen->direct);
		EXPECT((int)seen->info.hop_count == i + 1, "%u hops", seen->info.hop_count);
		EXPECT(seen->info.originator.pid == (uint32_t)getpid());
		EXPECT(!waybill_records_decode(seen->records, seen->records_size, &records));
		for (int hop = 0; hop <= i; hop++) {
			EXPECT(records.hops[hop].service ==
			       waybill_service_id((char[]){ 'a' + hop, 0 }));
			EXPECT(records.hops[hop].filter);
			EXPECT(ntohs(records.hops[hop].destination.port) == SERVER_PORT);
		}
	}
}

/* Each once for each connection or flow, and none without records. */
static void expect_counts(int wanted)
{
	struct service_counters counters;

	for (int i = 0; i < services; i++) {
		EXPECT(!instance_service_counters(
			world.instance, waybill_service_id((char[]){ 'a' + i, 0 }), &counters));
		EXPECT((int)counters.redirected == wanted, "service %d: %d, not %d", i,
		       (int)counters.redirected, wanted);
		EXPECT(!counters.no_records);
	}
	EXPECT(!counter(&world, COUNT_NO_RECORDS));
	EXPECT(!counter(&world, COUNT_RECORDS_BAD) && !counter(&world, COUNT_RECORDS_FOREIGN));
}

static void expect_log(const char *protocol, int wanted)
{
	char words[96];

	for (int i = 0; i < services; i++) {
		if (kinds[i] != 'w')
			continue;
		snprintf(words, sizeof(words), "context \"for %c\", %d bytes of records", 'a' + i,
			 184 + 112 * i);
		expect_lines(i, words, wanted);
		expect_lines(i, protocol, wanted);
		expect_lines(i, "error", 0);
		expect_lines(i, "\n", wanted);
	}
}

static void connections(void)
{
	world_server(&world);
	world_policy(&world, services, NULL);
	for (int round = 0; round < ROUNDS; round++) {
		int connection = connect_to(family, SERVER_PORT);

		EXPECT(connection >= 0, "%s", strerror(-connection));
		converse(connection);
		close(connection);
	}
	expect_hops();
	expect_counts(ROUNDS);
	expect_log("TCP", ROUNDS);
	/* A server that refuses: the client is reset, and gets no byte. */
	{
		int connection = connect_to(family, SERVER_PORT + 1);

		EXPECT(connection < 0 || recv(connection, &(char[1]){}, 1, 0) <= 0);
		close(connection);
		if (kinds[0] == 'w')
			expect_lines(0, "failed: error 10061", kinds[1] ? 0 : 1);
	}
}

/* Dialled, and not redirected: refused, as nobody knows where it was going. */
static void stranger(bool stream)
{
	struct sockaddr_in six = { .sin_family = AF_INET };
	int s = stream ? socket_of(V4, 0) : datagram_socket(V4);

	six.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < services; i++) {
		if (kinds[i] != 'w')
			continue;
		six.sin_port = htons(SERVICE_PORT(i));
		EXPECT(!connect(s, (void *)&six, sizeof(six)));
		if (stream)
			EXPECT(recv(s, &(char[1]){}, 1, 0) <= 0);
		else
			EXPECT(send(s, "x", 1, 0) == 1);
		expect_lines(i, "refused: not redirected here", 1);
		break;
	}
	close(s);
}

/* The calling process's cgroup, by its path below the mount. */
static void enter_cgroup(const char *below)
{
	char path[512];
	int file;

	snprintf(path, sizeof(path), "%s%s/cgroup.procs", world.mount, below);
	file = open(path, O_WRONLY | O_CLOEXEC);
	EXPECT(file >= 0 && write(file, "0", 1) == 1, "%s: %s", path, strerror(errno));
	close(file);
}

/* From outside of the instance one can send into a flow: its client and its server do not notice. */
static void outsider(void)
{
	struct pollfd wait = { .events = POLLIN };
	int s = datagram_socket(family), out;
	char here[200];

	if (kinds[0] == 'n')
		return;
	datagram_check(s, family, 7, "before");
	snprintf(here, sizeof(here), "%s/app", world.cgroup);
	enter_cgroup("");
	out = datagram_socket(family == V6 ? V6 : V4);
	enter_cgroup(here);
	for (uint32_t number = 1; number < 200; number++) {
		struct sockaddr_in6 six = { .sin6_family = AF_INET6,
					    .sin6_port = htons(SERVICE_PORT(0)) };
		struct sockaddr_in four = { .sin_family = AF_INET,
					    .sin_port = htons(SERVICE_PORT(0)) };

		waybill_flow_address4(number, &four.sin_addr);
		waybill_flow_address6(number, &six.sin6_addr);
		if (family == V6)
			sendto(out, "evil", 4, 0, (void *)&six, sizeof(six));
		else
			EXPECT(sendto(out, "evil", 4, 0, (void *)&four, sizeof(four)) == 4);
	}
	usleep(200000);
	datagram_check(s, family, 7, "after");
	wait.fd = s;
	EXPECT(poll(&wait, 1, 200) == 0, "the client hears more than its answers");
	wait.fd = out;
	EXPECT(poll(&wait, 1, 0) == 0, "somebody answers");
	close(out);
	close(s);
}

static void datagrams(void)
{
	int s;

	datagram_server(&world);
	datagram_policy(&world, services, NULL);
	for (int round = 0; round < ROUNDS; round++) {
		s = datagram_socket(family);
		for (int again = 0; again < 3; again++)
			for (unsigned int n = 0; n < 4; n++)
				datagram_check(s, family, n, "carried");
		close(s);
	}
	expect_hops();
	expect_counts(4 * ROUNDS);
	expect_log("UDP", 4 * ROUNDS);
	/* One that is connected, and then connected elsewhere. */
	s = datagram_socket(family);
	for (unsigned int n = 4; n < 6; n++) {
		struct sockaddr_storage to;
		socklen_t length = datagram_address(family, n, &to);

		EXPECT(!connect(s, (void *)&to, length));
		for (int again = 0; again < 3; again++) {
			EXPECT(send(s, "connected", 9, 0) == 9);
			datagram_expect(s, family, n, "connected");
		}
	}
	close(s);
	expect_counts(4 * ROUNDS + 2);
	expect_log("UDP", 4 * ROUNDS + 2);
}

int main(int argc, char **argv)
{
	bool stream;

	program = getenv("WAYBILL_WINSOCK_SERVICE");
	relay = getenv("WAYBILL_RELAY");
	EXPECT(argc == 4 && program && relay);
	stream = !strcmp(argv[1], "tcp");
	kinds = argv[2];
	family = family_of(argv[3]);
	services = strlen(kinds);
	world_begin(&world, "winsock_service");
	world_up(&world);
	for (int i = 0; i < services; i++)
		if (kinds[i] == 'w')
			example_start(i);
		else if (kinds[i] == 'r')
			relay_start(i);
		else if (stream)
			world_service(&world, i, SERVICE_RECORDS);
		else
			datagram_service(&world, i, DATAGRAMS_RECORDS);
	if (stream)
		connections();
	else
		datagrams();
	stranger(stream);
	if (!stream)
		outsider();
	world_end(&world);
}
