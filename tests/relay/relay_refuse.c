/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks what the relay refuses: connections that nobody redirected, with a reset, a reason in the
 * log and a word to people; forwarding to itself; and options that make no sense, with status 2.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../patience.h"
#include "harness.h"

static void dialled_directly(void)
{
	struct relay_process relay;
	char *log;
	int client;

	relay_start(&relay, -1, NULL);
	client = dial(&relay.address);
	expect_reset(client);
	close(client);
	/* Whether Waybill is up where the test runs decides which. */
	relay_logged(&relay, "\"end\":\"refused: ", 1);
	log = memory_text(relay.output);
	CHECK(strstr(log, "refused: not redirected") || strstr(log, "refused: Waybill is not up"));
	free(log);
	relay_said(&relay, "see --allow-direct");
	CHECK(relay_stop(&relay, SIGTERM) == 0);
}

/* Started with these options, the relay exits with this status and says this. */
static void exits(int expected, const char *says, const char *const *options)
{
	const char *arguments[12] = { "waybill-relay" };
	char said[4096];
	int output[2], status, count = 1;
	ssize_t length, total = 0;
	pid_t child;

	while (*options)
		arguments[count++] = *options++;
	CHECK(!pipe(output));
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		dup2(output[1], STDERR_FILENO);
		alarm(patience(5));
		execv(getenv("WAYBILL_RELAY"), (char *const *)arguments);
		_exit(127);
	}
	close(output[1]);
	while ((length = read(output[0], said + total, sizeof(said) - 1 - total)) > 0)
		total += length;
	said[total] = '\0';
	close(output[0]);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == expected, "status %x: %s", status, said);
	CHECK(strstr(said, says), "%s", said);
}

#define EXITS(status, says, ...) exits(status, says, (const char *[]){ __VA_ARGS__, NULL })

int main(void)
{
	struct server server;
	char direct[32];

	dialled_directly();

	server_open(&server, 1);
	EXITS(1, "choose another port", "--listen", server.text);
	EXITS(1, "choose an address of this host", "--listen", "192.0.2.1:0");
	EXITS(1, "cannot open the log", "--listen", ":0", "--log", "/nonexistent/log");
	EXITS(2, "nowhere to listen", "--service", "a");
	EXITS(2, "is not ADDRESS:PORT", "--listen", "localhost:80");
	EXITS(2, "is not ADDRESS:PORT", "--listen", "127.0.0.1");
	EXITS(2, "is not ADDRESS:PORT", "--listen", "127.0.0.1:65536");
	EXITS(2, "is not ADDRESS:PORT", "--listen", "[::1:80");
	EXITS(2, "is not a port", "--listen", "::1:80");
	EXITS(2, "is not a port", "--listen", ":http");
	EXITS(2, "is not a number", "--listen", ":0", "--drain", "-1");
	EXITS(2, "is not a number", "--listen", ":0", "--max-connections", "0");
	EXITS(2, "is not a number", "--listen", ":0", "--idle-timeout", "5s");
	EXITS(2, "not an open file descriptor", "--listen", ":0", "--ready-fd", "999");
	EXITS(2, "is not an option", "--listen", ":0", "127.0.0.1:80");
	snprintf(direct, sizeof(direct), "127.66.0.2:%d", ntohs(server.address.sin_port));
	EXITS(2, "would talk to itself", "--listen", direct, "--allow-direct", direct);
	return 0;
}
