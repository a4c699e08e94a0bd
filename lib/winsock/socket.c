// SPDX-License-Identifier: BSD-2-Clause
/*
 * What is known of a SOCKET beside its descriptor, in a table by descriptor. A descriptor can be
 * closed and given out again behind our back, by close(2): the inode tells.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "winsock.h"

static struct winsocket **sockets;
static size_t socket_count;
static uint32_t last_id;
static pthread_cond_t unused = PTHREAD_COND_INITIALIZER;

int socket_descriptor(SOCKET s)
{
	return s > INT32_MAX ? -1 : (int)s;
}

void socket_release(struct winsocket *socket)
{
	if (!--socket->references)
		free(socket);
}

void socket_unuse(struct winsocket *socket)
{
	if (!--socket->uses && socket->closing)
		pthread_cond_broadcast(&unused);
}

/* From here on the descriptor stands for nothing, or for something new. Releases the caller's. */
static void forget(struct winsocket *socket)
{
	if (sockets[socket->fd] == socket) {
		sockets[socket->fd] = NULL;
		socket->references--;
	}
	socket_release(socket);
}

void sockets_each(void (*function)(struct winsocket *socket))
{
	size_t i;

	for (i = 0; i < socket_count; i++)
		if (sockets[i])
			function(sockets[i]);
}

/* Of what is known of it already; closing or not. Under the lock. */
static struct winsocket *socket_known(SOCKET s)
{
	return s < socket_count ? sockets[s] : NULL;
}

bool socket_tells_flows(SOCKET s)
{
	struct winsocket *socket;
	bool tells;

	pthread_mutex_lock(&winsock_lock);
	socket = socket_known(s);
	tells = socket && socket->wishes.flows;
	pthread_mutex_unlock(&winsock_lock);
	return tells;
}

struct winsocket *socket_block(SOCKET s)
{
	struct winsocket *socket;

	pthread_mutex_lock(&winsock_lock);
	socket = socket_known(s);
	if (socket) {
		socket->references++;
		socket->blocked++;
	}
	pthread_mutex_unlock(&winsock_lock);
	return socket;
}

bool socket_unblock(struct winsocket *socket)
{
	bool closing;

	if (!socket)
		return false;
	pthread_mutex_lock(&winsock_lock);
	closing = socket->closing;
	socket->blocked--;
	socket_release(socket);
	pthread_mutex_unlock(&winsock_lock);
	return closing;
}

bool socket_waits(SOCKET s, enum direction direction)
{
	struct winsocket *socket;
	bool waits;

	pthread_mutex_lock(&winsock_lock);
	socket = socket_known(s);
	waits = socket && !TAILQ_EMPTY(&socket->queues[direction].operations);
	pthread_mutex_unlock(&winsock_lock);
	return waits;
}

static bool sockets_grow(int fd)
{
	size_t count = socket_count ? socket_count : 64, i;
	struct winsocket **larger;

	while (count <= (size_t)fd)
		count *= 2;
	if (count == socket_count)
		return true;
	larger = reallocarray(sockets, count, sizeof(struct winsocket *));
	if (!larger)
		return false;
	for (i = socket_count; i < count; i++)
		larger[i] = NULL;
	sockets = larger;
	socket_count = count;
	return true;
}

static struct winsocket *socket_new(int fd, uint64_t inode)
{
	struct winsocket *socket = sockets_grow(fd) ? calloc(1, sizeof(*socket)) : NULL;
	int type = 0, i;

	if (!socket)
		return NULL;
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){ sizeof(type) });
	socket->fd = fd;
	socket->inode = inode;
	socket->id = ++last_id;
	socket->references = 1;
	socket->datagram = type == SOCK_DGRAM;
	for (i = 0; i < DIRECTIONS; i++)
		TAILQ_INIT(&socket->queues[i].operations);
	sockets[fd] = socket;
	return socket;
}

/* NULL: *error says why. Under the lock. */
static struct winsocket *socket_at(SOCKET s, int *error)
{
	struct winsocket *socket;
	struct stat status;
	int fd = socket_descriptor(s);

	*error = WSAENOTSOCK;
	socket = fd < 0 ? NULL : socket_known((SOCKET)fd);
	/* Until it is closed the number is not another's. */
	if (socket && socket->closing && !__atomic_load_n(&socket->closed, __ATOMIC_ACQUIRE))
		return NULL;
	if (fd < 0 || fstat(fd, &status) || !S_ISSOCK(status.st_mode))
		return NULL;
	if (socket && (socket->closing || socket->inode != status.st_ino)) {
		if (!socket->closing) {
			socket->closing = true;
			operations_cancel(socket, NULL);
		}
		socket->references++;
		forget(socket);
		socket = NULL;
	}
	if (!socket)
		socket = socket_new(fd, status.st_ino);
	*error = socket ? 0 : WSAENOBUFS;
	return socket;
}

struct winsocket *socket_enter(SOCKET s, int *error)
{
	struct winsocket *socket;

	pthread_mutex_lock(&winsock_lock);
	socket = socket_at(s, error);
	if (socket) {
		socket->references++;
		socket->uses++;
	}
	pthread_mutex_unlock(&winsock_lock);
	return socket;
}

void socket_leave(struct winsocket *socket)
{
	pthread_mutex_lock(&winsock_lock);
	socket_unuse(socket);
	socket_release(socket);
	pthread_mutex_unlock(&winsock_lock);
}

struct winsocket *socket_find(int fd, uint32_t id)
{
	struct winsocket *socket = socket_known((SOCKET)fd);

	return socket && socket->id == id && !socket->closing ? socket : NULL;
}

