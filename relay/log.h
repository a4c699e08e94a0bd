/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One JSON line for each ended connection. Lines wait in a bounded buffer until their reader
 * takes them; when it does not, whole lines are dropped and counted, and traffic goes on.
 */
#ifndef WAYBILL_RELAY_LOG_H
#define WAYBILL_RELAY_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_BUFFER_SIZE (256 * 1024)

struct connection;
struct datagram_flow;
struct relay;

enum log_kind {
	LOG_PLAIN,  /* a file, or a pipe or terminal of our own opening: write() does not wait */
	LOG_SOCKET, /* MSG_DONTWAIT */
	LOG_POLLED, /* could not be opened again: ask poll() before every small write */
};

struct log {
	int fd;
	enum log_kind kind;
	bool failing; /* its reader has gone, or its disk is full: said once, tried again */
	char *buffer;
	size_t length;
	uint64_t lost; /* lines */
};

/* path NULL: standard output. 0 or -errno. */
int log_open(struct log *log, const char *path);

/* Opens the file again, after somebody moved it away. The old one stays if that fails. */
int log_reopen(struct log *log, const char *path);

/* Queues one line, given without its end, and writes what can be written. */
void log_write(struct log *log, const char *line, size_t length);

/* Writes what can be written now. */
void log_flush(struct log *log);

/* Gives the reader a last second, says what was lost, and frees everything. */
void log_close(struct log *log);

/* The line of a connection, or a flow of datagrams, that ends now: entry.c. */
void log_connection(struct relay *relay, struct connection *connection, const char *reason);
void log_flow(struct relay *relay, const struct datagram_flow *flow, const char *reason);

#endif
