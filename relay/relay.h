/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * waybill-relay, the reference redirect service: a proxy of one thread around one epoll.
 *
 * main.c reads the options, loop.c turns the wheel, listen.c accepts, handed.c
 * takes sockets that others made, connection.c opens and ends
 * a connection, pump.c moves its bytes, datagram.c does all of that for datagrams, origin.c asks Waybill about it, sniff.c reads names in
 * passing, log.c writes a line about it. Everything epoll reports is edge-triggered but listeners:
 * readiness is remembered in flags, so a full buffer costs no system call to stop and resume.
 */
#ifndef WAYBILL_RELAY_H
#define WAYBILL_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>

#include "address.h"
#include "log.h"
#include "origin.h"
#include "sniff.h"

/* What is read at once, and therefore the most that one direction ever holds back. */
#define RELAY_BUFFER_SIZE 65536

#define RELAY_LISTENERS_MAX 32

struct relay;

/* Something epoll watches: first member of what it is, so ready() can find its way back. */
struct watch {
	void (*ready)(struct relay *relay, struct watch *watch, uint32_t events);
};

/* An address to listen on, as the options name it. */
struct listen_request {
	struct address address;
	bool paired; /* the IPv6 half of :PORT: follows the one before it, and may be missing */
};

struct relay_options {
	struct listen_request listen[RELAY_LISTENERS_MAX];
	size_t listen_count;
	size_t handed;         /* sockets handed over by who started the relay */
	struct address direct; /* where connections go that nobody redirected; length 0: nowhere */
	const char *service, *log_path;
	unsigned int connect_timeout, idle_timeout, drain_timeout; /* seconds; 0: never, at once */
	unsigned int connections_max;
	bool connections_max_given, no_records, datagrams;
	int ready_fd; /* -1: none */
};

struct listener {
	struct watch watch;
	int fd;
	struct address address;
};

/* A socket on which datagrams are received: one for each port, of both families if it can be. */
struct datagram_listener {
	struct watch watch;
	int fd;
};

struct datagram_count {
	uint64_t datagrams, bytes;
};

/* A flow of datagrams, with an onward socket of its own. */
struct datagram_flow {
	struct watch watch;                /* of the onward socket */
	TAILQ_ENTRY(datagram_flow) link;   /* in relay.flows, the one longest idle first */
	TAILQ_ENTRY(datagram_flow) bucket; /* in relay.flow_buckets, by its number */
	struct datagram_listener *listener;
	uint32_t number;
	int fd;
	bool ended;
	int64_t started, active;  /* milliseconds of relay.now */
	struct timespec accepted; /* CLOCK_REALTIME */
	struct address peer;      /* as the client's datagrams come, and replies go */
	struct origin origin;
	struct datagram_count up, down;
};

TAILQ_HEAD(flow_list, datagram_flow);
#define FLOW_BUCKETS 4096

/* One of the two sockets of a connection. Flags: what epoll said, and no call has denied since. */
struct endpoint {
	struct watch watch;
	struct connection *connection;
	int fd;
	bool readable, writable, failed;
};

/* One of the two streams. Bytes are held only while the receiver is slower than the sender. */
struct direction {
	struct endpoint *from, *to;
	unsigned char *held;
	size_t held_offset, held_length;
	uint64_t bytes;
	bool ended;  /* the FIN of from was read */
	bool passed; /* and was sent on to to, after all bytes before it */
};

enum connection_phase { CONNECTION_CONNECTING, CONNECTION_FLOWING, CONNECTION_ENDED };

struct connection {
	TAILQ_ENTRY(connection) link; /* in the list of its phase */
	TAILQ_ENTRY(connection) turn; /* in relay.unfinished, if unfinished */
	enum connection_phase phase;
	bool unfinished; /* its turn was over before its bytes were */
	bool aborted;    /* only what was received before the reset is still passed on */
	struct endpoint client, server;
	struct direction up, down; /* client to server, server to client */
	int64_t started, active;   /* milliseconds of relay.now */
	struct timespec accepted;  /* CLOCK_REALTIME */
	struct address peer, destination;
	struct origin origin;
	struct sniff sniff;
};

TAILQ_HEAD(connection_list, connection);

struct relay {
	const struct relay_options *options;
	int epoll;
	int64_t now; /* CLOCK_MONOTONIC in milliseconds, read once a turn */

	struct listener listeners[RELAY_LISTENERS_MAX];
	size_t listener_count;
	bool accepting;
	int64_t accept_after; /* when accepting was given up for a while: until then */
	int reserve_fd;       /* given up to be able to accept and reset when descriptors run out */
	uint64_t shed;        /* connections reset for want of descriptors */

	/*
	 * Each list is in the order in which its connections expire, because all in it have the
	 * same time to live: since they were opened, or since their last byte.
	 */
	struct connection_list connecting, flowing;
	struct connection_list unfinished;
	struct connection_list ended; /* freed after the turn: epoll may still report them in it */
	size_t connection_count, connections_max;

	struct datagram_listener datagram_listeners[RELAY_LISTENERS_MAX];
	size_t datagram_listener_count;
	struct flow_list flows, flow_buckets[FLOW_BUCKETS], flows_ended;
	size_t flow_count;
	uint64_t datagrams_dropped;

	struct watch signals;
	int signal_fd;
	bool draining;
	int64_t drain_until;
	bool stop;

	struct log log;
	struct watch log_writable;
	unsigned char buffer[RELAY_BUFFER_SIZE]; /* for the one direction being pumped */
};

/* loop.c */
int relay_open(struct relay *relay, const struct relay_options *options);
int relay_run(struct relay *relay);
void relay_close(struct relay *relay);
int relay_watch(struct relay *relay, int fd, uint32_t events, struct watch *watch);

/* listen.c */
int listeners_open(struct relay *relay);
/* Accepts on a socket that listens; closes it if it cannot. */
int listener_adopt(struct relay *relay, int fd);
void listeners_update(struct relay *relay);
void listeners_accept_all(struct relay *relay);
void listeners_close(struct relay *relay);

/* handed.c: how many sockets were handed over, once; and accepts or receives on them. */
size_t handed_count(void);
int handed_open(struct relay *relay);

/* connection.c: takes the accepted socket over, whatever comes of it. */
void connection_open(struct relay *relay, int fd, const struct address *peer);
/* Ends it with a reset on both sides, and its line in the log. */
void connection_end(struct relay *relay, struct connection *connection, const char *reason);
void connection_free(struct connection *connection);
void connection_turn(struct relay *relay, struct connection *connection);

/*
 * datagram.c. Receives at the ports of the listeners that are open. A flow ends when it was idle,
 * when another has its number, and with the relay.
 */
int datagrams_open(struct relay *relay);
/* Receives on a socket of this port, bound or not; closes it if it cannot. */
int datagrams_adopt(struct relay *relay, int fd, uint16_t port);
void datagrams_expire(struct relay *relay);
int64_t datagrams_deadline(const struct relay *relay); /* of the next to expire, -1: none */
void datagrams_free_ended(struct relay *relay);
void datagrams_close(struct relay *relay);

/* pump.c */
enum pump_result { PUMP_IDLE, PUMP_UNFINISHED, PUMP_FAILED };

/* Why a direction could not be pumped: the endpoint that failed, NULL for the relay itself. */
struct pump_failure {
	struct endpoint *endpoint;
	int error;
};

enum pump_result pump_direction(struct relay *relay, struct connection *connection,
				struct direction *direction, struct pump_failure *failure);

#endif
