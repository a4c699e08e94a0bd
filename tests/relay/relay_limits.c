/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks what happens when there is no room: at --max-connections clients wait and are served when
 * one ends; out of descriptors they are reset. The relay spins in neither case, and recovers.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

static void clients_wait(const struct server *server)
{
	struct relay_process relay;
	struct pair a, b, c;
	long busy;

	relay_start(
		&relay, -1,
		(const char *[]){ "--allow-direct", server->text, "--max-connections", "2", NULL });
	a = pair_open(&relay, server);
	b = pair_open(&relay, server);
	c.client = dial(&relay.address);
	send_text(c.client, "waiting");
	busy = relay_processor_time(&relay);
	expect_silence(server->fd);
	pause_milliseconds(300);
	busy = relay_processor_time(&relay) - busy;
	CHECK(busy < 100, "the relay spins: %ld of 500 ms", busy);
	relay_said(&relay, "2 connections are open");
	pair_talk(&a);
	pair_talk(&b);
	close(a.client);
	close(a.server);
	c.server = server_accept(server);
	expect_text(c.server, "waiting");
	pair_talk(&c);
	close(b.client);
	close(b.server);
	close(c.client);
	close(c.server);
	relay_logged(&relay, "\"end\":\"closed\"", 3);
	CHECK(relay_stop(&relay, SIGTERM) == 0);
}

static void out_of_descriptors(const struct server *server)
{
	struct relay_process relay;
	int clients[20], before, i;
	struct pair live, late;
	long busy;

	relay_start(&relay, -1, (const char *[]){ "--allow-direct", server->text, NULL });
	live = pair_open(&relay, server);
	pair_talk(&live);
	before = relay_descriptors(&relay);

	/* None for accept. */
	relay_allow_descriptors(&relay, 0);
	busy = relay_processor_time(&relay);
	for (i = 0; i < 20; i++)
		clients[i] = dial(&relay.address);
	for (i = 0; i < 20; i++) {
		expect_reset(clients[i]);
		close(clients[i]);
	}
	pause_milliseconds(300);
	busy = relay_processor_time(&relay) - busy;
	CHECK(busy < 150, "the relay spins: %ld of 300 ms", busy);
	relay_said(&relay, "out of file descriptors");
	pair_talk(&live);

	/* One for accept, none for the onward socket. */
	relay_allow_descriptors(&relay, 1);
	clients[0] = dial(&relay.address);
	expect_reset(clients[0]);
	close(clients[0]);
	relay_logged(&relay, "\"end\":\"connect failed: EMFILE\"", 1);

	relay_allow_descriptors(&relay, 2);
	late = pair_open(&relay, server);
	pair_talk(&late);
	close(late.client);
	close(late.server);
	relay_logged(&relay, "\"end\":\"closed\"", 1);
	CHECK(relay_descriptors(&relay) == before, "descriptors leak");
	close(live.client);
	close(live.server);
	CHECK(relay_stop(&relay, SIGTERM) == 0);
}

int main(void)
{
	struct server server;

	server_open(&server, 16);
	clients_wait(&server);
	out_of_descriptors(&server);
	return 0;
}
