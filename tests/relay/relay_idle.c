/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks --idle-timeout: a connection on which nothing moves is reset, a half-open one and one
 * that is stuck as well, and one on which a byte moves now and then, either way, is not.
 */
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

int main(void)
{
	static const char chunk[65536];
	struct pair silent, half, stuck, alive;
	struct relay_process relay;
	struct server server;
	int i;

	server_open(&server, 16);
	relay_start(&relay, -1,
		    (const char *[]){ "--allow-direct", server.text, "--idle-timeout", "2", NULL });
	alive = pair_open(&relay, &server);
	silent = pair_open(&relay, &server);
	half = pair_open(&relay, &server);
	stuck = pair_open(&relay, &server);
	shutdown(half.client, SHUT_WR);
	expect_end(half.server);
	for (i = 0; i < 1000; i++)
		if (send(stuck.client, chunk, sizeof(chunk), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			pause_milliseconds(1);
	for (i = 0; i < 7; i++) {
		pause_milliseconds(500);
		send_text(i % 2 ? alive.client : alive.server, "x");
		expect_text(i % 2 ? alive.server : alive.client, "x");
		if (i == 0)
			relay_logged(&relay, "\"end\":\"idle\"", 0);
	}
	relay_logged(&relay, "\"end\":\"idle\"", 3);
	expect_reset(silent.client);
	expect_reset(silent.server);
	expect_reset(half.client);
	CHECK(send(half.server, "x", 1, MSG_NOSIGNAL) < 0);
	pair_talk(&alive);
	close(alive.client);
	expect_end(alive.server);
	relay_logged(&relay, "\"end\":\"idle\"", 3);
	close(alive.server);
	relay_logged(&relay, "\"end\":\"closed\"", 1);
	close(silent.client);
	close(silent.server);
	close(half.client);
	close(half.server);
	close(stuck.client);
	close(stuck.server);
	CHECK(relay_stop(&relay, SIGTERM) == 0);
	return 0;
}
