// SPDX-License-Identifier: BSD-2-Clause
/*
 * mptcp_quick: a service that accepts connections of MPTCP on another CPU than that of the handshake
 * has the socket before the kernel tells of the connection; it finds the record all the same.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "records_tools.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define SECONDS 5

static struct {
	atomic_int with, without, stop;
} * shared;

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void accept_all(int listener)
{
	run_on(0);
	while (!shared->stop) {
		int accepted = accept(listener, NULL, NULL);
		struct sockaddr_in said;
		socklen_t size = sizeof(said);

		if (accepted < 0)
			continue;
		if (query(accepted, WAYBILL_ORIGINAL_DESTINATION, &said, &size))
			shared->without++;
		else
			shared->with++;
		close(accepted);
	}
	_exit(0);
}

int main(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	int listener, one = 1, status;
	struct world world;
	pid_t child[2];

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	world_begin(&world, "mptcp_quick");
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		world_skip("needs two CPUs");
	world_up(&world);
	world_policy(&world, 1, NULL);
	as_service(&world, 0);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_MPTCP);
	if (listener < 0)
		world_skip("no MPTCP here");
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	EXPECT(!bind(listener, (void *)&at, sizeof(at)) && !listen(listener, 4096));
	child[0] = fork();
	if (!child[0])
		accept_all(listener);
	as_application(&world);
	child[1] = fork();
	if (!child[1]) {
		run_on(1);
		while (!shared->stop) {
			int client = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);

			connect_socket(client, V4, SERVER_PORT);
			close(client);
		}
		_exit(0);
	}
	sleep(SECONDS);
	shared->stop = 1;
	for (int i = 0; i < 2; i++)
		EXPECT(waitpid(child[i], &status, 0) == child[i] && !status);
	printf("%d accepted\n", shared->with);
	EXPECT(shared->with > 100 && !shared->without, "%d without", shared->without);
	as_root(&world);
	world_end(&world);
}
