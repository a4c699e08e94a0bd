// SPDX-License-Identifier: BSD-2-Clause
/*
 * uid_taken user|cgroup|both: an application in a container takes the user id of a service, in the
 * user namespace of the host, in one of its own, and in one that was given the service's id; and
 * connects, binds the service's port, and sets its records. Where the service is told by user alone
 * it passes as the service, but not by a namespace of its own, in which the id stands for another;
 * where it is told by cgroup, or by both, it gains nothing.
 */
#include "records_tools.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum container { OF_HOST, OF_OWN, OF_SERVICE, CONTAINERS };

/* What the application came by. Shared with its process. */
struct attempt {
	unsigned char records[WAYBILL_RECORDS_MAX];
	size_t size;
	uid_t user;
	int set, connect, bind;
};

static struct world world;
static struct attempt *attempt;

static void write_map(pid_t process, const char *text)
{
	char path[64];
	int file;

	snprintf(path, sizeof(path), "/proc/%d/uid_map", process);
	file = open(path, O_WRONLY);
	EXPECT(file >= 0 && write(file, text, strlen(text)) > 0, "%s: %s", path, strerror(errno));
	close(file);
}

static void become(uid_t user)
{
	EXPECT(!setresuid(user, user, user), "%s", strerror(errno));
	/* Else its maps are not its own to write. */
	prctl(PR_SET_DUMPABLE, 1);
}

/* Takes the user id, as containers do. */
static void enter(enum container container, int go)
{
	char text[64], byte;

	world_enter(&world, "app");
	if (container == OF_HOST) {
		become(SERVICE_UID(0));
		return;
	}
	if (container == OF_OWN)
		become(APPLICATION_UID);
	EXPECT(!unshare(CLONE_NEWUSER), "%s", strerror(errno));
	if (container == OF_OWN) {
		snprintf(text, sizeof(text), "%d %d 1", SERVICE_UID(0), APPLICATION_UID);
		write_map(getpid(), text);
	} else {
		/* Root outside gives it the range. */
		EXPECT(read(go, &byte, 1) == 1);
		become(1);
	}
}

static int bind_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	int descriptor = socket_of(V4, 0), one = 1, error;

	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	error = bind(descriptor, (void *)&address, sizeof(address)) ? -errno : 0;
	close(descriptor);
	return error;
}

static void attempt_all(void)
{
	int own = socket_of(V4, 0);

	attempt->user = getuid();
	attempt->bind = bind_port();
	attempt->set = set_records(own, attempt->records, attempt->size);
	attempt->connect = connect_to(V4, SERVER_PORT);
	if (attempt->connect >= 0)
		attempt->connect = 0;
}

static void attempt_bind(void)
{
	attempt->bind = bind_port();
}

/* Waits until the process has a user namespace of its own, and gives it a range of ids. */
static void give_range(pid_t process, int go)
{
	char path[64], own[64] = "", link[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/ns/user", process);
	EXPECT(readlink("/proc/self/ns/user", own, sizeof(own) - 1) > 0);
	do {
		usleep(1000);
		EXPECT(readlink(path, link, sizeof(link) - 1) > 0);
	} while (!strcmp(own, link));
	write_map(process, "0 60000 10");
	EXPECT(write(go, "", 1) == 1);
}

static void in_container(enum container container, void (*function)(void))
{
	int status, go[2];
	pid_t child;

	as_root(&world);
	EXPECT(!pipe(go));
	child = fork();
	if (!child) {
		enter(container, go[0]);
		function();
		_exit(0);
	}
	if (container == OF_SERVICE)
		give_range(child, go[1]);
	EXPECT(waitpid(child, &status, 0) == child && !status);
	close(go[0]);
	close(go[1]);
}

static void run(enum container container, bool is_service)
{
	uint64_t redirected, refused;
	struct leg leg;
	int listener;

	listener = listener_of(&world, 0, V4, false);
	redirect_application(&world, 0, listener, V4, &leg);
	attempt->size = records_of(leg.accepted, attempt->records);
	redirected = counted(&world, COUNT_REDIRECTED);
	in_container(container, attempt_all);
	/* It takes itself for the service, though in the range that one is 1. */
	EXPECT(attempt->user == (container == OF_SERVICE ? 1 : SERVICE_UID(0)), "%u",
	       attempt->user);
	EXPECT_RESULT(attempt->bind, is_service ? -EADDRINUSE : -EACCES);
	EXPECT_RESULT(attempt->connect, 0);
	EXPECT(counted(&world, COUNT_REDIRECTED) == redirected + !is_service);
	if (is_service)
		EXPECT_RESULT(attempt->set, 0);
	else
		EXPECT(attempt->set == -EACCES || attempt->set == -EOPNOTSUPP ||
			       attempt->set == -ENOPROTOOPT,
		       "%s", result_name(attempt->set));
	close(listener);
	close(leg.client);
	close(leg.accepted);

	/* The service restarts. */
	refused = counted(&world, COUNT_BIND_REFUSED);
	in_container(container, attempt_bind);
	EXPECT_RESULT(attempt->bind, is_service ? 0 : -EACCES);
	EXPECT(counted(&world, COUNT_BIND_REFUSED) == refused + !is_service);
}

int main(int argc, char **argv)
{
	const char *by = argc > 1 ? argv[1] : "both";
	bool user = !strcmp(by, "user");
	char text[512];

	attempt = mmap(NULL, sizeof(*attempt), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	EXPECT(attempt != MAP_FAILED);
	world_begin(&world, "uid_taken");
	world_up(&world);
	world_server(&world);
	snprintf(text, sizeof(text),
		 "version: 1\nservices:\n"
		 "  - { name: a, weight: 1, endpoint: { tcp: 9001 }, identity: { %s%s%s } }\n"
		 "filters:\n"
		 "  - { name: all, service: a, match: { remote_port: 8080 }, action: redirect }\n",
		 strcmp(by, "cgroup") ? "user: 60001" : "", !strcmp(by, "both") ? ", " : "",
		 user ? "" : "cgroup: %C/s0");
	EXPECT(!world_apply(&world, text));
	for (enum container container = OF_HOST; container < CONTAINERS; container++)
		run(container, user && container != OF_OWN);
	as_root(&world);
	world_end(&world);
}
