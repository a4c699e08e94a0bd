/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks the end of the relay: told to end it refuses new clients, serves those that had
 * connected, waits for live ones, resets them at the deadline or at the second signal, and exits
 * with 0 each time.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

static void start(struct relay_process *relay, const struct server *server, const char *seconds)
{
	relay_start(relay, -1,
		    (const char *[]){ "--allow-direct", server->text, "--drain", seconds, NULL });
}

static void lets_them_finish(const struct server *server)
{
	struct relay_process relay;
	struct pair pair;
	int late;

	start(&relay, server, "20");
	pair = pair_open(&relay, server);
	pair_talk(&pair);
	kill(relay.pid, SIGTERM);
	relay_said(&relay, "1 connections have 20 seconds to finish");
	late = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(late, (struct sockaddr *)&relay.address, sizeof(relay.address)) < 0 &&
	      errno == ECONNREFUSED);
	close(late);
	pair_talk(&pair);
	close(pair.client);
	expect_end(pair.server);
	close(pair.server);
	CHECK(relay_wait(&relay) == 0);
	relay_logged(&relay, "\"end\":\"closed\"", 1);
}

static void serves_the_queue(const struct server *server)
{
	struct relay_process relay;
	struct pair pair;

	start(&relay, server, "20");
	kill(relay.pid, SIGSTOP);
	kill(relay.pid, SIGTERM);
	pair.client = dial(&relay.address);
	kill(relay.pid, SIGCONT);
	pair.server = server_accept(server);
	pair_talk(&pair);
	close(pair.client);
	close(pair.server);
	CHECK(relay_wait(&relay) == 0);
}

static void deadline(const struct server *server)
{
	int64_t begin = milliseconds(), duration;
	struct relay_process relay;
	struct pair pair;

	start(&relay, server, "1");
	pair = pair_open(&relay, server);
	pair_talk(&pair);
	CHECK(relay_stop(&relay, SIGINT) == 0);
	duration = milliseconds() - begin;
	CHECK(duration > 900 && duration < 4000, "%lld ms", (long long)duration);
	expect_reset(pair.client);
	expect_reset(pair.server);
	close(pair.client);
	close(pair.server);
	relay_logged(&relay, "\"end\":\"drained\"", 1);
}

static void second_signal(const struct server *server)
{
	int64_t begin = milliseconds();
	struct relay_process relay;
	struct pair pair;

	start(&relay, server, "60");
	pair = pair_open(&relay, server);
	pair_talk(&pair);
	kill(relay.pid, SIGTERM);
	relay_said(&relay, "60 seconds to finish");
	CHECK(relay_stop(&relay, SIGTERM) == 0);
	CHECK(milliseconds() - begin < 4000);
	expect_reset(pair.client);
	expect_reset(pair.server);
	close(pair.client);
	close(pair.server);
	relay_logged(&relay, "\"end\":\"drained\"", 1);
}

int main(void)
{
	struct server server;

	server_open(&server, 16);
	lets_them_finish(&server);
	serves_the_queue(&server);
	deadline(&server);
	second_signal(&server);
	return 0;
}
