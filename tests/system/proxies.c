// SPDX-License-Identifier: BSD-2-Clause
/*
 * proxies [user] [everything] SERVICE...: transparent proxies that know nothing of Waybill, as
 * Debian has them, in a chain with each other and with services that carry records on. SERVICE is
 * redsocks, haproxy, shadowsocks or records. In every order of their weights, and in every family
 * that all of them can do, a connection meets each service once, in that order, and its bytes
 * arrive; who dials a proxy directly gets nowhere. No proxy is told of any other.
 *
 * user: services are told by user, not by cgroup. everything: filters match all, so that what a
 * proxy says to its own SOCKS or Shadowsocks server is redirected to the services below as well.
 */
#include "records_tools.h"

#include <arpa/inet.h>
#include <grp.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define CHAIN_MAX 4
#define PARALLEL 16
#define HELPER_PORT(i) (7001 + (i)) /* of the SOCKS or Shadowsocks server behind service i */
#define OTHER_PORT (SERVER_PORT + 1)

enum kind { RECORDS, REDSOCKS, HAPROXY, SHADOWSOCKS, KINDS };

static const struct {
	const char *name;
	const char *package;
	const char *programs[2]; /* the proxy, and a server of its own behind it */
	bool v6;
	bool half_close;
} kinds[KINDS] = {
	[RECORDS] = { "records", NULL, {}, true, true },
	/* microsocks ends both directions with the first. */
	[REDSOCKS] = { "redsocks", "redsocks microsocks", { "redsocks", "microsocks" } },
	/* It asks for no IPv6 destination. */
	[HAPROXY] = { "haproxy", "haproxy", { "haproxy" }, false, true },
	[SHADOWSOCKS] = { "shadowsocks",
			  "shadowsocks-libev",
			  { "ss-redir", "ss-server" },
			  true,
			  false },
};

static struct world world;
static enum kind chain[CHAIN_MAX];
static int services;
static bool everything;
static pid_t helpers[CHAIN_MAX];

/* One that listens on [::] takes both families. */
static void wait_until_listens(const char *program, bool v6, uint16_t port)
{
	for (int try = 0; try < patience(1000); try++) {
		if (listened(v6 ? V6 : V4, port))
			return;
		usleep(10000);
	}
	EXPECT(false, "%s does not listen on port %u", program, port);
}

/* Not by PATH alone, which may lack sbin. */
static const char *find_program(const char *program)
{
	static const char *const places[] = { "/usr/sbin", "/usr/bin", "/usr/local/sbin",
					      "/usr/local/bin" };
	static char path[128];

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path, sizeof(path), "%s/%s", places[i], program);
		if (!access(path, X_OK))
			return path;
	}
	return NULL;
}

/* A file that is nowhere but in this process and those that it becomes: nothing to remove. */
static const char *configuration(const char *format, ...)
{
	static char path[64];
	int file = memfd_create("configuration", 0);
	va_list arguments;

	va_start(arguments, format);
	EXPECT(file >= 0 && vdprintf(file, format, arguments) > 0);
	va_end(arguments);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return path;
}

static void become_redsocks(int i)
{
	const char *path = configuration("base {\n"
					 "	log_info = off;\n"
					 "	log = stderr;\n"
					 "	daemon = off;\n"
					 "	redirector = iptables;\n"
					 "}\n"
					 "redsocks {\n"
					 "	local_ip = 127.0.0.1;\n"
					 "	local_port = %d;\n"
					 "	ip = 127.0.0.1;\n"
					 "	port = %d;\n"
					 "	type = socks5;\n"
					 "}\n",
					 SERVICE_PORT(i), HELPER_PORT(i));

	execl(find_program("redsocks"), "redsocks", "-c", path, NULL);
}

/* The rejected connection is one that nobody redirected: HAProxy would connect it to itself. */
static void become_haproxy(int i)
{
	const char *path = configuration("global\n"
					 "	maxconn 1000\n"
					 "defaults\n"
					 "	mode tcp\n"
					 "	timeout connect 10s\n"
					 "	timeout client 1h\n"
					 "	timeout server 1h\n"
					 "listen waybill\n"
					 "	bind 127.0.0.1:%d\n"
					 "	tcp-request connection reject if { dst_port %d }\n"
					 "	server onward *\n",
					 SERVICE_PORT(i), SERVICE_PORT(i));

	execl(find_program("haproxy"), "haproxy", "-db", "-f", path, NULL);
}

