// SPDX-License-Identifier: BSD-2-Clause
/*
 * applications: which file a process executes decides, by whatever path and name it is called; at
 * hand, and at the beginning of the chain, for connections and for datagrams. And in which network
 * namespace it is.
 */
#include "datagram_tools.h"

#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../../record/service_id.h"

static struct world world;
static char directory[] = "/tmp/waybill-applications-XXXXXX";
static char itself[PATH_MAX];

/* What a copy of this program does: 0, or the errno of its connect or sendto. */
static int act(enum family family, uint16_t port, bool udp)
{
	struct sockaddr_storage to;
	socklen_t length = address_of(family, port, &to);
	int descriptor =
		socket(family == V4 ? AF_INET : AF_INET6, udp ? SOCK_DGRAM : SOCK_STREAM, 0);

	if (udp && sendto(descriptor, "x", 1, 0, (void *)&to, length) != 1)
		return errno;
	if (udp) { /* a flow ends with its socket: until the server has answered */
		char answer[128];

		if (port == SERVER_PORT)
			recv(descriptor, answer, sizeof(answer), 0);
		return 0;
	}
	return connect(descriptor, (void *)&to, length) ? errno : 0;
}

struct run {
	const char *program; /* in the directory */
	const char *name;    /* that it is called by */
	enum family family;
	uint16_t port;
	bool udp;
};

static int start(void *data)
{
	const struct run *run = data;
	char path[PATH_MAX], family[8], port[8];

	snprintf(path, sizeof(path), "%s/%s", directory, run->program);
	snprintf(family, sizeof(family), "%d", run->family);
	snprintf(port, sizeof(port), "%d", run->port);
	execl(path, run->name ? run->name : run->program, "act", family, port,
	      run->udp ? "udp" : "tcp", NULL);
	return 200;
}

static int result_of(struct run run)
{
	return world_as(&world, "app", 61000, start, &run);
}

/* Of both protocols and all families. */
static void expect_blocked(const char *program, const char *name, uint16_t port, bool blocked)
{
	for (enum family family = V4; family < FAMILIES; family++)
		for (int udp = 0; udp < 2; udp++) {
			int got = result_of((struct run){ program, name, family, port, udp });

			EXPECT(got == (blocked ? ECONNREFUSED : 0), "%s at %d: %d", program, port,
			       got);
		}
}

static const char *in_directory(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned int next;
	char *here = path[next++ % 4];

	snprintf(here, PATH_MAX, "%s/%s", directory, name);
	return here;
}

static void copy_to(const char *name)
{
	char command[3 * PATH_MAX];

	snprintf(command, sizeof(command), "cp %s %s && chmod 755 %s", itself, in_directory(name),
		 in_directory(name));
	EXPECT(!system(command));
}

static void make_programs(void)
{
	EXPECT(mkdtemp(directory) && !chmod(directory, 0755));
	EXPECT(readlink("/proc/self/exe", itself, sizeof(itself) - 1) > 0);
	copy_to("one");
	copy_to("two");
	copy_to("three");
	EXPECT(!link(in_directory("one"), in_directory("one_too")));
	EXPECT(!symlink("one", in_directory("to_one")));
}

static void remove_programs(void)
{
	char command[PATH_MAX];

	snprintf(command, sizeof(command), "rm -r %s", directory);
	EXPECT(!system(command));
}

/* A policy of service a; %D stands for the directory. */
static int apply_with(const char *services, const char *filters)
{
	char text[8192];
	size_t length = snprintf(text, sizeof(text), "%sfilters:\n", services);

	for (; *filters && length < sizeof(text) - PATH_MAX; filters++)
		if (filters[0] == '%' && filters[1] == 'D') {
			length += snprintf(text + length, sizeof(text) - length, "%s", directory);
			filters++;
		} else {
			text[length++] = *filters;
		}
	text[length] = 0;
	return world_apply(&world, text);
}

