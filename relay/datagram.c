/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams. Each flow has an onward socket, connected to where the client sends; what comes back
 * leaves from the flow's address, so the client hears the peer that it asked for. Nothing is held
 * back: a datagram that cannot be sent on at once is lost, as datagrams are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <waybill/waybill.h>

#include "message.h"
#include "relay.h"

/* Received in one go before others get their turn. */
#define DATAGRAM_BATCH 64

#define DATAGRAM_IDLE 60 /* seconds, unless an idle timeout is given */

static struct flow_list *bucket_of(struct relay *relay, uint32_t number)
{
	return &relay->flow_buckets[number % FLOW_BUCKETS];
}

static struct datagram_flow *flow_find(struct relay *relay,
				       const struct datagram_listener *listener, uint32_t number)
{
	struct datagram_flow *flow;

	TAILQ_FOREACH(flow, bucket_of(relay, number), bucket)
	if (flow->number == number && flow->listener == listener)
		return flow;
	return NULL;
}

/* The flow stays in memory until the turn is over: epoll may still report its socket in it. */
static void flow_end(struct relay *relay, struct datagram_flow *flow, const char *reason)
{
	close(flow->fd);
	flow->ended = true;
	TAILQ_REMOVE(&relay->flows, flow, link);
	TAILQ_REMOVE(bucket_of(relay, flow->number), flow, bucket);
	TAILQ_INSERT_TAIL(&relay->flows_ended, flow, link);
	relay->flow_count--;
	log_flow(relay, flow, reason);
}

static void flow_active(struct relay *relay, struct datagram_flow *flow)
{
	flow->active = relay->now;
	TAILQ_REMOVE(&relay->flows, flow, link);
	TAILQ_INSERT_TAIL(&relay->flows, flow, link);
}

static void dropped(struct relay *relay, const char *why)
{
	static struct message_limit limit;

	relay->datagrams_dropped++;
	if (message_due(&limit, relay->now))
		message("dropped datagrams, %llu so far: %s",
			(unsigned long long)relay->datagrams_dropped, why);
}

