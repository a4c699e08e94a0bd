/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of waybill-relay share: a relay started from $WAYBILL_RELAY with its output in
 * memory, sockets on loopback that never wait longer than five seconds, and CHECK, which ends the
 * test and the relay. The relay forwards what nobody redirected, so no kernel half is needed.
 */
#ifndef WAYBILL_TESTS_RELAY_HARNESS_H
#define WAYBILL_TESTS_RELAY_HARNESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CHECK(condition, ...)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			check_failed(__FILE__, __LINE__, #condition, " " __VA_ARGS__);             \
	} while (0)

#define TEST_SKIPPED 77

struct relay_process {
	pid_t pid;
	int output, messages;       /* memory files: standard output, standard error */
	struct sockaddr_in address; /* where it listens */
};

/* A server's socket, and its address in the form that --allow-direct takes. */
struct server {
	int fd;
	struct sockaddr_in address;
	char text[32];
};

/* Both ends of a connection through the relay. */
struct pair {
	int client, server;
};

void check_failed(const char *file, int line, const char *condition, const char *format, ...)
	__attribute__((noreturn, format(printf, 4, 5)));

/* options: up to NULL, after --listen 127.0.0.1:0. output: a descriptor, or -1 for memory. */
void relay_start(struct relay_process *relay, int output, const char *const *options);

/* Sends the signal, waits and returns the exit status; it must not have been killed. */
int relay_stop(struct relay_process *relay, int signal);
int relay_wait(struct relay_process *relay);

/* Waits until the relay wrote this, which is then found count times in what it wrote. */
void relay_logged(const struct relay_process *relay, const char *text, size_t count);
void relay_said(const struct relay_process *relay, const char *text);

/* All of a memory file, to be freed. */
char *memory_text(int fd);

/* Kilobytes of memory in use; milliseconds of processor time; open descriptors. */
long relay_memory(const struct relay_process *relay);
long relay_processor_time(const struct relay_process *relay);
int relay_descriptors(const struct relay_process *relay);

/* Lets the relay open that many descriptors more than it has open, and none beyond. */
void relay_allow_descriptors(const struct relay_process *relay, int more);

void server_open(struct server *server, int backlog);
int server_accept(const struct server *server);
int dial(const struct sockaddr_in *address);
struct pair pair_open(const struct relay_process *relay, const struct server *server);

/* One byte through, in both directions. */
void pair_talk(const struct pair *pair);

void send_text(int fd, const char *text);
void expect_text(int fd, const char *text);
void expect_end(int fd);     /* a FIN, and nothing before it */
void expect_reset(int fd);   /* a RST, and nothing before it */
void expect_silence(int fd); /* nothing for a fifth of a second */
void reset(int fd);          /* closes with a RST */

int64_t milliseconds(void);
void pause_milliseconds(long duration);

#endif
