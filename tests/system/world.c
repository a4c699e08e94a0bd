// SPDX-License-Identifier: BSD-2-Clause
/* The world of world.h: namespace, cgroups, instance, policy, and the test's own sockets. */
#include "world.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static struct world *current;

static void write_file(const char *path, const char *text)
{
	int descriptor = open(path, O_WRONLY | O_CLOEXEC);

	if (descriptor < 0 || write(descriptor, text, strlen(text)) < 0)
		EXPECT(false, "%s: %s", path, strerror(errno));
	close(descriptor);
}

/* Removes what outlives processes: pins and cgroups. Runs in a process of its own. */
static void clean(const struct world *world)
{
	static const char *const leaves[] = { "/app", "/other", "" };
	char path[512];
	bool found;

	instance_down(world->name, &found, NULL);
	snprintf(path, sizeof(path), "%s%s/cgroup.kill", world->mount, world->cgroup);
	int descriptor = open(path, O_WRONLY | O_CLOEXEC);

	if (descriptor >= 0 && write(descriptor, "1", 1) != 1)
		perror(path);
	close(descriptor);
	for (int try = 0; try < patience(200); try++) {
		for (int i = 0; i < SERVICES_MAX; i++) {
			snprintf(path, sizeof(path), "%s%s/s%d", world->mount, world->cgroup, i);
			rmdir(path);
		}
		for (size_t i = 0; i < sizeof(leaves) / sizeof(*leaves); i++) {
			snprintf(path, sizeof(path), "%s%s%s", world->mount, world->cgroup,
				 leaves[i]);
			if (!rmdir(path) && !*leaves[i])
				return;
		}
		usleep(10000);
	}
	fprintf(stderr, "%s: could not be removed\n", path);
}

/* A process that waits for the test to end, in whatever way, and then cleans up after it. */
static void start_cleaner(const struct world *world)
{
	struct pollfd test = { .fd = syscall(SYS_pidfd_open, getpid(), 0), .events = POLLIN };
	pid_t child;

	EXPECT(test.fd >= 0, "%s", strerror(errno));
	child = fork();
	EXPECT(child >= 0);
	if (child) {
		close(test.fd);
		return;
	}
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	while (poll(&test, 1, -1) != 1)
		;
	clean(world);
	_exit(0);
}

void world_skip(const char *reason)
{
	printf("skipped: %s\n", reason);
	exit(77);
}

void world_fail(const char *file, int line, const char *condition, const char *format, ...)
{
	const char *slash = strrchr(file, '/');
	va_list arguments;

	fprintf(stderr, "%s:%d: expected %s", slash ? slash + 1 : file, line, condition);
	if (format[1]) {
		fprintf(stderr, ":");
		va_start(arguments, format);
		vfprintf(stderr, format, arguments);
		va_end(arguments);
	}
	fprintf(stderr, "\n");
	if (current && current->seen && current->name[0])
		for (int i = 0; i <= SERVICES_MAX; i++)
			if (current->seen[i].ready)
				fprintf(stderr, "  %s %d: accepted %d, direct %d, failed %d (%s)\n",
					i == SERVICES_MAX ? "server" : "service", i,
					current->seen[i].accepted, current->seen[i].direct,
					current->seen[i].failed,
					strerror(current->seen[i].last_error));
	exit(1);
}

static void make_cgroups(struct world *world)
{
	static const char *const leaves[] = { "", "/app", "/other" };
	char path[512];

	for (size_t i = 0; i < sizeof(leaves) / sizeof(*leaves); i++) {
		snprintf(path, sizeof(path), "%s%s%s", world->mount, world->cgroup, leaves[i]);
		EXPECT(!mkdir(path, 0755), "%s: %s", path, strerror(errno));
	}
	for (int i = 0; i < SERVICES_MAX; i++) {
		snprintf(path, sizeof(path), "%s%s/s%d", world->mount, world->cgroup, i);
		EXPECT(!mkdir(path, 0755), "%s: %s", path, strerror(errno));
	}
	snprintf(path, sizeof(path), "%s%s/app/cgroup.procs", world->mount, world->cgroup);
	write_file(path, "0");
}

