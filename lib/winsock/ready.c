// SPDX-License-Identifier: BSD-2-Clause
/*
 * The thread that learns from epoll(7) which sockets are ready, for all that pend. It starts with
 * the first of them, blocks all signals, and stays. Edges are enough: whoever adds a call asks for
 * the present state anew.
 */
#include <errno.h>
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

static void *ready_run(void *argument)
{
	struct epoll_event events[EVENTS];
	int count, i;

	for (;;) {
		count = epoll_wait(epoll, events, EVENTS, -1);
		pthread_mutex_lock(&winsock_lock);
		for (i = 0; i < count; i++)
			socket_ready(&events[i]);
		pthread_mutex_unlock(&winsock_lock);
	}
	return NULL;
}

static bool ready_start(void)
{
	pthread_attr_t detached;
	sigset_t all, before;
	pthread_t thread;

	if (epoll < 0)
		epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		return false;
	sigfillset(&all);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	started = !pthread_create(&thread, &detached, ready_run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&detached);
	return started;
}

int ready_watch(struct winsocket *socket)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.u64 = (uint64_t)socket->id << 32 | (uint32_t)socket->fd,
	};

	if (!started && !ready_start())
		return WSAENOBUFS;
	if (epoll_ctl(epoll, socket->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket->fd, &event)) {
		/* The descriptor was another socket's, or is in there from then. */
		if (epoll_ctl(epoll, errno == EEXIST ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket->fd,
			      &event))
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
