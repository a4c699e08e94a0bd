/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks the duty of a redirect service, with stub.c in the place of the kernel half: the
 * connection goes where its client wanted, its records are put on the onward socket before
 * connect() and whole, nothing is connected if that fails, and --no-records forgets them. Checks
 * the log line of a redirected connection. Needs $WAYBILL_RELAY_STUB, the path of the stub.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

static int reports[2];

static void start(struct relay_process *relay, const struct server *server, const char *option)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", ntohs(server->address.sin_port));
	setenv("STUB_PORT", text, 1);
	CHECK(!pipe(reports));
	fcntl(reports[0], F_SETFD, FD_CLOEXEC);
	snprintf(text, sizeof(text), "%d", reports[1]);
	setenv("STUB_REPORT", text, 1);
	setenv("LD_PRELOAD", getenv("WAYBILL_RELAY_STUB"), 1);
	relay_start(relay, -1, (const char *[]){ option, NULL });
	unsetenv("LD_PRELOAD");
	close(reports[1]);
}

/* What the stub reported of the relay that has ended. */
static void reported(const char *expected)
{
	char text[256];
	ssize_t length = read(reports[0], text, sizeof(text) - 1);

	CHECK(length >= 0);
	text[length] = '\0';
	CHECK(!strcmp(text, expected), "it was: %s", text);
	close(reports[0]);
}

static void through(const struct relay_process *relay, const struct server *server)
{
	struct pair pair = pair_open(relay, server);

	pair_talk(&pair);
	close(pair.client);
	close(pair.server);
}

static void forwarded(const struct server *server)
{
	struct relay_process relay;
	char destination[64];

	setenv("STUB_CONTEXT", "tenant=42", 1);
	start(&relay, server, NULL);
	through(&relay, server);
	CHECK(relay_stop(&relay, SIGTERM) == 0);
	reported("records\nconnect\n");
	relay_logged(&relay, "\"flow\":\"000000001234abcd\"", 1);
	relay_logged(&relay,
		     "\"originator\":{\"pid\":15,\"uid\":0,\"gid\":0,\"comm\":\"caf\\\\xe9\\n\"",
		     1);
	relay_logged(&relay, "\"client\":{\"pid\":33,", 1);
	snprintf(destination, sizeof(destination), "\"original_destination\":\"%s\"", server->text);
	relay_logged(&relay, destination, 1);
	relay_logged(&relay,
		     "\"chain\":[{\"service\":\"0b00000f\",\"filter\":\"0000000b\","
		     "\"destination\":\"127.66.0.1:443\"},{\"service\":\"a0000021\",",
		     1);
	relay_logged(&relay, "\"context\":\"tenant=42\"", 1);
	relay_logged(&relay, "\"end\":\"closed\"", 1);
}

static void forgotten(const struct server *server)
{
	struct relay_process relay;

	setenv("STUB_CONTEXT", "\xff\x01", 1);
	start(&relay, server, "--no-records");
	through(&relay, server);
	CHECK(relay_stop(&relay, SIGTERM) == 0);
	reported("connect\n");
	relay_logged(&relay, "\"context_hex\":\"ff01\"", 1);
}

static void not_connected(const struct server *server)
{
	struct relay_process relay;
	char text[16];
	int client;

	snprintf(text, sizeof(text), "%d", EACCES);
	setenv("STUB_REFUSE", text, 1);
	unsetenv("STUB_CONTEXT");
	start(&relay, server, NULL);
	client = dial(&relay.address);
	expect_reset(client);
	close(client);
	relay_logged(&relay, "\"context", 0);
	relay_logged(&relay, "\"end\":\"records not forwarded: EACCES\"", 1);
	CHECK(relay_stop(&relay, SIGTERM) == 0);
	reported("");
	unsetenv("STUB_REFUSE");
}

/* The relay also listens where the stub says that the client wanted to go. */
static void talks_to_itself(void)
{
	struct relay_process relay;
	struct server server;
	char option[48];
	int client;

	server_open(&server, 1);
	close(server.fd);
	snprintf(option, sizeof(option), "--listen=%s", server.text);
	start(&relay, &server, option);
	client = dial(&relay.address);
	expect_reset(client);
	close(client);
	relay_logged(&relay, "\"end\":\"refused: the destination is this relay\"", 1);
	CHECK(relay_stop(&relay, SIGTERM) == 0);
	reported("");
}

int main(void)
{
	struct server server;

	if (!getenv("WAYBILL_RELAY_STUB")) {
		fprintf(stderr, "skipped: WAYBILL_RELAY_STUB does not name the stub\n");
		return TEST_SKIPPED;
	}
	server_open(&server, 16);
	forwarded(&server);
	forgotten(&server);
	not_connected(&server);
	talks_to_itself();
	return 0;
}
