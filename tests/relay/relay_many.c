/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks thousands of connections at once: each gets its own bytes, idle ones cost little memory
 * and no processor time, and when they have ended, in every way, nothing is left of them.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

#define MANY 4000
#define MEMORY_EACH 2 /* KiB */

static struct pair pairs[MANY];

static void expect_number(int from, int to, int number)
{
	char text[16];

	snprintf(text, sizeof(text), "%08d", number);
	send_text(from, text);
	expect_text(to, text);
}

static void open_all(const struct relay_process *relay, const struct server *server)
{
	int i;

	for (i = 0; i < MANY; i++)
		pairs[i] = pair_open(relay, server);
	for (i = 0; i < MANY; i++)
		expect_number(pairs[i].client, pairs[i].server, i);
	for (i = MANY - 1; i >= 0; i--)
		expect_number(pairs[i].server, pairs[i].client, i * 3);
}

static void end_all(void)
{
	int i;

	for (i = 0; i < MANY; i++) {
		if (i % 3 == 0) {
			reset(pairs[i].client);
			expect_reset(pairs[i].server);
			close(pairs[i].server);
		} else if (i % 3 == 1) {
			close(pairs[i].server);
			expect_end(pairs[i].client);
			close(pairs[i].client);
		} else {
			close(pairs[i].client);
			close(pairs[i].server);
		}
	}
}

int main(void)
{
	long before, once, twice, busy;
	struct relay_process relay;
	struct rlimit limit;
	struct server server;
	int descriptors;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < 2 * MANY + 100) {
		fprintf(stderr, "skipped: the hard limit of file descriptors is %llu; %d needed\n",
			(unsigned long long)limit.rlim_max, 2 * MANY + 100);
		return TEST_SKIPPED;
	}
	server_open(&server, 1024);
	relay_start(&relay, -1, (const char *[]){ "--allow-direct", server.text, NULL });
	descriptors = relay_descriptors(&relay);
	before = relay_memory(&relay);

	open_all(&relay, &server);
	once = relay_memory(&relay);
	busy = relay_processor_time(&relay);
	pause_milliseconds(500);
	busy = relay_processor_time(&relay) - busy;
	CHECK(busy < 100, "the relay spins: %ld of 500 ms", busy);
	end_all();
	relay_logged(&relay, "\"bytes_up\":8,\"bytes_down\":8,", MANY);
	relay_logged(&relay, "\"end\":\"closed\"", MANY - (MANY + 2) / 3);
	CHECK(relay_descriptors(&relay) == descriptors, "descriptors leak");

	open_all(&relay, &server);
	twice = relay_memory(&relay);
	end_all();
	/* A sanitizer or a debugger around the relay needs memory for itself. */
	if (!getenv("WAYBILL_TEST_SLOW")) {
		CHECK(once - before < MANY * MEMORY_EACH, "%ld KiB", once - before);
		CHECK(twice - once < MANY * MEMORY_EACH / 8, "%ld KiB more", twice - once);
	}
	CHECK(relay_stop(&relay, SIGTERM) == 0);
	return 0;
}