/* fd is what a call gave, with errno. Under the lock. */
static SOCKET socket_adopt(int fd, bool overlapped, int *error)
{
	struct winsocket *socket;

	*error = fd < 0 ? winsock_error(errno) : 0;
	/* A socket that nothing is known of is not overlapped. */
	if (*error || !overlapped)
		return *error ? INVALID_SOCKET : (SOCKET)fd;
	socket = socket_at((SOCKET)fd, error);
	if (!socket) {
		close(fd);
		return INVALID_SOCKET;
	}
	socket->overlapped = true;
	return (SOCKET)fd;
}

/* As on Windows, where a socket of IPv6 is for IPv6 alone unless it is told otherwise. */
static int socket_make(int af, int type, int protocol)
{
	int fd = socket(af, type | SOCK_CLOEXEC, protocol), on = 1;

	if (fd >= 0 && af == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	return fd;
}

SOCKET WSAAPI WSASocketW(int af, int type, int protocol, LPWSAPROTOCOL_INFOW lpProtocolInfo,
			 GROUP g, DWORD dwFlags)
{
	SOCKET s = INVALID_SOCKET;
	int error = WSAEINVAL;

	/* Under the lock: nobody who still has an old number sees the new socket half made. */
	pthread_mutex_lock(&winsock_lock);
	if (!lpProtocolInfo)
		s = socket_adopt(socket_make(af, type, protocol), dwFlags & WSA_FLAG_OVERLAPPED,
				 &error);
	pthread_mutex_unlock(&winsock_lock);
	winsock_result(error);
	return s;
}

SOCKET WSAAPI WSASocketA(int af, int type, int protocol, LPWSAPROTOCOL_INFOA lpProtocolInfo,
			 GROUP g, DWORD dwFlags)
{
	return WSASocketW(af, type, protocol, (LPWSAPROTOCOL_INFOW)lpProtocolInfo, g, dwFlags);
}

SOCKET winsock_socket(int af, int type, int protocol)
{
	return WSASocketW(af, type, protocol, NULL, 0, WSA_FLAG_OVERLAPPED);
}

/* An accepted socket is as its listener: overlapped or not, nonblocking or not. */
SOCKET winsock_accept(SOCKET s, struct sockaddr *addr, int *addrlen)
{
	struct winsocket *listener;
	SOCKET accepted = INVALID_SOCKET;
	socklen_t length = 0;
	bool overlapped, closed;
	int fd, flags, error, size = 0;

	if (addr && memory_take(&size, addrlen, sizeof(size))) {
		winsock_result(WSAEFAULT);
		return INVALID_SOCKET;
	}
	length = size > 0 ? (socklen_t)size : 0;
	listener = socket_enter(s, &error);
	if (!listener) {
		winsock_result(error);
		return INVALID_SOCKET;
	}
	overlapped = listener->overlapped;
	flags = fcntl(listener->fd, F_GETFL);
	socket_block(s);
	socket_leave(listener);
	fd = accept4((int)s, addr, addr ? &length : NULL,
		     SOCK_CLOEXEC | (flags & O_NONBLOCK ? SOCK_NONBLOCK : 0));
	error = fd < 0 ? winsock_error(errno) : 0;
	closed = socket_unblock(listener);
	if (!error) {
		pthread_mutex_lock(&winsock_lock);
		accepted = socket_adopt(fd, overlapped, &error);
		pthread_mutex_unlock(&winsock_lock);
		size = (int)length;
		if (addr)
			memory_write(addrlen, &size, sizeof(size));
	}
	winsock_result(error && closed ? WSAEINTR : error);
	return accepted;
}

int WSAAPI closesocket(SOCKET s)
{
	struct winsocket *socket;
	int error, blocked;

	pthread_mutex_lock(&winsock_lock);
	socket = socket_at(s, &error);
	if (!socket) {
		pthread_mutex_unlock(&winsock_lock);
		return winsock_result(error);
	}
	socket->closing = true;
	operations_cancel(socket, NULL);
	while (socket->uses)
		pthread_cond_wait(&unused, &winsock_lock);
	ready_forget(socket);
	blocked = socket->blocked;
	socket->references++;
	pthread_mutex_unlock(&winsock_lock);
	/* Who blocks in a call would keep the socket open. */
	if (blocked)
		shutdown(socket->fd, SHUT_RDWR);
	/* It may linger; and what close(2) says is of no use, for the descriptor is gone. */
	close(socket->fd);
	__atomic_store_n(&socket->closed, true, __ATOMIC_RELEASE);
	pthread_mutex_lock(&winsock_lock);
	forget(socket);
	pthread_mutex_unlock(&winsock_lock);
	return 0;
}

/*
 * What each thread received last, for its last few sockets. One that has to give way loses the
 * exact answer, and gets that of any thread.
 */
#define THREAD_SOCKETS 16
static __thread struct {
	uint32_t id, flow;
} received[THREAD_SOCKETS];

int64_t socket_thread_flow(uint32_t id)
{
	uint32_t at = id % THREAD_SOCKETS;

	return received[at].id == id ? (int64_t)received[at].flow : -1;
}

void socket_thread_flow_set(uint32_t id, uint32_t flow)
{
	uint32_t at = id % THREAD_SOCKETS;

	received[at].id = id;
	received[at].flow = flow;
}

uint32_t socket_flow(struct winsocket *socket, int64_t thread_flow)
{
	if (!socket->datagram)
		return 0;
	return thread_flow >= 0 ? (uint32_t)thread_flow :
				  __atomic_load_n(&socket->flow, __ATOMIC_RELAXED);
}

void socket_received(struct winsocket *socket, uint32_t flow)
{
	if (flow)
		socket->flow = flow;
	operations_try(socket, QUERY);
}