static void become(int i, const char *program)
{
	char port[16], helper[16];

	snprintf(port, sizeof(port), "%d", SERVICE_PORT(i));
	snprintf(helper, sizeof(helper), "%d", HELPER_PORT(i));
	if (!strcmp(program, "redsocks"))
		become_redsocks(i);
	else if (!strcmp(program, "haproxy"))
		become_haproxy(i);
	else if (!strcmp(program, "microsocks"))
		execl(find_program(program), program, "-i", "127.0.0.1", "-p", helper, NULL);
	else if (!strcmp(program, "ss-redir"))
		execl(find_program(program), program, "-s", "127.0.0.1", "-p", helper, "-b",
		      "::", "-l", port, "-k", "secret", "-m", "aes-128-gcm", NULL);
	else if (!strcmp(program, "ss-server"))
		execl(find_program(program), program, "-s", "127.0.0.1", "-p", helper, "-k",
		      "secret", "-m", "aes-128-gcm", NULL);
	perror(program);
	_exit(1);
}

/* In the foreground, in the cgroup of service i, and without privileges. */
static pid_t start_program(int i, const char *program)
{
	if (world_service_fork(&world, i)) {
		if (!world.by_user && (setgroups(0, NULL) ||
				       setresgid(SERVICE_UID(i), SERVICE_UID(i), SERVICE_UID(i)) ||
				       setresuid(SERVICE_UID(i), SERVICE_UID(i), SERVICE_UID(i))))
			_exit(1);
		/* A changed user drops it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_DFL);
		become(i, program);
	}
	return world.service[i];
}

static void start_service(int i)
{
	const char *const *programs = kinds[chain[i]].programs;

	if (chain[i] == RECORDS) {
		world_service(&world, i, SERVICE_RECORDS);
		return;
	}
	if (programs[1]) {
		helpers[i] = start_program(i, programs[1]);
		wait_until_listens(programs[1], false, HELPER_PORT(i));
	}
	start_program(i, programs[0]);
	wait_until_listens(programs[0], kinds[chain[i]].v6, SERVICE_PORT(i));
}

/* The services have the weights of their places; in the file they stand as they were named. */
static void apply(const int *place)
{
	char text[4096], identity[160];
	int length = snprintf(text, sizeof(text), "version: 1\nservices:\n");

	for (int i = 0; i < services; i++) {
		if (world.by_user)
			snprintf(identity, sizeof(identity), "user: %d", SERVICE_UID(i));
		else
			snprintf(identity, sizeof(identity), "cgroup: %s/s%d", world.cgroup, i);
		length += snprintf(text + length, sizeof(text) - length,
				   "  - name: %c\n    weight: %d\n    endpoint: { tcp: %d }\n"
				   "    identity: { %s }\n",
				   'a' + i, 300 - 10 * place[i], SERVICE_PORT(i), identity);
	}
	length += snprintf(text + length, sizeof(text) - length, "filters:\n");
	for (int i = 0; i < services; i++)
		length += snprintf(text + length, sizeof(text) - length,
				   "  - { name: all, service: %c, action: redirect%s }\n", 'a' + i,
				   everything ? "" : ", match: { remote_port: 8080-8099 }");
	EXPECT(!world_apply(&world, text));
}

static bool next_order(int *place)
{
	int i = services - 2, j = services - 1, swapped;

	while (i >= 0 && place[i] > place[i + 1])
		i--;
	if (i < 0)
		return false;
	while (place[j] < place[i])
		j--;
	swapped = place[i];
	place[i] = place[j];
	place[j] = swapped;
	for (i++, j = services - 1; i < j; i++, j--) {
		swapped = place[i];
		place[i] = place[j];
		place[j] = swapped;
	}
	return true;
}

/* What each service and the server should have seen by now. */
struct expected {
	uint64_t redirected[CHAIN_MAX], no_records[CHAIN_MAX];
	int server;
};

/*
 * One more connection. A proxy with a server of its own makes two of one: what it says to that, and
 * what that says to the server. With filters that match all, the services below see both.
 */
static void expect_one_more(struct expected *expected, const int *order)
{
	int legs = 1;

	for (int k = 0; k < services; k++) {
		int i = order[k];

		expected->redirected[i] += legs;
		if (chain[i] != RECORDS) {
			if (everything && kinds[chain[i]].programs[1])
				legs *= 2;
			expected->no_records[i] += legs;
		}
	}
}

static void check_counters(const struct expected *expected)
{
	uint64_t total = 0;

	for (int i = 0; i < services; i++) {
		char name[2] = { 'a' + i };
		struct service_counters counters;

		if (chain[i] == RECORDS)
			expect_count("service", &world.seen[i].accepted, expected->redirected[i]);
		EXPECT(!instance_service_counters(world.instance, policy_service_id(name),
						  &counters));
		EXPECT(counters.redirected == expected->redirected[i],
		       "%s, the service %s: %d, not %d", kinds[chain[i]].name, name,
		       (int)counters.redirected, (int)expected->redirected[i]);
		EXPECT(counters.no_records == expected->no_records[i],
		       "%s, the service %s: %d, not %d", kinds[chain[i]].name, name,
		       (int)counters.no_records, (int)expected->no_records[i]);
		EXPECT(!world.seen[i].failed && !world.seen[i].direct);
		total += expected->redirected[i];
	}
	expect_count("server", &SERVER_SEEN(&world)->accepted, expected->server);
	EXPECT(counter(&world, COUNT_REDIRECTED) == total);
	EXPECT(counter(&world, COUNT_HOP_LIMIT) == 0);
}

/*
 * A service with records is told of all those above it, in order, down from the nearest proxy: that
 * has handed nothing on, and it is all that is known of what was before it.
 */
static void check_records(const int *order, enum family family)
{
	for (int k = 0; k < services; k++) {
		struct seen *seen = &world.seen[order[k]];
		struct waybill_records records;
		struct sockaddr_storage asked;
		int first = k;
		uint32_t uid;

		if (chain[order[k]] != RECORDS)
			continue;
		while (first > 0 && chain[order[first]] == RECORDS)
			first--;
		EXPECT(!waybill_records_decode(seen->records, seen->records_size, &records));
		EXPECT((int)records.hop_count == k - first + 1, "%u hops", records.hop_count);
		for (int hop = 0; hop < (int)records.hop_count; hop++) {
			char name[2] = { 'a' + order[first + hop] };

			EXPECT(records.hops[hop].service == waybill_service_id(name), "hop %d",
			       hop);
		}
		uid = chain[order[first]] == RECORDS ? 0 : SERVICE_UID(order[first]);
		EXPECT(seen->info.originator.uid == uid, "user %u", seen->info.originator.uid);
		address_of(family == V6 ? V6 : V4, SERVER_PORT, &asked);
		EXPECT(!memcmp(&seen->original, &asked,
			       family == V6 ? sizeof(struct sockaddr_in6) :
					      sizeof(struct sockaddr_in)));
	}
}

/* Many at once: each has bytes of its own, and gets them back. */
static void check_parallel(enum family family, struct expected *expected, const int *order)
{
	int descriptors[PARALLEL];
	char text[64];

	for (int i = 0; i < PARALLEL; i++) {
		descriptors[i] = connect_to(family, SERVER_PORT);
		EXPECT(descriptors[i] >= 0, "%s", strerror(-descriptors[i]));
	}
	for (int i = PARALLEL - 1; i >= 0; i--) {
		snprintf(text, sizeof(text), "the connection number %d\n", i);
		echo_check(descriptors[i], text);
		close(descriptors[i]);
		expected->server++;
		expect_one_more(expected, order);
	}
}

/* To another destination, megabytes in both directions, and a half-close between if all can. */
static void check_transfer(enum family family, struct expected *expected, const int *order,
			   int listener)
{
	int client = connect_to(family, OTHER_PORT), server;
	bool half_close = true;
	char byte;

	for (int i = 0; i < services; i++)
		half_close &= kinds[chain[i]].half_close;
	EXPECT(client >= 0, "%s", strerror(-client));
	server = accept_from(listener);
	converse(client, server, half_close);
	/* The end of the connection comes through as well. */
	close(client);
	EXPECT(recv(server, &byte, 1, 0) <= 0 && errno != EAGAIN);
	close(server);
	expect_one_more(expected, order);
}

/*
 * Not redirected: no proxy may take its own address for the destination, and dial itself. They
 * close the connection; ss-redir says nothing for ever.
 */
static void check_direct(void)
{
	for (int i = 0; i < services; i++) {
		struct timeval patience = { .tv_usec = 300000 };
		struct sockaddr_in to = { .sin_family = AF_INET,
					  .sin_port = htons(SERVICE_PORT(i)),
					  .sin_addr = { htonl(INADDR_LOOPBACK) } };
		int descriptor = socket_of(V4, 0);
		char byte;

		setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		EXPECT(!connect(descriptor, (void *)&to, sizeof(to)), "%s", strerror(errno));
		send(descriptor, "x", 1, MSG_NOSIGNAL);
		EXPECT(recv(descriptor, &byte, 1, 0) <= 0);
		EXPECT(chain[i] == SHADOWSOCKS || errno != EAGAIN, "%s: no end",
		       kinds[chain[i]].name);
		close(descriptor);
	}
}

/*
 * glibc takes a host for one without IPv4 if 127.0.0.1 is all that it has, and then finds no
 * address for ss-server. Loopback all the same.
 */
static void add_address(void)
{
	struct ifreq request = { .ifr_name = "lo:1" };
	struct sockaddr_in *address = (void *)&request.ifr_addr;
	int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	address->sin_family = AF_INET;
	inet_pton(AF_INET, SERVER4, &address->sin_addr);
	EXPECT(!ioctl(descriptor, SIOCSIFADDR, &request), "%s", strerror(errno));
	close(descriptor);
}

int main(int argc, char **argv)
{
	struct expected expected = {};
	int place[CHAIN_MAX], order[CHAIN_MAX];
	int listeners[2];
	bool v6 = true, by_user = false;

	for (argv++; *argv; argv++) {
		int kind = 0;

		if (!strcmp(*argv, "everything")) {
			everything = true;
			continue;
		}
		if (!strcmp(*argv, "user")) {
			by_user = true;
			continue;
		}
		while (kind < KINDS && strcmp(*argv, kinds[kind].name))
			kind++;
		if (kind == KINDS || services == CHAIN_MAX) {
			fprintf(stderr, "usage: proxies [user] [everything] SERVICE...\n");
			return 1;
		}
		place[services] = services;
		chain[services++] = kind;
		v6 &= kinds[kind].v6;
		for (int i = 0; i < 2 && kinds[kind].programs[i]; i++)
			if (!find_program(kinds[kind].programs[i])) {
				printf("skipped: %s is not installed (apt-get install %s)\n",
				       kinds[kind].programs[i], kinds[kind].package);
				return 77;
			}
	}
	if (!services) {
		fprintf(stderr, "usage: proxies [user] [everything] SERVICE...\n");
		return 1;
	}
	world_begin(&world, "proxies");
	world.by_user = by_user;
	add_address();
	world_up(&world);
	world_server(&world);
	listeners[0] = server_listener(V4, OTHER_PORT);
	listeners[1] = server_listener(V6, OTHER_PORT);
	for (int i = 0; i < services; i++)
		start_service(i);
	do {
		apply(place);
		for (int i = 0; i < services; i++)
			order[place[i]] = i;
		for (enum family family = V4; family < FAMILIES; family++) {
			int descriptor;

			/* One that does not listen on ::1 is down for IPv6. */
			if (family == V6 && !v6) {
				if (!kinds[chain[order[0]]].v6)
					EXPECT(connect_to(V6, SERVER_PORT) == -ECONNREFUSED);
				continue;
			}
			descriptor = connect_to(family, SERVER_PORT);
			EXPECT(descriptor >= 0, "%s", strerror(-descriptor));
			echo_check(descriptor, "once each\n");
			close(descriptor);
			expected.server++;
			expect_one_more(&expected, order);
			check_counters(&expected);
			if (!everything)
				check_records(order, family);
			check_parallel(family, &expected, order);
			check_counters(&expected);
			check_transfer(family, &expected, order, listeners[family == V6]);
		}
	} while (next_order(place));
	check_counters(&expected);
	check_direct();
	for (int i = 0; i < services; i++)
		if (helpers[i]) {
			kill(helpers[i], SIGKILL);
			waitpid(helpers[i], NULL, 0);
		}
	world_end(&world);
}
