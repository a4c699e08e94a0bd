// SPDX-License-Identifier: BSD-2-Clause
/*
 * The thread that learns from epoll(7) which sockets are ready, for all that pend. It starts with
 * the first of them, blocks all signals, and stays. Edges are enough: whoever adds a call asks for
 * the present state anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "winsock.h"

#define EVENTS 64

static int epoll = -1;
static bool started;

static void socket_ready(const struct epoll_event *event)
{
	struct winsocket *socket =
		socket_find((int)(uint32_t)event->data.u64, (uint32_t)(event->data.u64 >> 32));
	const uint32_t over = EPOLLERR | EPOLLHUP;

	if (!socket)
		return;
	socket->references++;
	if (event->events & (EPOLLIN | EPOLLRDHUP | over))
		operations_try(socket, RECEIVE);
	if (event->events & (EPOLLOUT | over))
		operations_try(socket, SEND);
	operations_try(socket, QUERY);
	socket_release(socket);
}

static struct epoll_event event_of(const struct winsocket *socket)
{
	return (struct epoll_event){
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.u64 = (uint64_t)socket->id << 32 | (uint32_t)socket->fd,
	};
}

static void *ready_run(void *argument)
{
	struct epoll_event events[EVENTS];
	int own = (int)(intptr_t)argument, count, i;

	for (;;) {
		count = epoll_wait(own, events, EVENTS, -1);
		/* The descriptor was closed: whoever finds out next starts another thread. */
		if (count < 0 && errno != EINTR)
			return NULL;
		pthread_mutex_lock(&winsock_lock);
		for (i = 0; i < count; i++)
			socket_ready(&events[i]);
		pthread_mutex_unlock(&winsock_lock);
	}
	return NULL;
}

/* A high number: if somebody closes it, it is not soon given out again. */
static int epoll_open(void)
{
	int low = epoll_create1(EPOLL_CLOEXEC), high;

	if (low < 0)
		return -1;
	high = fcntl(low, F_DUPFD_CLOEXEC, 512);
	if (high < 0)
		return low;
	close(low);
	return high;
}

static bool ready_start(void)
{
	pthread_attr_t detached;
	sigset_t all, before;
	pthread_t thread;

	epoll = epoll_open();
	if (epoll < 0)
		return false;
	sigfillset(&all);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	started = !pthread_create(&thread, &detached, ready_run, (void *)(intptr_t)epoll);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&detached);
	return started;
}

static void watch_again(struct winsocket *socket)
{
	struct epoll_event event = event_of(socket);

	if (socket->watched)
		epoll_ctl(epoll, EPOLL_CTL_ADD, socket->fd, &event);
}

static int watch(struct winsocket *socket)
{
	struct epoll_event event = event_of(socket);
	int operation = socket->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (!epoll_ctl(epoll, operation, socket->fd, &event))
		return 0;
	/* The descriptor was another socket's, or is in there from then. */
	if (errno != EEXIST && errno != ENOENT)
		return -1;
	operation = errno == EEXIST ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	return epoll_ctl(epoll, operation, socket->fd, &event);
}

int ready_watch(struct winsocket *socket)
{
	if (!started && !ready_start())
		return WSAENOBUFS;
	if (watch(socket)) {
		/* Daemons close every descriptor that they find, and this one with them. */
		if ((errno != EBADF && errno != EINVAL) || !ready_start())
			return WSAENOBUFS;
		sockets_each(watch_again);
		if (watch(socket))
			return WSAENOBUFS;
	}
	socket->watched = true;
	return 0;
}

void ready_forget(struct winsocket *socket)
{
	if (socket->watched)
		epoll_ctl(epoll, EPOLL_CTL_DEL, socket->fd, NULL);
	socket->watched = false;
}

static void unwatch(struct winsocket *socket)
{
	socket->watched = false;
}

void ready_reset(void)
{
	if (epoll >= 0)
		close(epoll);
	epoll = -1;
	started = false;
	sockets_each(unwatch);
}
