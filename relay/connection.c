/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection from accept to its log line. Whatever ends it other than two FINs ends it with a
 * reset on both sides: a stream that was cut must not look like one that is complete.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <waybill/waybill.h>

#include "message.h"
#include "relay.h"

#define ENDPOINT_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

/* How often what a failed endpoint left behind is pumped: more than a receive buffer holds. */
#define SALVAGE_TURNS 256

#define REASON_SIZE 64

static int socket_error(int fd)
{
	socklen_t length = sizeof(int);
	int error = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) ? errno : error;
}

static const char *error_name(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "unknown error";
}

static void close_socket(int fd, bool reset)
{
	static const struct linger no_linger = { .l_onoff = 1, .l_linger = 0 };

	if (fd < 0)
		return;
	if (reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &no_linger, sizeof(no_linger));
	close(fd);
}

static struct connection_list *list_of(struct relay *relay, const struct connection *connection)
{
	return connection->phase == CONNECTION_CONNECTING ? &relay->connecting : &relay->flowing;
}

/* The connection stays in memory until the turn is over; its sockets are gone at once. */
static void connection_finish(struct relay *relay, struct connection *connection,
			      const char *reason, bool reset)
{
	if (connection->phase == CONNECTION_ENDED)
		return;
	TAILQ_REMOVE(list_of(relay, connection), connection, link);
	if (connection->unfinished)
		TAILQ_REMOVE(&relay->unfinished, connection, turn);
	connection->unfinished = false;
	connection->phase = CONNECTION_ENDED;
	TAILQ_INSERT_TAIL(&relay->ended, connection, link);
	relay->connection_count--;

	close_socket(connection->client.fd, reset);
	close_socket(connection->server.fd, reset);
	log_connection(relay, connection, reason);
}

void connection_end(struct relay *relay, struct connection *connection, const char *reason)
{
	connection_finish(relay, connection, reason, true);
}

void connection_free(struct connection *connection)
{
	free(connection->up.held);
	free(connection->down.held);
	sniff_free(&connection->sniff);
	origin_free(&connection->origin);
	free(connection);
}

static void __attribute__((format(printf, 3, 4)))
end_because(struct relay *relay, struct connection *connection, const char *format, ...)
{
	char reason[REASON_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	connection_end(relay, connection, reason);
}

/*
 * An endpoint is gone. What it sent before that still lies in its socket, like the answer of a
 * server that did not want the rest of the request, and is passed on before the reset.
 */
static void connection_fail(struct relay *relay, struct connection *connection,
			    const struct pump_failure *failure)
{
	const char *side = failure->endpoint == &connection->client ? "client" : "server";
	struct direction *rest =
		failure->endpoint == &connection->client ? &connection->up : &connection->down;
	struct pump_failure ignored;
	int turns;

	if (!failure->endpoint) {
		end_because(relay, connection, "failed: %s", error_name(failure->error));
		return;
	}
	connection->aborted = true;
	failure->endpoint->readable = true;
	for (turns = 0; turns < SALVAGE_TURNS; turns++)
		if (pump_direction(relay, connection, rest, &ignored) != PUMP_UNFINISHED)
			break;
	if (failure->error == ECONNRESET || failure->error == EPIPE || failure->error == ENOTCONN)
		end_because(relay, connection, "reset by %s", side);
	else
		end_because(relay, connection, "%s failed: %s", side, error_name(failure->error));
}

/* True once the onward socket is connected. */
static bool connection_connected(struct relay *relay, struct connection *connection)
{
	int error;

	if (connection->client.failed) {
		connection_end(relay, connection, "reset by client");
		return false;
	}
	if (!connection->server.writable && !connection->server.failed)
		return false;
	error = socket_error(connection->server.fd);
	if (error) {
		end_because(relay, connection, "connect failed: %s", error_name(error));
		return false;
	}
	TAILQ_REMOVE(&relay->connecting, connection, link);
	connection->phase = CONNECTION_FLOWING;
	connection->active = relay->now;
	TAILQ_INSERT_TAIL(&relay->flowing, connection, link);
	return true;
}

/* An error that epoll reported and no call on the socket has returned. */
static bool endpoint_failed(struct endpoint *endpoint, struct pump_failure *failure)
{
	if (!endpoint->failed)
		return false;
	endpoint->failed = false;
	failure->endpoint = endpoint;
	failure->error = socket_error(endpoint->fd);
	return failure->error;
}

void connection_turn(struct relay *relay, struct connection *connection)
{
	int64_t active = connection->active;
	struct pump_failure failure;
	enum pump_result up, down;

	if (connection->phase == CONNECTION_ENDED)
		return;
	if (connection->phase == CONNECTION_CONNECTING && !connection_connected(relay, connection))
		return;

	up = pump_direction(relay, connection, &connection->up, &failure);
	down = up == PUMP_FAILED ? PUMP_FAILED :
				   pump_direction(relay, connection, &connection->down, &failure);
	if (down == PUMP_FAILED || endpoint_failed(&connection->client, &failure) ||
	    endpoint_failed(&connection->server, &failure)) {
		connection_fail(relay, connection, &failure);
		return;
	}
	if (connection->up.passed && connection->down.passed) {
		connection_finish(relay, connection, "closed", false);
		return;
	}
	if (connection->active != active) {
		TAILQ_REMOVE(&relay->flowing, connection, link);
		TAILQ_INSERT_TAIL(&relay->flowing, connection, link);
	}
	if ((up == PUMP_UNFINISHED || down == PUMP_UNFINISHED) && !connection->unfinished) {
		connection->unfinished = true;
		TAILQ_INSERT_TAIL(&relay->unfinished, connection, turn);
	}
}

static void endpoint_ready(struct relay *relay, struct watch *watch, uint32_t events)
{
	struct endpoint *endpoint = (struct endpoint *)watch;

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		endpoint->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		endpoint->writable = true;
	if (events & EPOLLERR)
		endpoint->failed = true;
	connection_turn(relay, endpoint->connection);
}

/*
 * The redirect service's own duty: records on the onward socket before connect(). If they cannot
 * be put there, nothing is connected: others on the way could not know who has seen it.
 */
static void connection_connect(struct relay *relay, struct connection *connection)
{
	const struct address *to = &connection->destination;
	int one = 1, fd, error;

	fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		end_because(relay, connection, "connect failed: %s", error_name(errno));
		return;
	}
	connection->server.fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	if (connection->origin.records && !relay->options->no_records) {
		error = waybill_forward(connection->client.fd, fd);
		if (error) {
			end_because(relay, connection, "records not forwarded: %s",
				    error_name(-error));
			return;
		}
	}
	if (connect(fd, &to->any, to->length) && errno != EINPROGRESS) {
		end_because(relay, connection, "connect failed: %s", error_name(errno));
		return;
	}
	/* Not earlier: a socket that never connected reports EPOLLHUP. */
	error = relay_watch(relay, fd, ENDPOINT_EVENTS, &connection->server.watch);
	if (!error)
		error = relay_watch(relay, connection->client.fd, ENDPOINT_EVENTS,
				    &connection->client.watch);
	if (error)
		end_because(relay, connection, "failed: %s", error_name(-error));
}