/* A reply of the server: to the client, from the flow's address. */
static void reply_pass(struct relay *relay, struct datagram_flow *flow, size_t size)
{
	char control[CMSG_SPACE(sizeof(flow->number))] __attribute__((aligned(8)));
	struct iovec data = { .iov_base = relay->buffer, .iov_len = size };
	struct msghdr reply = {
		.msg_name = &flow->peer.any,
		.msg_namelen = flow->peer.length,
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *number = CMSG_FIRSTHDR(&reply);

	memset(control, 0, sizeof(control));
	number->cmsg_level = SOL_WAYBILL;
	number->cmsg_type = WAYBILL_FLOW;
	number->cmsg_len = CMSG_LEN(sizeof(flow->number));
	memcpy(CMSG_DATA(number), &flow->number, sizeof(flow->number));
	if (waybill_sendmsg(flow->listener->fd, &reply, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
	flow->down.datagrams++;
	flow->down.bytes += size;
}

static void onward_ready(struct relay *relay, struct watch *watch, uint32_t events)
{
	struct datagram_flow *flow = (struct datagram_flow *)watch;
	ssize_t size;

	(void)events;
	/* An error is what an ICMP message says of an earlier datagram; reading it takes it away. */
	for (int i = 0; i < DATAGRAM_BATCH && !flow->ended; i++) {
		size = recv(flow->fd, relay->buffer, sizeof(relay->buffer), MSG_DONTWAIT);
		if (size < 0 && errno == EAGAIN)
			return;
		if (size < 0)
			continue;
		flow_active(relay, flow);
		reply_pass(relay, flow, size);
	}
}

/* A connected socket with the records of the flow. Returns it, or a negative errno. */
static int onward_open(const struct relay *relay, const struct datagram_listener *listener,
		       uint32_t number, const struct address *to)
{
	int fd = socket(to->any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;

	if (fd < 0)
		return -errno;
	if (!relay->options->no_records)
		error = waybill_flow_forward(listener->fd, number, fd);
	if (!error && connect(fd, &to->any, to->length))
		error = -errno;
	if (error)
		close(fd);
	return error ? error : fd;
}

static struct datagram_flow *flow_open(struct relay *relay, struct datagram_listener *listener,
				       uint32_t number)
{
	struct datagram_flow *flow;
	int error;

	/* The one longest idle makes room. */
	if (relay->flow_count >= relay->connections_max)
		flow_end(relay, TAILQ_FIRST(&relay->flows), "too many flows");
	flow = calloc(1, sizeof(*flow));
	if (!flow)
		return NULL;
	error = origin_query_flow(&flow->origin, listener->fd, number);
	if (!error) {
		flow->fd = onward_open(relay, listener, number, &flow->origin.destination);
		error = flow->fd < 0 ? flow->fd : 0;
	}
	flow->watch.ready = onward_ready;
	if (!error) {
		error = relay_watch(relay, flow->fd, EPOLLIN, &flow->watch);
		if (error)
			close(flow->fd);
	}
	if (error) {
		dropped(relay, strerror(-error));
		origin_free(&flow->origin);
		free(flow);
		return NULL;
	}
	flow->listener = listener;
	flow->number = number;
	flow->started = flow->active = relay->now;
	clock_gettime(CLOCK_REALTIME, &flow->accepted);
	TAILQ_INSERT_TAIL(&relay->flows, flow, link);
	TAILQ_INSERT_TAIL(bucket_of(relay, number), flow, bucket);
	relay->flow_count++;
	return flow;
}

/* The number of the flow that a datagram belongs to, 0 for none; and whether it is its first. */
static uint32_t number_of(struct msghdr *message, bool *first)
{
	uint32_t number = 0;

	*first = false;
	for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
		if (at->cmsg_level != SOL_WAYBILL)
			continue;
		if (at->cmsg_type == WAYBILL_FLOW)
			memcpy(&number, CMSG_DATA(at), sizeof(number));
		*first |= at->cmsg_type == WAYBILL_REDIRECT_RECORDS;
	}
	return number;
}

static void datagram_pass(struct relay *relay, struct datagram_listener *listener,
			  struct msghdr *message, const struct address *peer, size_t size)
{
	struct datagram_flow *flow;
	uint32_t number;
	bool first;

	number = number_of(message, &first);
	if (!number) {
		dropped(relay, "nobody redirected them");
		return;
	}
	flow = flow_find(relay, listener, number);
	if (flow && first) {
		flow_end(relay, flow, "its number is another's");
		flow = NULL;
	}
	if (!flow) {
		flow = flow_open(relay, listener, number);
		if (!flow)
			return;
		flow->peer = *peer;
	} else if (!address_equal(&flow->peer, peer)) {
		/* A process that the kernel half does not see can send here: it gets no say. */
		dropped(relay, "they are not from the client of their flow");
		return;
	}
	flow_active(relay, flow);
	/* The first attempt may only be told of what an earlier datagram met with. */
	if (send(flow->fd, relay->buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    (errno != ECONNREFUSED ||
	     send(flow->fd, relay->buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0))
		return;
	flow->up.datagrams++;
	flow->up.bytes += size;
}

static void datagrams_ready(struct relay *relay, struct watch *watch, uint32_t events)
{
	struct datagram_listener *listener = (struct datagram_listener *)watch;
	char control[WAYBILL_CONTROL_MAX] __attribute__((aligned(8)));
	struct iovec data = { .iov_base = relay->buffer, .iov_len = sizeof(relay->buffer) };
	struct address peer;
	struct msghdr message;
	ssize_t size;

	(void)events;
	for (int i = 0; i < DATAGRAM_BATCH; i++) {
		message = (struct msghdr){
			.msg_name = &peer.storage,
			.msg_namelen = sizeof(peer.storage),
			.msg_iov = &data,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		size = waybill_recvmsg(listener->fd, &message, MSG_DONTWAIT);
		if (size < 0)
			return;
		peer.length = message.msg_namelen;
		datagram_pass(relay, listener, &message, &peer, size);
	}
}

int datagrams_adopt(struct relay *relay, int fd, uint16_t port)
{
	struct datagram_listener *listener =
		&relay->datagram_listeners[relay->datagram_listener_count];
	int error;

	*listener = (struct datagram_listener){ .watch.ready = datagrams_ready, .fd = fd };
	error = waybill_bind_datagrams(fd, port);
	if (!error)
		error = relay_watch(relay, fd, EPOLLIN, &listener->watch);
	if (error) {
		close(fd);
		return error;
	}
	relay->datagram_listener_count++;
	message("receiving datagrams on port %u", port);
	return 0;
}

/* Both families in one socket, or IPv4 alone where there is no IPv6. */
static int listener_open(struct relay *relay, uint16_t port)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 && errno == EAFNOSUPPORT)
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : datagrams_adopt(relay, fd, port);
}

int datagrams_open(struct relay *relay)
{
	size_t i, j;
	int error;

	for (i = 0; relay->options->datagrams && i < relay->listener_count; i++) {
		in_port_t port = address_port(&relay->listeners[i].address);

		for (j = 0; j < i; j++)
			if (address_port(&relay->listeners[j].address) == port)
				break;
		if (j < i)
			continue;
		error = listener_open(relay, ntohs(port));
		if (error) {
			message("cannot receive datagrams on port %u: %s; %s", ntohs(port),
				strerror(-error),
				error == -EADDRINUSE ?
					"choose another port, or stop what receives there (ss -lnup "
					"shows it)" :
					"the port of a service can be bound by that service alone");
			return error;
		}
	}
	return 0;
}

static int64_t flow_deadline(const struct relay *relay, const struct datagram_flow *flow)
{
	unsigned int idle = relay->options->idle_timeout;

	return flow->active + (idle ? idle : DATAGRAM_IDLE) * 1000LL;
}

int64_t datagrams_deadline(const struct relay *relay)
{
	const struct datagram_flow *flow = TAILQ_FIRST(&relay->flows);

	return flow ? flow_deadline(relay, flow) : -1;
}

void datagrams_expire(struct relay *relay)
{
	struct datagram_flow *flow;

	while ((flow = TAILQ_FIRST(&relay->flows)) && flow_deadline(relay, flow) <= relay->now)
		flow_end(relay, flow, "idle");
}

void datagrams_free_ended(struct relay *relay)
{
	struct datagram_flow *flow;

	while ((flow = TAILQ_FIRST(&relay->flows_ended))) {
		TAILQ_REMOVE(&relay->flows_ended, flow, link);
		origin_free(&flow->origin);
		free(flow);
	}
}

void datagrams_close(struct relay *relay)
{
	struct datagram_flow *flow;

	while ((flow = TAILQ_FIRST(&relay->flows)))
		flow_end(relay, flow, "drained");
	datagrams_free_ended(relay);
	while (relay->datagram_listener_count)
		close(relay->datagram_listeners[--relay->datagram_listener_count].fd);
}
