// SPDX-License-Identifier: BSD-2-Clause
/*
 * connection_again: sockets that are used again and again, while others take the numbers that they
 * leave. Argument: "port": one bound port, by one socket after the other, to two services; "socket":
 * the same socket, disconnected and connected; "onward": an onward socket that was redirected once
 * and is asked how it stands. Everybody who is accepted has a record, nobody another's, and what is
 * left is not counted.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "records_tools.h"

#define ROOM 64
#define CLIENTS 3
#define SECONDS 6

static const char policy[] = WORLD_TWO_SERVICES
	"filters:\n"
	"  - { name: a, service: a, action: redirect, match: { remote_port: [ 8080, 8082 ] } }\n"
	"  - { name: b, service: b, action: redirect, match: { remote_port: [ 8081, 8082 ] } }\n";

static struct world world;
static struct {
	atomic_int with, without, others, stop;
} * shared;

static void accept_all(int service, int listener)
{
	struct linger reset = { .l_onoff = 1 };

	as_service(&world, service);
	for (;;) {
		int accepted = accept(listener, NULL, NULL);

		if (accepted < 0)
			continue;
		if (state_of(accepted) == WAYBILL_REDIRECTED_BY_SELF)
			shared->with++;
		else
			shared->without++;
		/* The client's port is free at once. */
		setsockopt(accepted, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(accepted);
	}
}

static void wait_for_end(int descriptor)
{
	struct timeval limit = { .tv_sec = 1 };
	char byte;

	setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	recv(descriptor, &byte, 1, 0);
}

/* By a bound port (0: none), with a new socket each time or with one. */
static void connect_on(int client, bool bound, bool again)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(41000 + client) };
	int descriptor = -1, one = 1;

	as_application(&world);
	for (unsigned int n = 0; !shared->stop; n++) {
		if (descriptor < 0) {
			descriptor = socket_of(V4, 0);
			setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
			if (bound)
				EXPECT(!bind(descriptor, (void *)&at, sizeof(at)), "%s",
				       strerror(errno));
		}
		if (!connect_socket(descriptor, V4, SERVER_PORT + n % 2))
			wait_for_end(descriptor);
		if (again) {
			disconnect(descriptor);
			continue;
		}
		close(descriptor);
		descriptor = -1;
	}
	_exit(0);
}

/* A service asks its onward socket, which has left its number, while others take that. */
static void ask_onward(int listener)
{
	struct waybill_info info;
	struct leg leg;
	int onward, own = 0;

	redirect_application(&world, 0, listener, V4, &leg);
	while (!shared->stop) {
		socklen_t size = sizeof(info);

		as_service(&world, 0);
		onward = onward_of(&world, 0, leg.accepted);
		/* To b, whose queue is full: it is never established. */
		fcntl(onward, F_SETFL, O_NONBLOCK);
		connect_socket(onward, V4, SERVER_PORT + 2);
		disconnect(onward);
		for (int i = 0; i < 200; i++) {
			size = sizeof(info);
			if (query(onward, WAYBILL_REDIRECT_INFO, &info, &size))
				continue;
			if (ntohs(info.original_destination.port) == SERVER_PORT + 1)
				shared->others++;
			else
				own++;
		}
		close(onward);
	}
	_exit(own ? 0 : 1);
}

int main(int argc, char **argv)
{
	bool bound = argc > 1 && !strcmp(argv[1], "port");
	bool onward = argc > 1 && !strcmp(argv[1], "onward");
	int listener[2], status, clients = 0;
	pid_t service[2], client[CLIENTS + 1];

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	world_begin(&world, "connection_again");
	world.connections = ROOM;
	world_up(&world);
	EXPECT(!world_apply(&world, policy));
	for (int i = 0; i < 2; i++)
		listener[i] = listener_of(&world, i, V4, false);
	as_root(&world);
	if (onward) {
		EXPECT(!(client[clients++] = fork()) ? (ask_onward(listener[0]), 0) : 1);
		usleep(300000);
	}
	for (int i = 0; i < 2; i++) {
		service[i] = fork();
		if (!service[i])
			accept_all(i, listener[i]);
	}
	for (int i = 0; i < CLIENTS; i++, clients++) {
		client[clients] = fork();
		if (!client[clients])
			/* One of them is another kind of client, who looks at what the others left. */
			connect_on(i, bound && i, !bound);
	}
	sleep(SECONDS);
	shared->stop = 1;
	for (int i = 0; i < clients; i++)
		EXPECT(waitpid(client[i], &status, 0) == client[i] && !status, "client %d: %x", i,
		       status);
	for (int i = 0; i < 2; i++) {
		kill(service[i], SIGKILL);
		waitpid(service[i], NULL, 0);
	}
	printf("%d accepted\n", shared->with);
	EXPECT(shared->with > 1000 && !shared->without && !shared->others, "%d without, %d others",
	       shared->without, shared->others);
	EXPECT(counter(&world, COUNT_UNCLAIMED) == 0);
	EXPECT(connections_counted(&world) <= ROOM);
	world_end(&world);
}
