/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks that a reader who does not read stops the sender, whose bytes the relay does not pile up
 * in memory; that a hundred such connections do not hinder another one; and that everything
 * arrives whole when the reader goes on.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

#define STALLED 100
#define CHUNK 65536
#define MEMORY_EACH (2 * 64 + 32) /* KiB: a full buffer each way, and the connection */

static unsigned char pattern(uint64_t offset)
{
	return (offset * 2654435761U) >> 13;
}

/* Sends until nobody takes any more for a while. Returns how much was taken. */
static uint64_t fill(int fd)
{
	unsigned char chunk[CHUNK];
	uint64_t total = 0;
	int64_t last = milliseconds();
	ssize_t sent;
	size_t i;

	while (milliseconds() - last < 100) {
		for (i = 0; i < sizeof(chunk); i++)
			chunk[i] = pattern(total + i);
		sent = send(fd, chunk, sizeof(chunk), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0) {
			total += sent;
			last = milliseconds();
		} else {
			CHECK(sent < 0 && errno == EAGAIN);
			pause_milliseconds(2);
		}
		CHECK(total < 256 * 1024 * 1024, "the sender is never stopped");
	}
	return total;
}

static void drain(int fd, uint64_t expected)
{
	unsigned char chunk[CHUNK];
	uint64_t total = 0;
	ssize_t received, i;

	while ((received = recv(fd, chunk, sizeof(chunk), 0)) > 0) {
		for (i = 0; i < received; i++)
			CHECK(chunk[i] == pattern(total + i), "at byte %llu",
			      (unsigned long long)(total + i));
		total += received;
	}
	CHECK(received == 0);
	CHECK(total == expected, "%llu of %llu bytes", (unsigned long long)total,
	      (unsigned long long)expected);
}

int main(void)
{
	struct pair stalled[STALLED], lively;
	uint64_t up[STALLED], down[STALLED];
	struct relay_process relay;
	struct server server;
	long before, after, busy;
	int small = 16384, i;

	server_open(&server, STALLED);
	/* Small kernel buffers, so that it is the relay's that fill. Accepted sockets inherit. */
	setsockopt(server.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	relay_start(&relay, -1, (const char *[]){ "--allow-direct", server.text, NULL });
	lively = pair_open(&relay, &server);
	pair_talk(&lively);
	before = relay_memory(&relay);
	for (i = 0; i < STALLED; i++) {
		stalled[i] = pair_open(&relay, &server);
		up[i] = i < 4 || i % 10 == 0 ? fill(stalled[i].client) : 0;
		down[i] = i < 4 || i % 10 == 5 ? fill(stalled[i].server) : 0;
	}
	after = relay_memory(&relay);
	CHECK(after - before < STALLED * MEMORY_EACH, "%ld KiB before, %ld after", before, after);

	busy = relay_processor_time(&relay);
	for (i = 0; i < 50; i++) {
		pair_talk(&lively);
		pause_milliseconds(10);
	}
	busy = relay_processor_time(&relay) - busy;
	CHECK(busy < 250, "the relay spins: %ld of 500 ms", busy);

	for (i = 0; i < STALLED; i++) {
		shutdown(stalled[i].client, SHUT_WR);
		drain(stalled[i].server, up[i]);
		shutdown(stalled[i].server, SHUT_WR);
		drain(stalled[i].client, down[i]);
		close(stalled[i].client);
		close(stalled[i].server);
	}
	close(lively.client);
	close(lively.server);
	relay_logged(&relay, "\"end\":\"closed\"", STALLED + 1);
	CHECK(relay_stop(&relay, SIGTERM) == 0);
	return 0;
}
