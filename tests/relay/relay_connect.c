/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks the time before bytes flow: a server that refuses or never answers resets the client; a
 * client that gave up before it was accepted costs the server nothing; one that had only finished
 * is still served; and one that gives up while the relay connects ends that too.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

static void refused(const struct relay_process *relay, struct server *server)
{
	int client;

	close(server->fd);
	client = dial(&relay->address);
	expect_reset(client);
	close(client);
	relay_logged(relay, "\"end\":\"connect failed: ECONNREFUSED\"", 1);
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(!setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)));
	CHECK(!bind(server->fd, (struct sockaddr *)&server->address, sizeof(server->address)));
	CHECK(!listen(server->fd, 0));
}

static void gone_before_accept(const struct relay_process *relay, const struct server *server)
{
	int client, accepted;

	kill(relay->pid, SIGSTOP);
	client = dial(&relay->address);
	send_text(client, "never mind");
	reset(client);
	kill(relay->pid, SIGCONT);
	relay_logged(relay, "\"end\":\"reset by client\"", 1);
	expect_silence(server->fd);

	kill(relay->pid, SIGSTOP);
	client = dial(&relay->address);
	send_text(client, "done");
	shutdown(client, SHUT_WR);
	kill(relay->pid, SIGCONT);
	accepted = server_accept(server);
	expect_text(accepted, "done");
	expect_end(accepted);
	close(accepted);
	expect_end(client);
	close(client);
}

/* With its queue full, a server on loopback is one that never answers. */
static void no_answer(const struct relay_process *relay, const struct server *server)
{
	int first = dial(&server->address), client, hasty;
	int64_t start, duration;

	start = milliseconds();
	client = dial(&relay->address);
	hasty = dial(&relay->address);
	send_text(client, "anybody there?");
	pause_milliseconds(100);
	reset(hasty);
	relay_logged(relay, "\"end\":\"reset by client\"", 2);
	CHECK(milliseconds() - start < 900);
	expect_reset(client);
	duration = milliseconds() - start;
	CHECK(duration > 900 && duration < 2500, "%lld ms", (long long)duration);
	close(client);
	close(first);
	relay_logged(relay, "\"end\":\"connect failed: ETIMEDOUT\"", 1);
}

int main(void)
{
	struct relay_process relay;
	struct server server;

	server_open(&server, 0);
	relay_start(
		&relay, -1,
		(const char *[]){ "--allow-direct", server.text, "--connect-timeout", "1", NULL });
	refused(&relay, &server);
	gone_before_accept(&relay, &server);
	no_answer(&relay, &server);
	CHECK(relay_stop(&relay, SIGTERM) == 0);
	return 0;
}
