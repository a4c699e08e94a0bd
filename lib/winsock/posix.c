// SPDX-License-Identifier: BSD-2-Clause
/* The calls that POSIX has under the same name: its own, with Windows' types and errors. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <waybill/waybill.h>

#include "winsock.h"

/* Those of <sys/ioctl.h>, which the public header's names hide. */
#define SYSTEM_FIONBIO 0x5421
#define SYSTEM_FIONREAD 0x541b

static int failed_if(int result)
{
	return winsock_result(result ? winsock_error(errno) : 0);
}

/* Whether a datagram socket is to receive what is redirected, at an address where that comes. */
static bool receives_flows(struct winsocket *socket, const struct sockaddr *name, int length,
			   in_port_t *port)
{
	struct sockaddr_storage copy;
	struct wishes wishes;
	const struct sockaddr_in *four = (const void *)&copy;
	const struct sockaddr_in6 *six = (const void *)&copy;

	pthread_mutex_lock(&winsock_lock);
	wishes = socket->wishes;
	pthread_mutex_unlock(&winsock_lock);
	if (!socket->datagram || !(wishes.records[FOUR] || wishes.records[SIX] ||
				   wishes.contexts[FOUR] || wishes.contexts[SIX]))
		return false;
	if (length < (int)sizeof(*four) || length > (int)sizeof(copy) ||
	    memory_read(&copy, name, (size_t)length))
		return false;
	*port = ntohs(four->sin_port);
	if (copy.ss_family == AF_INET)
		return four->sin_addr.s_addr == htonl(INADDR_ANY) ||
		       four->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
	return copy.ss_family == AF_INET6 && length >= (int)sizeof(*six) &&
	       (IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr) || IN6_IS_ADDR_LOOPBACK(&six->sin6_addr));
}

int winsock_bind(SOCKET s, const struct sockaddr *name, int namelen)
{
	struct winsocket *socket;
	in_port_t port;
	int error, result;

	socket = socket_enter(s, &error);
	if (!socket)
		return winsock_result(error);
	if (receives_flows(socket, name, namelen, &port))
		result = waybill_bind_datagrams(socket->fd, port);
	else
		result = bind(socket->fd, name, (socklen_t)namelen) ? -errno : 0;
	socket_leave(socket);
	return winsock_result(result ? winsock_error(-result) : 0);
}

int winsock_connect(SOCKET s, const struct sockaddr *name, int namelen)
{
	struct winsocket *socket = socket_block(s);
	int error = 0;

	/* Not "it goes on", as WSAEWOULDBLOCK would say: a share of handshakes is used up. */
	if (connect(socket_descriptor(s), name, (socklen_t)namelen))
		error = errno == EAGAIN ? WSAENOBUFS : winsock_error(errno);
	return winsock_result(socket_unblock(socket) ? WSAEINTR : error);
}

int winsock_listen(SOCKET s, int backlog)
{
	return failed_if(listen(socket_descriptor(s), backlog));
}

int winsock_shutdown(SOCKET s, int how)
{
	struct winsocket *socket;
	int error;

	socket = socket_enter(s, &error);
	if (!socket)
		return winsock_result(error);
	error = shutdown(socket->fd, how) ? winsock_error(errno) : 0;
	if (!error && how != SD_RECEIVE) {
		pthread_mutex_lock(&winsock_lock);
		socket->ended = true;
		pthread_mutex_unlock(&winsock_lock);
	}
	socket_leave(socket);
	return winsock_result(error);
}

typedef int name_call(int, struct sockaddr *, socklen_t *);

static int name_get(name_call *call, SOCKET s, struct sockaddr *name, int *namelen)
{
	socklen_t length;
	int size;

	if (memory_read(&size, namelen, sizeof(size)) || size < 0)
		return winsock_result(WSAEFAULT);
	length = (socklen_t)size;
	if (call(socket_descriptor(s), name, &length))
		return failed_if(-1);
	size = (int)length;
	return winsock_result(memory_write(namelen, &size, sizeof(size)));
}

int winsock_getsockname(SOCKET s, struct sockaddr *name, int *namelen)
{
	return name_get(getsockname, s, name, namelen);
}

int winsock_getpeername(SOCKET s, struct sockaddr *name, int *namelen)
{
	return name_get(getpeername, s, name, namelen);
}

int WSAAPI ioctlsocket(SOCKET s, int cmd, u_long *argp)
{
	int fd = socket_descriptor(s), flags = fcntl(fd, F_GETFL), number;
	u_long argument;

	if (flags < 0)
		return failed_if(-1);
	if (memory_read(&argument, argp, sizeof(argument)))
		return winsock_result(WSAEFAULT);
	if (cmd == (int)FIONBIO || cmd == SYSTEM_FIONBIO) {
		flags = argument ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
		return failed_if(fcntl(fd, F_SETFL, flags));
	}
	if (cmd != (int)FIONREAD && cmd != SYSTEM_FIONREAD)
		return winsock_result(WSAEINVAL);
	if (ioctl(fd, SYSTEM_FIONREAD, &number))
		return failed_if(-1);
	argument = (u_long)number;
	return winsock_result(memory_write(argp, &argument, sizeof(argument)));
}

