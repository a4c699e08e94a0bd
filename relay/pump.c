/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves the bytes of one direction: receives into the relay's one buffer, sends from there, and
 * holds back only what the receiver did not take. Nothing more is received before that is gone,
 * which bounds memory and lets TCP slow the sender down.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "relay.h"

/* Turns of the buffer before others get theirs. */
#define PUMP_ROUNDS 4

static enum pump_result failed(struct pump_failure *failure, struct endpoint *endpoint, int error)
{
	failure->endpoint = endpoint;
	failure->error = error;
	return PUMP_FAILED;
}

/* Sends until all is sent or the receiver takes no more. Returns how much, or -errno. */
static ssize_t pass_on(struct direction *direction, const unsigned char *bytes, size_t length)
{
	size_t passed = 0;
	ssize_t sent;

	while (passed < length && direction->to->writable) {
		sent = send(direction->to->fd, bytes + passed, length - passed, MSG_NOSIGNAL);
		if (sent >= 0)
			passed += sent;
		else if (errno == EAGAIN)
			direction->to->writable = false;
		else if (errno != EINTR)
			return -errno;
	}
	direction->bytes += passed;
	return passed;
}

static int hold(struct direction *direction, const unsigned char *bytes, size_t length)
{
	direction->held = malloc(length);
	if (!direction->held)
		return -ENOMEM;
	memcpy(direction->held, bytes, length);
	direction->held_offset = 0;
	direction->held_length = length;
	return 0;
}

static void release(struct direction *direction)
{
	free(direction->held);
	direction->held = NULL;
}

/* Returns a positive number if there may be more, 0 if not now, or -errno with the failure told. */
static int receive(struct relay *relay, struct connection *connection, struct direction *direction,
		   struct pump_failure *failure)
{
	ssize_t received, passed;

	received = recv(direction->from->fd, relay->buffer, sizeof(relay->buffer), 0);
	if (received < 0) {
		if (errno == EINTR)
			return 1;
		direction->from->readable = false;
		if (errno == EAGAIN)
			return 0;
		failed(failure, direction->from, errno);
		return -failure->error;
	}
	if (!received) {
		direction->ended = true;
		return 1;
	}
	connection->active = relay->now;
	if (direction == &connection->up)
		sniff_feed(&connection->sniff, relay->buffer, received);
	passed = pass_on(direction, relay->buffer, received);
	if (passed < 0) {
		failed(failure, direction->to, -passed);
		return passed;
	}
	if (passed == received)
		return 1;
	if (hold(direction, relay->buffer + passed, received - passed)) {
		failed(failure, NULL, ENOMEM);
		return -ENOMEM;
	}
	return 1;
}

static int send_held(struct relay *relay, struct connection *connection,
		     struct direction *direction, struct pump_failure *failure)
{
	ssize_t passed = pass_on(direction, direction->held + direction->held_offset,
				 direction->held_length - direction->held_offset);

	if (passed < 0) {
		failed(failure, direction->to, -passed);
		return passed;
	}
	if (passed)
		connection->active = relay->now;
	direction->held_offset += passed;
	if (direction->held_offset == direction->held_length)
		release(direction);
	return 1;
}

enum pump_result pump_direction(struct relay *relay, struct connection *connection,
				struct direction *direction, struct pump_failure *failure)
{
	int rounds, more;

	for (rounds = 0; rounds < PUMP_ROUNDS;) {
		if (direction->passed)
			return PUMP_IDLE;
		if (direction->held) {
			if (!direction->to->writable)
				return PUMP_IDLE;
			more = send_held(relay, connection, direction, failure);
		} else if (direction->ended) {
			/* In an abort the end of file is only that nothing is left: no FIN. */
			if (connection->aborted)
				return PUMP_IDLE;
			direction->passed = true;
			connection->active = relay->now;
			if (shutdown(direction->to->fd, SHUT_WR))
				return failed(failure, direction->to, errno);
			return PUMP_IDLE;
		} else {
			if (!direction->from->readable)
				return PUMP_IDLE;
			more = receive(relay, connection, direction, failure);
			rounds++;
		}
		if (more < 0)
			return PUMP_FAILED;
	}
	return PUMP_UNFINISHED;
}
