// SPDX-License-Identifier: BSD-2-Clause
/*
 * The smallest redirect service that is right: it takes each connection that is redirected to
 * it, and carries it on to where it was going. What a real service adds happens in stream_move(),
 * where the bytes pass; service.py beside it is the same without libwaybill.
 *
 *	minimal-service 127.0.0.1:9001     or [::1]:9001, or [::]:9001 for both families
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <waybill/waybill.h>

/* One direction of a connection. It is read only when all it read before was written. */
struct stream {
	int from, to;
	bool ended; /* from sent its last byte, and to was told so */
	size_t begin, end;
	char bytes[65536];
};

/* Moves what can be moved without waiting. Returns -1 if the connection broke. */
static int stream_move(struct stream *s)
{
	ssize_t n;

	if (s->begin == s->end && !s->ended) {
		n = recv(s->from, s->bytes, sizeof(s->bytes), MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		/* The end of one direction is passed on as it is: the other may go on for long. */
		if (n == 0) {
			s->ended = true;
			return shutdown(s->to, SHUT_WR);
		}
		s->begin = 0;
		s->end = n;
	}
	if (s->begin < s->end) {
		n = send(s->to, s->bytes + s->begin, s->end - s->begin,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		s->begin += n;
	}
	return 0;
}

/* What to wait for at the socket that in reads from and out writes to. */
static struct pollfd stream_wait(const struct stream *in, const struct stream *out)
{
	bool full = in->begin < in->end;
	short events = (full || in->ended ? 0 : POLLIN) | (out->begin < out->end ? POLLOUT : 0);

	/* An error is reported unasked, and for ever: not while no room is left to read it. */
	return (struct pollfd){ .fd = full && !events ? -1 : in->from, .events = events };
}

/* Returns when both directions ended (0) or the connection broke (-1). */
static int connection_carry(int accepted, int onward)
{
	static struct stream up, down;

	up.from = down.to = accepted;
	up.to = down.from = onward;
	while (!up.ended || !down.ended) {
		struct pollfd wait[2] = { stream_wait(&up, &down), stream_wait(&down, &up) };

		if (poll(wait, 2, -1) < 0 && errno != EINTR)
			return -1;
		if (stream_move(&up) || stream_move(&down))
			return -1;
		/* Nothing was asked of this side, and yet there is news: it was reset. */
		if ((!wait[0].events && wait[0].revents) || (!wait[1].events && wait[1].revents))
			return -1;
	}
	return 0;
}

static int connection_serve(int accepted)
{
	/* A side that is closed like this is reset: what broke must not look like a proper end. */
	struct linger reset = { .l_onoff = 1 };
	int onward = waybill_connect_onward(accepted, 0);

	if (onward < 0)
		fprintf(stderr, "minimal-service: %s\n",
			onward == -ENOENT ? "refused a connection that was not redirected here" :
					    strerror(-onward));
	else if (connection_carry(accepted, onward) == 0)
		return 0;
	setsockopt(accepted, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	setsockopt(onward, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return 1;
}

static int service_listen(char *where)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM },
			*address;
	char *port = strrchr(where, ':'), *host = where;
	int listener, on = 1;

	if (!port)
		return -1;
	*port++ = '\0';
	if (*host == '[' && host[strlen(host) - 1] == ']') {
		host[strlen(host) - 1] = '\0';
		host++;
	}
	if (getaddrinfo(host, port, &hints, &address))
		return -1;
	listener = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, address->ai_addr, address->ai_addrlen) || listen(listener, SOMAXCONN)) {
		perror("minimal-service: listen");
		listener = -1;
	}
	freeaddrinfo(address);
	return listener;
}

int main(int argc, char **argv)
{
	int listener = argc == 2 ? service_listen(argv[1]) : -1;

	if (listener < 0) {
		fprintf(stderr, "usage: minimal-service ADDRESS:PORT\n");
		return 2;
	}
	signal(SIGCHLD, SIG_IGN); /* nobody waits for the processes of connections */
	for (;;) {
		int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pid_t child = accepted < 0 ? -1 : fork();

		if (child == 0) {
			close(listener);
			return connection_serve(accepted);
		}
		if (child < 0) {
			perror("minimal-service");
			poll(NULL, 0, 100); /* out of files or processes: some will end */
		}
		if (accepted >= 0)
			close(accepted);
	}
}
