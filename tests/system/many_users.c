// SPDX-License-Identifier: BSD-2-Clause
/*
 * many_users: root of a user namespace has as many users as he likes, and all of them together have
 * one share: of connections, and of flows of datagrams. Everybody else is served meanwhile, also a
 * user of another namespace that the same root has made for somebody else. Argument: tcp or udp.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "datagram_tools.h"
#include "records_tools.h"

#define ROOM 1024
#define USERS 9
#define ATTACKER 61500
#define VICTIM 61600
#define FIRST_UID 200000

static struct world world;
static bool udp;
static atomic_int *opened; /* shared */

static void write_to(pid_t process, const char *name, const char *text)
{
	char path[64];
	int descriptor;

	snprintf(path, sizeof(path), "/proc/%d/%s", process, name);
	descriptor = open(path, O_WRONLY);
	EXPECT(descriptor >= 0 && write(descriptor, text, strlen(text)) > 0, "%s: %s", path,
	       strerror(errno));
	close(descriptor);
}

/* Opens until it is refused. */
static void open_all(void)
{
	struct rlimit files;
	int descriptor = datagram_socket(V4);

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	for (int i = 0; i < 20000; i++) {
		struct sockaddr_storage to;
		socklen_t length = address_of(V4, SERVER_PORT + 1, &to);

		if (udp) {
			length = datagram_address(V4, 256 + i, &to);
			if (sendto(descriptor, "x", 1, 0, (void *)&to, length) != 1)
				break;
		} else {
			descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
			if (descriptor < 0 ||
			    (connect(descriptor, (void *)&to, length) && errno != EINPROGRESS))
				break;
		}
		++*opened;
	}
}

/* A namespace of its own, with users that root gives it. Never returns. */
static void attack(int ready, int go, int done)
{
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	EXPECT(!setresgid(ATTACKER, ATTACKER, ATTACKER) &&
	       !setresuid(ATTACKER, ATTACKER, ATTACKER));
	prctl(PR_SET_DUMPABLE, 1);
	if (unshare(CLONE_NEWUSER))
		_exit(77);
	EXPECT(write(ready, "r", 1) == 1 && read(go, &byte, 1) == 1);
	EXPECT(!setresgid(0, 0, 0) && !setresuid(0, 0, 0), "%s", strerror(errno));
	for (int i = 0; i < USERS; i++) {
		pid_t child = fork();

		if (!child) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			/* One of them goes deeper, to no avail. */
			if (i == USERS - 1)
				EXPECT(!unshare(CLONE_NEWUSER));
			else
				EXPECT(!setresuid(1 + i, 1 + i, 1 + i), "%s", strerror(errno));
			open_all();
			EXPECT(write(done, "d", 1) == 1);
			pause();
			_exit(0);
		}
	}
	pause();
	_exit(0);
}

static int ask(void *data)
{
	(void)data;
	for (int i = 0; i < 20; i++) {
		if (udp) {
			int descriptor = datagram_socket(V4);

			datagram_check(descriptor, V4, 0, "hello");
			close(descriptor);
		} else {
			int descriptor = connect_to(V4, SERVER_PORT);

			EXPECT(descriptor >= 0, "%s", result_name(descriptor));
			echo_check(descriptor, "hello\n");
			close(descriptor);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	int ready[2], go[2], done[2], most;
	char bytes[USERS], map[64];
	size_t ended = 0;
	pid_t attacker;

	udp = argc > 1 && !strcmp(argv[1], "udp");
	opened = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	world_begin(&world, "many_users");
	world.connections = ROOM;
	world_up(&world);
	if (udp) {
		datagram_policy(&world, 1, NULL);
		datagram_service(&world, 0, DATAGRAMS_ANSWERS);
	} else {
		/* What the attacker opens nobody answers. */
		EXPECT(!world_apply(&world, WORLD_TWO_SERVICES
				    "filters:\n"
				    "  - { name: a, service: a, action: redirect, match: { "
				    "remote_port: 8081 } }\n"
				    "  - { name: b, service: b, action: redirect, match: { "
				    "remote_port: 8080 } }\n"));
		world_service(&world, 0, SERVICE_LISTENS);
		world_service(&world, 1, SERVICE_RECORDS);
		world_server(&world);
	}
	EXPECT(!pipe(ready) && !pipe(go) && !pipe(done));
	attacker = fork();
	if (!attacker) {
		world_enter(&world, "app");
		attack(ready[1], go[0], done[1]);
	}
	close(ready[1]);
	if (read(ready[0], bytes, 1) != 1)
		world_skip("no user namespaces here");
	snprintf(map, sizeof(map), "0 %d 65536", FIRST_UID);
	write_to(attacker, "uid_map", map);
	write_to(attacker, "gid_map", map);
	EXPECT(write(go[1], "g", 1) == 1);
	while (ended < USERS) {
		ssize_t count = read(done[0], bytes, USERS);

		EXPECT(count > 0);
		ended += count;
	}
	most = udp ? FLOW_SHARE : ROOM / 2;
	EXPECT(*opened >= most / 2 && *opened <= most + USERS, "%d", *opened);
	EXPECT(!world_as(&world, "app", VICTIM, ask, NULL));
	/* A user whom the attacker's are called after is another all the same. */
	EXPECT(!world_as(&world, "app", FIRST_UID + 1, ask, NULL));
	EXPECT(counter(&world, udp ? COUNT_FLOW_FULL : COUNT_CONNECTIONS_FULL) >= USERS);
	EXPECT(counter(&world, COUNT_UNCLAIMED) == 0);
	kill(attacker, SIGKILL);
	world_end(&world);
}