#define ONE_SERVICE                                                                                \
	"version: 1\nservices:\n  - { name: a, weight: 2, endpoint: { tcp: 9001, udp: 9001 }, "    \
	"identity: { cgroup: %C/s0 } }\n"

static void by_path(void)
{
	EXPECT(!apply_with(
		ONE_SERVICE,
		"  - { name: one, service: a, action: block, match: { remote_port: 7001, "
		"application: %D/to_one } }\n"
		"  - { name: not-one, service: a, action: block, match: { remote_port: 7002 }, "
		"except: { application: [ %D/one, %D/three ] } }\n"
		"  - { name: began, service: a, action: block, match: { remote_port: 7003, "
		"original_application: [ %D/one, %D/two ] }, except: { original_application: "
		"%D/two } }\n"));
	expect_blocked("one", NULL, 7001, true);
	expect_blocked("to_one", NULL, 7001, true);
	expect_blocked("one_too", NULL, 7001, true);
	/* The name is what a process says of itself. */
	expect_blocked("one", "two", 7001, true);
	expect_blocked("two", "one", 7001, false);
	expect_blocked("one", NULL, 7002, false);
	expect_blocked("two", NULL, 7002, true);
	expect_blocked("three", NULL, 7002, false);
	expect_blocked("one", NULL, 7003, true);
	expect_blocked("two", NULL, 7003, false);
	expect_blocked("three", NULL, 7003, false);
}

/* Another file at the same path is another application, until the policy is applied again. */
static void replaced(void)
{
	struct stat before, after;
	int tries = 0;

	EXPECT(!stat(in_directory("one"), &before));
	EXPECT(!unlink(in_directory("one")) && !unlink(in_directory("one_too")));
	do { /* as near to the old one as it gets: on some file systems with its inode's number */
		unlink(in_directory("one"));
		copy_to("one");
		EXPECT(!stat(in_directory("one"), &after));
	} while (after.st_ino != before.st_ino && ++tries < 5);
	expect_blocked("one", NULL, 7001, false);

	EXPECT(!link(in_directory("one"), in_directory("one_too")));
	by_path();
}

static void errors(void)
{
	EXPECT(apply_with(ONE_SERVICE, "  - { name: x, service: a, action: block, match: { "
				       "application: %D/nowhere } }\n") == -ENOENT);
	EXPECT(apply_with(ONE_SERVICE, "  - { name: x, service: a, action: block, match: { "
				       "application: %D } }\n") == -ENOEXEC);
	EXPECT(apply_with(ONE_SERVICE, "  - { name: x, service: a, action: block, except: { "
				       "original_application: /etc/passwd } }\n") == -ENOEXEC);
	EXPECT(apply_with(ONE_SERVICE, "  - { name: x, service: a, action: block, match: { "
				       "application: curl } }\n") == -EINVAL);
	EXPECT(apply_with(ONE_SERVICE, "  - { name: x, service: a, action: block, match: { "
				       "netns: nowhere } }\n") == -EINVAL);
	EXPECT(apply_with(ONE_SERVICE, "  - { name: x, service: a, action: block, match: { "
				       "netns: /etc/passwd } }\n") == -EINVAL);
}

/* b is told whether "one" began it, although a is in between; c, whether a asks now. */
#define CHAIN                                                                                      \
	"version: 1\nservices:\n"                                                                  \
	"  - { name: a, weight: 3, endpoint: { tcp: 9001, udp: 9001 }, identity: { cgroup: "       \
	"%C/s0 } }\n"                                                                              \
	"  - { name: b, weight: 2, endpoint: { tcp: 9002, udp: 9002 }, identity: { cgroup: "       \
	"%C/s1 } }\n"                                                                              \
	"  - { name: c, weight: 1, endpoint: { tcp: 9003, udp: 9003 }, identity: { cgroup: "       \
	"%C/s2 } }\n"

