/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks that a FIN is passed on after the bytes before it, in either direction first, and that
 * the other direction goes on as long as it likes; that a FIN stays a FIN, also to a client that
 * has sent nothing; and that a connection is closed when both directions have ended.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

#define MUCH (8 * 1024 * 1024)

static void client_ends_first(const struct relay_process *relay, const struct server *server)
{
	struct pair pair = pair_open(relay, server);

	send_text(pair.client, "request");
	shutdown(pair.client, SHUT_WR);
	expect_text(pair.server, "request");
	expect_end(pair.server);
	pause_milliseconds(100);
	send_text(pair.server, "answer, first half;");
	expect_text(pair.client, "answer, first half;");
	pause_milliseconds(100);
	send_text(pair.server, "second half");
	close(pair.server);
	expect_text(pair.client, "second half");
	expect_end(pair.client);
	close(pair.client);
}

static void server_ends_first(const struct relay_process *relay, const struct server *server)
{
	struct pair pair = pair_open(relay, server);

	send_text(pair.server, "greeting");
	shutdown(pair.server, SHUT_WR);
	expect_text(pair.client, "greeting");
	expect_end(pair.client);
	pause_milliseconds(100);
	send_text(pair.client, "still here");
	expect_text(pair.server, "still here");
	close(pair.client);
	expect_end(pair.server);
	close(pair.server);
}

static void end_waits_for_bytes(const struct relay_process *relay, const struct server *server)
{
	struct pair pair = pair_open(relay, server);
	char *much = calloc(1, MUCH);
	size_t total = 0;
	ssize_t received;
	pid_t child;

	/* More than all buffers hold, so the FIN arrives at the relay while bytes are held. */
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		_exit(send(pair.client, much, MUCH, MSG_NOSIGNAL) != MUCH ||
		      shutdown(pair.client, SHUT_WR));
	}
	pause_milliseconds(200);
	while ((received = recv(pair.server, much, MUCH, 0)) > 0)
		total += received;
	CHECK(received == 0);
	CHECK(total == MUCH, "%zu bytes", total);
	send_text(pair.server, "thanks");
	close(pair.server);
	expect_text(pair.client, "thanks");
	expect_end(pair.client);
	close(pair.client);
	free(much);
}

static void nothing_but_ends(const struct relay_process *relay, const struct server *server)
{
	struct pair pair = pair_open(relay, server);

	close(pair.client);
	expect_end(pair.server);
	close(pair.server);
}

int main(void)
{
	struct relay_process relay;
	struct server server;

	server_open(&server, 16);
	relay_start(&relay, -1, (const char *[]){ "--allow-direct", server.text, NULL });
	client_ends_first(&relay, &server);
	relay_logged(&relay, "\"bytes_up\":7,\"bytes_down\":30,", 1);
	server_ends_first(&relay, &server);
	end_waits_for_bytes(&relay, &server);
	nothing_but_ends(&relay, &server);
	relay_logged(&relay, "\"end\":\"closed\"", 4);
	CHECK(relay_stop(&relay, SIGTERM) == 0);
	return 0;
}
