/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks the log: the server's name as TLS and HTTP clients say it, also in pieces; a file, moved
 * away and opened again; a reader who never reads, which stops nothing, costs whole lines only,
 * and is told of at the end; and that the pipe stays blocking for the others who write to it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define LINES 2500 /* of over 150 bytes: more than a pipe and the relay's buffer hold */

static const char hello[] =
	"\x16\x03\x01\x00\x46\x01\x00\x00\x42\x03\x03" /* record, ClientHello, version */
	"0123456789abcdef0123456789abcdef"             /* random */
	"\x00\x00\x02\x13\x01\x01\x00"                 /* session, ciphers, compression */
	"\x00\x17\x00\x00\x00\x13\x00\x11\x00\x00\x0e"
	"www.example.cz";

static void names(const struct relay_process *relay, const struct server *server)
{
	struct pair pair = pair_open(relay, server);
	char received[sizeof(hello)];
	size_t i;

	for (i = 0; i < sizeof(hello) - 1; i++) {
		CHECK(send(pair.client, hello + i, 1, 0) == 1);
		/* Each byte arrives before the next is sent: nothing is delayed. */
		CHECK(recv(pair.server, received + i, 1, 0) == 1);
	}
	CHECK(!memcmp(received, hello, sizeof(hello) - 1));
	close(pair.client);
	close(pair.server);
	relay_logged(relay, "\"tls_server_name\":\"www.example.cz\",\"bytes_up\":75,", 1);

	pair = pair_open(relay, server);
	send_text(pair.client, "GET / HTTP/1.1\r\nUser-Agent: x\r\nHo");
	expect_text(pair.server, "GET / HTTP/1.1\r\nUser-Agent: x\r\nHo");
	send_text(pair.client, "st: example.org:8080\r\n\r\n");
	expect_text(pair.server, "st: example.org:8080\r\n\r\n");
	close(pair.client);
	close(pair.server);
	relay_logged(relay, "\"http_host\":\"example.org:8080\"", 1);
}

static void one_connection(const struct relay_process *relay, const struct server *server)
{
	struct pair pair = pair_open(relay, server);

	close(pair.client);
	close(pair.server);
}

static void file_is_opened_again(const struct server *server)
{
	char directory[] = "/tmp/relay_log.XXXXXX", path[64], moved[64];
	struct relay_process relay;
	struct stat status;
	int tries;

	CHECK(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/log", directory);
	snprintf(moved, sizeof(moved), "%s/moved", directory);
	relay_start(&relay, -1,
		    (const char *[]){ "--allow-direct", server->text, "--log", path, NULL });
	CHECK(!stat(path, &status));
	CHECK(!rename(path, moved));
	one_connection(&relay, server);
	for (tries = 0; tries < 500 && (stat(moved, &status) || !status.st_size); tries++)
		pause_milliseconds(5);
	CHECK(status.st_size > 0);
	kill(relay.pid, SIGHUP);
	for (tries = 0; tries < 500 && stat(path, &status); tries++)
		pause_milliseconds(5);
	one_connection(&relay, server);
	CHECK(relay_stop(&relay, SIGTERM) == 0);
	CHECK(!stat(path, &status) && status.st_size > 0);
	unlink(path);
	unlink(moved);
	rmdir(directory);
}

static void nobody_reads(const struct server *server)
{
	struct relay_process relay;
	size_t lines = 0;
	char *line = NULL;
	size_t size = 0;
	int output[2], i;
	ssize_t length;
	int64_t begin;
	FILE *reader;

	CHECK(!pipe2(output, O_CLOEXEC));
	relay_start(&relay, output[1],
		    (const char *[]){ "--allow-direct", server->text, "--service",
				      "a name that makes lines somewhat longer", NULL });
	for (i = 0; i < LINES; i++) {
		struct pair pair = pair_open(&relay, server);

		if (i % 100 == 0)
			pair_talk(&pair);
		close(pair.client);
		close(pair.server);
	}
	CHECK(!(fcntl(output[1], F_GETFL) & O_NONBLOCK), "the pipe is shared, its flags too");
	begin = milliseconds();
	CHECK(relay_stop(&relay, SIGTERM) == 0);
	CHECK(milliseconds() - begin < 4000);
	relay_said(&relay, "log lines were lost");

	close(output[1]);
	reader = fdopen(output[0], "r");
	while ((length = getline(&line, &size, reader)) > 0 && line[length - 1] == '\n') {
		CHECK(line[0] == '{' && line[length - 2] == '}', "%s", line);
		lines++;
	}
	CHECK(lines > 100 && lines < LINES, "%zu lines", lines);
	free(line);
	fclose(reader);
}

int main(void)
{
	struct relay_process relay;
	struct server server;

	server_open(&server, 16);
	relay_start(&relay, -1,
		    (const char *[]){ "--allow-direct", server.text, "--service", "audit", NULL });
	names(&relay, &server);
	relay_logged(&relay, "\"service\":\"audit\",\"protocol\":\"tcp\",\"peer\":\"127.0.0.1:", 2);
	CHECK(relay_stop(&relay, SIGTERM) == 0);
	file_is_opened_again(&server);
	nobody_reads(&server);
	return 0;
}
