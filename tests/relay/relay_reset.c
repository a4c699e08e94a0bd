/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks that a RST on one side becomes a RST on the other: from the client, from the server,
 * after a half-close, and while the other side does not read; and that what a server sent before
 * it reset still reaches the client.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../patience.h"
#include "harness.h"

static void fill(int fd)
{
	static const char chunk[65536];
	int64_t end = milliseconds() + 200;

	while (milliseconds() < end)
		if (send(fd, chunk, sizeof(chunk), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			pause_milliseconds(5);
}

static void expect_reset_after_bytes(int fd)
{
	char chunk[65536];
	ssize_t received;

	while ((received = recv(fd, chunk, sizeof(chunk), 0)) > 0)
		;
	CHECK(received < 0 && errno == ECONNRESET, "%zd", received);
}

/* The reset is there before anything is read, and however much could be. */
static void expect_reset_at_once(int fd)
{
	struct pollfd ready = { .fd = fd, .events = 0 };

	CHECK(poll(&ready, 1, patience(2000)) == 1);
	CHECK(ready.revents & POLLERR);
	expect_reset_after_bytes(fd);
}

int main(void)
{
	struct relay_process relay;
	struct server server;
	struct pair pair;

	server_open(&server, 16);
	relay_start(&relay, -1, (const char *[]){ "--allow-direct", server.text, NULL });

	pair = pair_open(&relay, &server);
	pair_talk(&pair);
	reset(pair.client);
	expect_reset(pair.server);
	close(pair.server);
	relay_logged(&relay, "reset by client", 1);

	pair = pair_open(&relay, &server);
	pair_talk(&pair);
	reset(pair.server);
	expect_reset(pair.client);
	close(pair.client);
	relay_logged(&relay, "reset by server", 1);

	/* Half-closed: the side that has ended can still give up. */
	pair = pair_open(&relay, &server);
	shutdown(pair.client, SHUT_WR);
	expect_end(pair.server);
	reset(pair.client);
	pause_milliseconds(100);
	CHECK(send(pair.server, "x", 1, MSG_NOSIGNAL) < 0, "the server was not reset");
	close(pair.server);
	relay_logged(&relay, "reset by client", 2);

	/* Half-closed, and the other side gives up. */
	pair = pair_open(&relay, &server);
	shutdown(pair.client, SHUT_WR);
	expect_end(pair.server);
	reset(pair.server);
	expect_reset(pair.client);
	close(pair.client);
	relay_logged(&relay, "reset by server", 2);

	/* Nothing is read on the other side. */
	pair = pair_open(&relay, &server);
	fill(pair.client);
	reset(pair.client);
	expect_reset_at_once(pair.server);
	close(pair.server);
	relay_logged(&relay, "reset by client", 3);

	pair = pair_open(&relay, &server);
	fill(pair.server);
	reset(pair.server);
	expect_reset_at_once(pair.client);
	close(pair.client);
	relay_logged(&relay, "reset by server", 3);

	/* A server that answers without reading the request: its close() is a reset. */
	pair = pair_open(&relay, &server);
	fill(pair.client);
	kill(relay.pid, SIGSTOP); /* so that it hears of the answer and of the reset at once */
	send_text(pair.server, "413 Content Too Large");
	reset(pair.server);
	kill(relay.pid, SIGCONT);
	expect_text(pair.client, "413 Content Too Large");
	expect_reset(pair.client);
	close(pair.client);
	relay_logged(&relay, "reset by server", 4);

	CHECK(relay_stop(&relay, SIGTERM) == 0);
	return 0;
}