/* Whether the destination is the relay: then it would only ever talk to itself. */
static bool connection_is_loop(const struct relay *relay, const struct connection *connection)
{
	const struct address *to = &connection->destination;
	struct address local = { .length = sizeof(local.storage) };
	bool candidate = false;
	size_t i;

	for (i = 0; i < relay->listener_count; i++) {
		if (address_equal(to, &relay->listeners[i].address))
			return true;
		if (address_port(to) == address_port(&relay->listeners[i].address))
			candidate = true;
	}
	return candidate && !getsockname(connection->client.fd, &local.any, &local.length) &&
	       address_equal(to, &local);
}

/* Decides where the connection goes. False if it was ended instead. */
static bool connection_route(struct relay *relay, struct connection *connection)
{
	static struct message_limit limit;
	char peer[ADDRESS_TEXT_SIZE];
	int error = origin_query(&connection->origin, connection->client.fd);
	bool nobody = error == -ENOENT || error == -EOPNOTSUPP;

	if (error == -ENOTCONN || socket_error(connection->client.fd)) {
		connection_end(relay, connection, "reset by client");
	} else if (!error || (nobody && relay->options->direct.length)) {
		connection->destination =
			error ? relay->options->direct : connection->origin.destination;
		if (!connection_is_loop(relay, connection))
			return true;
		connection_end(relay, connection, "refused: the destination is this relay");
	} else if (nobody) {
		connection_end(relay, connection,
			       error == -ENOENT ? "refused: not redirected" :
						  "refused: Waybill is not up");
		if (!message_due(&limit, relay->now))
			return false;
		address_format(&connection->peer, peer);
		if (error == -ENOENT)
			message("reset %s: nobody redirected it here; connect to the destination "
				"itself, or see --allow-direct",
				peer);
		else
			message("reset %s: nothing in this kernel answers for Waybill; "
				"start it with \"waybill up\", or see --allow-direct",
				peer);
	} else {
		end_because(relay, connection, "refused: %s", error_name(-error));
	}
	return false;
}

void connection_open(struct relay *relay, int fd, const struct address *peer)
{
	static struct message_limit limit;
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection) {
		close_socket(fd, true);
		if (message_due(&limit, relay->now))
			message("reset a connection: out of memory; lower --max-connections");
		return;
	}
	connection->client = (struct endpoint){ { endpoint_ready }, connection, fd, 0, 0, 0 };
	connection->server = (struct endpoint){ { endpoint_ready }, connection, -1, 0, 0, 0 };
	connection->up.from = connection->down.to = &connection->client;
	connection->up.to = connection->down.from = &connection->server;
	connection->started = connection->active = relay->now;
	connection->peer = *peer;
	clock_gettime(CLOCK_REALTIME, &connection->accepted);
	TAILQ_INSERT_TAIL(&relay->connecting, connection, link);
	relay->connection_count++;

	if (connection_route(relay, connection))
		connection_connect(relay, connection);
}
