/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listening and accepting, and when not to. At the limit of connections, listeners are paused and
 * clients wait in the kernel's queue. When descriptors run out before, one kept in reserve makes
 * it possible to accept and reset, instead of being told of the same client for ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "message.h"
#include "relay.h"

/* Accepted in one go before live connections get their turn. */
#define ACCEPT_BATCH 64

/* How long nothing is accepted after it failed for a reason that only time can mend. */
#define ACCEPT_PAUSE 100 /* milliseconds */

static void pause_accepting(struct relay *relay)
{
	relay->accept_after = relay->now + ACCEPT_PAUSE;
	listeners_update(relay);
}

/* True if a connection could be accepted and reset. */
static bool shed(struct relay *relay, int listener)
{
	static const struct linger no_linger = { .l_onoff = 1, .l_linger = 0 };
	static struct message_limit limit;
	int fd = -1;

	if (relay->reserve_fd >= 0) {
		close(relay->reserve_fd);
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &no_linger, sizeof(no_linger));
			close(fd);
			relay->shed++;
		}
	}
	relay->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (message_due(&limit, relay->now))
		message("reset new connections, %llu so far: out of file descriptors; raise the "
			"limit (ulimit -n, LimitNOFILE=) or lower --max-connections",
			(unsigned long long)relay->shed);
	return fd >= 0;
}

static void listener_ready(struct relay *relay, struct watch *watch, uint32_t events)
{
	struct listener *listener = (struct listener *)watch;
	struct address peer;
	int fd, i;

	(void)events;
	for (i = 0; i < ACCEPT_BATCH && relay->accepting; i++) {
		peer.length = sizeof(peer.storage);
		fd = accept4(listener->fd, &peer.any, &peer.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			connection_open(relay, fd, &peer);
			listeners_update(relay);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno == EMFILE || errno == ENFILE) {
			if (!shed(relay, listener->fd))
				pause_accepting(relay);
		} else if (errno == ENOBUFS || errno == ENOMEM) {
			pause_accepting(relay);
		}
		/* Every other error, like ECONNABORTED, belongs to the connection that is gone. */
	}
}

void listeners_accept_all(struct relay *relay)
{
	size_t i, batch;

	for (i = 0; i < relay->listener_count; i++)
		for (batch = 0; batch < SOMAXCONN / ACCEPT_BATCH; batch++)
			listener_ready(relay, &relay->listeners[i].watch, EPOLLIN);
}

/* Tells epoll whether clients are welcome, if that has changed. */
void listeners_update(struct relay *relay)
{
	static struct message_limit limit;
	bool full = relay->connection_count >= relay->connections_max;
	bool accepting = !full && !relay->draining && relay->now >= relay->accept_after;
	struct epoll_event event = { .events = accepting ? EPOLLIN : 0 };
	size_t i;

	if (accepting == relay->accepting)
		return;
	relay->accepting = accepting;
	for (i = 0; i < relay->listener_count; i++) {
		event.data.ptr = &relay->listeners[i].watch;
		epoll_ctl(relay->epoll, EPOLL_CTL_MOD, relay->listeners[i].fd, &event);
	}
	if (full && message_due(&limit, relay->now))
		message("%zu connections are open, and no more are accepted until one ends; raise "
			"--max-connections or start another relay",
			relay->connection_count);
}

int listener_adopt(struct relay *relay, int fd)
{
	struct listener *listener = &relay->listeners[relay->listener_count];
	char text[ADDRESS_TEXT_SIZE];
	int one = 1, error = 0;

	*listener = (struct listener){ .watch.ready = listener_ready, .fd = fd };
	listener->address.length = sizeof(listener->address.storage);
	/* What accept() returns inherits these from the listener. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	if (getsockname(fd, &listener->address.any, &listener->address.length))
		error = -errno;
	if (!error)
		error = relay_watch(relay, fd, EPOLLIN, &listener->watch);
	if (error) {
		close(fd);
		return error;
	}
	relay->listener_count++;
	message("listening on %s", address_format(&listener->address, text));
	return 0;
}

static int listener_open(struct relay *relay, const struct address *address)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			IPPROTO_TCP);
	int one = 1, error;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (address->any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (!bind(fd, &address->any, address->length) && !listen(fd, SOMAXCONN))
		return listener_adopt(relay, fd);
	error = -errno;
	close(fd);
	return error;
}

static const char *mend(int error)
{
	switch (error) {
	case -EADDRINUSE:
		return "choose another port, or stop what listens there (ss -ltnp shows it)";
	case -EADDRNOTAVAIL:
		return "choose an address of this host (ip address shows them)";
	case -EACCES:
	case -EPERM:
		return "ports below 1024 need CAP_NET_BIND_SERVICE, and the port of a service can "
		       "be bound by that service alone";
	case -EAFNOSUPPORT:
		return "this kernel has no IPv6; listen on an IPv4 address";
	default:
		return "see errno(3)";
	}
}

int listeners_open(struct relay *relay)
{
	const struct relay_options *options = relay->options;
	char text[ADDRESS_TEXT_SIZE];
	struct address address;
	size_t i;
	int error;

	relay->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (i = 0; i < options->listen_count; i++) {
		address = options->listen[i].address;
		if (options->listen[i].paired)
			address_set_port(
				&address,
				address_port(&relay->listeners[relay->listener_count - 1].address));
		error = listener_open(relay, &address);
		address_format(&address, text);
		if (options->listen[i].paired &&
		    (error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL)) {
			message("not listening on %s: %s; redirected IPv6 connections need it",
				text, strerror(-error));
			continue;
		}
		if (error) {
			message("cannot listen on %s: %s; %s", text, strerror(-error), mend(error));
			return error;
		}
	}
	relay->accepting = true;
	return 0;
}

void listeners_close(struct relay *relay)
{
	while (relay->listener_count)
		close(relay->listeners[--relay->listener_count].fd);
	if (relay->reserve_fd >= 0)
		close(relay->reserve_fd);
	relay->reserve_fd = -1;
	/* epoll may have reported one of them just before. */
	relay->accepting = false;
}