int WSAAPI WSAPoll(LPWSAPOLLFD fdArray, ULONG fds, INT timeout)
{
	int count = poll(fdArray, fds, timeout);

	return count < 0 ? failed_if(-1) : count;
}

/* nfds is not looked at, as on Windows. */
int winsock_select(int nfds, fd_set *readfds, fd_set *writefds, fd_set *exceptfds,
		   const struct timeval *timeout)
{
	struct timeval copy, *wait = NULL;
	int count;

	if (timeout) {
		if (memory_read(&copy, timeout, sizeof(copy)))
			return winsock_result(WSAEFAULT);
		wait = &copy;
	}
	count = select(FD_SETSIZE, readfds, writefds, exceptfds, wait);
	return count < 0 ? failed_if(-1) : count;
}

/*
 * What needs no more than the call itself: a socket that tells flows takes the longer way, by which
 * they are noted, and so does one on which calls wait in line.
 */
static bool takes_longer_way(SOCKET s, enum direction direction)
{
	return socket_tells_flows(s) || socket_waits(s, direction);
}

static int receive_plain(SOCKET s, struct msghdr *header, int flags)
{
	struct winsocket *socket = socket_block(s);
	int fd = socket_descriptor(s), error = 0, type = 0;
	ssize_t size = recvmsg(fd, header, flags);

	if (size < 0) {
		error = winsock_error(errno);
		getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){ sizeof(type) });
		/* What became of an earlier datagram; and what took too long, as Windows says it. */
		if (error == WSAECONNREFUSED && type == SOCK_DGRAM)
			error = WSAECONNRESET;
		if (error == WSAEWOULDBLOCK && !(flags & MSG_DONTWAIT) &&
		    !(fcntl(fd, F_GETFL) & O_NONBLOCK))
			error = WSAETIMEDOUT;
	} else if (header->msg_flags & MSG_TRUNC) {
		error = WSAEMSGSIZE;
	}
	if (socket_unblock(socket))
		error = WSAEINTR;
	return error ? winsock_result(error) : (int)size;
}

int winsock_recvfrom(SOCKET s, char *buf, int len, int flags, struct sockaddr *from, int *fromlen)
{
	WSABUF buffer = { len > 0 ? (ULONG)len : 0, buf };
	struct iovec part = { buf, buffer.len };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
	DWORD count = 0, call_flags = (DWORD)flags;
	int length = 0, result;

	if (takes_longer_way(s, RECEIVE))
		return WSARecvFrom(s, &buffer, 1, &count, &call_flags, from, fromlen, NULL, NULL) ?
			       SOCKET_ERROR :
			       (int)count;
	if (from) {
		if (memory_take(&length, fromlen, sizeof(length)) || length < 0)
			return winsock_result(WSAEFAULT);
		header.msg_name = from;
		header.msg_namelen = (socklen_t)length;
	}
	result = receive_plain(s, &header, flags);
	length = (int)header.msg_namelen;
	if (from && result >= 0)
		memory_write(fromlen, &length, sizeof(length));
	return result;
}

int winsock_recv(SOCKET s, char *buf, int len, int flags)
{
	return winsock_recvfrom(s, buf, len, flags, NULL, NULL);
}

int winsock_sendto(SOCKET s, const char *buf, int len, int flags, const struct sockaddr *to,
		   int tolen)
{
	WSABUF buffer = { len > 0 ? (ULONG)len : 0, (char *)buf };
	struct winsocket *socket;
	DWORD count = 0;
	ssize_t size;
	int error = 0;

	if (takes_longer_way(s, SEND))
		return WSASendTo(s, &buffer, 1, &count, (DWORD)flags, to, tolen, NULL, NULL) ?
			       SOCKET_ERROR :
			       (int)count;
	socket = socket_block(s);
	size = sendto(socket_descriptor(s), buf, buffer.len, flags | MSG_NOSIGNAL, to,
		      to ? (socklen_t)tolen : 0);
	if (size < 0) {
		error = send_error(s, errno);
		if (error == WSAEWOULDBLOCK && !(fcntl(socket_descriptor(s), F_GETFL) & O_NONBLOCK))
			error = WSAETIMEDOUT;
	}
	if (socket_unblock(socket))
		error = WSAEINTR;
	return error ? winsock_result(error) : (int)size;
}

int winsock_send(SOCKET s, const char *buf, int len, int flags)
{
	return winsock_sendto(s, buf, len, flags, NULL, 0);
}