static void make_network(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	struct {
		struct in6_addr address;
		uint32_t prefix;
		int index;
	} v6 = { .prefix = 128 };
	int descriptor = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	EXPECT(!unshare(CLONE_NEWNET), "%s", strerror(errno));
	close(descriptor);
	descriptor = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	EXPECT(!ioctl(descriptor, SIOCSIFFLAGS, &request), "%s", strerror(errno));
	v6.index = if_nametoindex("lo");
	inet_pton(AF_INET6, SERVER6, &v6.address);
	EXPECT(!ioctl(descriptor, SIOCSIFADDR, &v6), "%s", strerror(errno));
	close(descriptor);
}

void world_begin(struct world *world, const char *name)
{
	struct message message;

	memset(world, 0, sizeof(*world));
	if (geteuid())
		world_skip("needs root");
	signal(SIGPIPE, SIG_IGN);
	if (cgroup_mount(world->mount, sizeof(world->mount), &message))
		world_skip(message.text);
	world->seen = mmap(NULL, sizeof(*world->seen) * (SERVICES_MAX + 1), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	EXPECT(world->seen != MAP_FAILED);
	snprintf(world->cgroup, sizeof(world->cgroup), "/waybill-test-%d", getpid());
	snprintf(world->name, sizeof(world->name), "test-%d", getpid());
	current = world;
	start_cleaner(world);
	make_network();
	make_cgroups(world);
	alarm(patience(240)); /* a test that hangs ends, and its world with it */
}

void world_up(struct world *world)
{
	struct message message = {};
	bool renewed;

	EXPECT(!instance_up(world->name, world->cgroup, world->connections, &renewed, &message), "%s", message.text);
	EXPECT(!instance_open(world->name, &world->instance, &message), "%s", message.text);
}

void world_begin_two(struct world *world, const char *name)
{
	world_begin(world, name);
	world_up(world);
	world_server(world);
	world_service(world, 0, SERVICE_RECORDS);
	world_service(world, 1, SERVICE_RECORDS);
}

int world_apply(struct world *world, const char *text)
{
	char path[] = "/tmp/waybill-test-XXXXXX";
	struct message message = {};
	struct apply_result result;
	struct policy *policy;
	int descriptor = mkstemp(path), error;
	FILE *file = fdopen(descriptor, "w");

	/* Destinations of tests are on loopback, and not at all of them somebody listens. */
	if (!strstr(text, "limits:"))
		fputs("limits: { unheard: redirect }\n", file);
	for (; *text; text++)
		if (text[0] == '%' && text[1] == 'C') {
			fputs(world->cgroup, file);
			text++;
		} else {
			fputc(*text, file);
		}
	fclose(file);
	error = policy_load(path, &policy, &message);
	unlink(path);
	if (!error) {
		error = instance_apply(world->instance, policy, &result, &message);
		policy_free(policy);
	}
	if (error)
		fprintf(stderr, "%s\n", message.text);
	return error;
}

void world_policy_for(struct world *world, const char *protocol, int services, const char *limits,
		      const char *extra)
{
	char text[8192];
	int length =
		snprintf(text, sizeof(text), "version: 1\n%sservices:\n", limits ? limits : "");

	for (int i = 0; i < services; i++) {
		length += snprintf(text + length, sizeof(text) - length,
				   "  - name: %c\n    weight: %d\n    endpoint: { %s: %d }\n",
				   'a' + i, 300 - 10 * i, protocol, SERVICE_PORT(i));
		if (world->by_user)
			length += snprintf(text + length, sizeof(text) - length,
					   "    identity: { user: %d }\n", SERVICE_UID(i));
		else
			length += snprintf(text + length, sizeof(text) - length,
					   "    identity: { cgroup: %s/s%d }\n", world->cgroup, i);
		length += snprintf(text + length, sizeof(text) - length, "%s", extra ? extra : "");
	}
	length += snprintf(text + length, sizeof(text) - length, "filters:\n");
	for (int i = 0; i < services; i++)
		length += snprintf(text + length, sizeof(text) - length,
				   "  - name: all\n    service: %c\n    match: { protocol: %s, "
				   "remote_port: [ 8080-8099 ] }\n    action: redirect\n"
				   "    context: \"for %c\"\n",
				   'a' + i, protocol, 'a' + i);
	EXPECT(!world_apply(world, text));
}

void world_policy(struct world *world, int services, const char *extra)
{
	world_policy_for(world, "tcp", services, NULL, extra);
}

socklen_t address_of(enum family family, uint16_t port, struct sockaddr_storage *address)
{
	struct sockaddr_in6 *v6 = (void *)address;
	struct sockaddr_in *v4 = (void *)address;

	memset(address, 0, sizeof(*address));
	if (family == V4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		inet_pton(AF_INET, SERVER4, &v4->sin_addr);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	inet_pton(AF_INET6, family == V6 ? SERVER6 : "::ffff:" SERVER4, &v6->sin6_addr);
	return sizeof(*v6);
}

int socket_of(enum family family, int flags)
{
	int descriptor =
		socket(family == V4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	EXPECT(descriptor >= 0, "%s", strerror(errno));
	return descriptor;
}

int connect_to(enum family family, uint16_t port)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(family, port, &address);
	int descriptor = socket_of(family, 0), error;

	if (connect(descriptor, (void *)&address, length)) {
		error = -errno;
		close(descriptor);
		return error;
	}
	return descriptor;
}

void echo_check(int descriptor, const char *text)
{
	struct timeval limit = { .tv_sec = patience(5) };
	char answer[256];
	size_t length = strlen(text), got = 0;

	setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	EXPECT(send(descriptor, text, length, MSG_NOSIGNAL) == (ssize_t)length, "%s",
	       strerror(errno));
	while (got < length) {
		ssize_t count = recv(descriptor, answer + got, sizeof(answer) - got, 0);

		if (count < 0 && errno == EINTR)
			continue;
		EXPECT(count > 0, "no echo: %s", count ? strerror(errno) : "closed");
		got += count;
	}
	EXPECT(got == length && !memcmp(answer, text, length), "the echo differs");
}

void expect_count(const char *what, atomic_int *number, int wanted)
{
	for (int i = 0; i < patience(200) && *number != wanted; i++)
		usleep(10000);
	EXPECT(*number == wanted, "%s: %d, not %d", what, *number, wanted);
}

uint64_t counter(struct world *world, enum counter which)
{
	uint64_t counters[COUNTERS];
	struct message message;

	EXPECT(!instance_counters(world->instance, counters, &message), "%s", message.text);
	return counters[which];
}

int connections_counted(struct world *world)
{
	struct connection_numbers numbers;
	char path[256];
	uint32_t zero = 0;
	int map;

	snprintf(path, sizeof(path), "/sys/fs/bpf/waybill/%s/maps/connection_numbers",
		 world->name);
	map = bpf_obj_get(path);
	EXPECT(map >= 0 && !bpf_map_lookup_elem(map, &zero, &numbers), "%s: %s", path,
	       strerror(errno));
	close(map);
	return numbers.total;
}

int map_entries(struct world *world, const char *name)
{
	char path[256], key[256], next[256];
	int map, count = 0;

	snprintf(path, sizeof(path), "/sys/fs/bpf/waybill/%s/maps/%s", world->name, name);
	map = bpf_obj_get(path);
	EXPECT(map >= 0, "%s: %s", path, strerror(errno));
	for (void *previous = NULL; !bpf_map_get_next_key(map, previous, next); previous = key) {
		memcpy(key, next, sizeof(key));
		count++;
	}
	close(map);
	return count;
}

void world_end(struct world *world)
{
	for (int i = 0; i < SERVICES_MAX; i++)
		if (world->service[i])
			world_service_end(world, i);
	if (world->server) {
		kill(world->server, SIGKILL);
		waitpid(world->server, NULL, 0);
	}
	instance_close(world->instance);
	exit(0);
}