static void through_the_chain(bool udp)
{
	char filters[2 * PATH_MAX], real[PATH_MAX];
	int seen[2][3] = { { 1, 1, 0 }, { 2, 1, 1 } };

	snprintf(filters, sizeof(filters),
		 "  - { name: all, service: a, action: redirect, match: { remote_port: 8080 } }\n"
		 "  - { name: one, service: b, action: redirect, match: { remote_port: 8080, "
		 "original_application: %%D/one } }\n"
		 "  - { name: not-one, service: c, action: redirect, match: { remote_port: 8080, "
		 "application: %s }, except: { original_application: %%D/one } }\n",
		 itself);
	EXPECT(!apply_with(CHAIN, filters));
	for (int i = 0; i < 2; i++) {
		EXPECT(!result_of(
			(struct run){ i ? "two" : "one", NULL, i ? V6 : V4, SERVER_PORT, udp }));
		for (int service = 0; service < 3; service++)
			expect_count("service", &world.seen[service].accepted, seen[i][service]);
		usleep(50000);
		for (int service = 0; service < 3; service++)
			EXPECT(world.seen[service].accepted == seen[i][service], "%d: %d", service,
			       world.seen[service].accepted);
	}
	/* Services are told the number of an application that the policy names. */
	EXPECT(realpath(in_directory("one"), real));
	if (!udp)
		EXPECT(world.seen[1].info.originator.application == record_service_id(real) &&
		       world.seen[1].info.client.application == record_service_id(itself) &&
		       !world.seen[2].info.originator.application);
}

/* In a namespace of its own, to itself. */
static int alone(void *data)
{
	struct sockaddr_storage at;
	socklen_t length = address_of(V4, 7004, &at);
	int listener, ready[2] = { ((int *)data)[0], ((int *)data)[1] };
	char byte = 0;

	if (unshare(CLONE_NEWNET) || system("ip link set lo up"))
		return 201;
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&at, length) || listen(listener, 4) ||
	    write(ready[1], &byte, 1) != 1 || read(ready[0], &byte, 1) != 1)
		return 202;
	return act(V4, 7004, false);
}

static void by_namespace(void)
{
	int ready[2], status;
	char filter[256];

	EXPECT(!socketpair(AF_UNIX, SOCK_STREAM, 0, ready));
	for (int blocked = 0; blocked < 2; blocked++) {
		int pair[2] = { ready[1], ready[1] };
		char byte;
		pid_t child = fork();

		if (!child) {
			world_enter(&world, "app");
			_exit(alone(pair));
		}
		EXPECT(read(ready[0], &byte, 1) == 1);
		snprintf(filter, sizeof(filter),
			 "  - { name: there, service: a, action: block, match: { remote_port: "
			 "7004, netns: /proc/%d/ns/net } }\n",
			 blocked ? child : getpid());
		EXPECT(!apply_with(ONE_SERVICE, filter));
		EXPECT(result_of((struct run){ "one", NULL, V4, 7004, false }) ==
		       (blocked ? 0 : ECONNREFUSED));
		EXPECT(write(ready[0], &byte, 1) == 1);
		EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status));
		EXPECT(WEXITSTATUS(status) == (blocked ? ECONNREFUSED : 0), "%d",
		       WEXITSTATUS(status));
	}
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "act"))
		return act(atoi(argv[2]), atoi(argv[3]), !strcmp(argv[4], "udp"));
	world_begin(&world, "applications");
	world_up(&world);
	make_programs();
	if (argc == 2) {
		bool udp = !strcmp(argv[1], "udp");

		for (int i = 0; i < 3; i++)
			if (udp)
				datagram_service(&world, i, DATAGRAMS_RECORDS);
			else
				world_service(&world, i, SERVICE_RECORDS);
		if (udp)
			datagram_server(&world);
		else
			world_server(&world);
		through_the_chain(udp);
	} else {
		servers_listen(7001, 7004);
		by_path();
		replaced();
		errors();
		by_namespace();
	}
	remove_programs();
	world_end(&world);
}
