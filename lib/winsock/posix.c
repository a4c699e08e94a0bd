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
	const struct wishes *wishes = &socket->wishes;
	struct sockaddr_storage copy;
	const struct sockaddr_in *four = (const void *)&copy;
	const struct sockaddr_in6 *six = (const void *)&copy;

	if (!socket->datagram || !(wishes->records[FOUR] || wishes->records[SIX] ||
				   wishes->contexts[FOUR] || wishes->contexts[SIX]))
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
	if (!connect(socket_descriptor(s), name, (socklen_t)namelen))
		return 0;
	/* Not "it goes on", as WSAEWOULDBLOCK would say: a share of handshakes is used up. */
	return winsock_result(errno == EAGAIN ? WSAENOBUFS : winsock_error(errno));
}

int winsock_listen(SOCKET s, int backlog)
{
	return failed_if(listen(socket_descriptor(s), backlog));
}

int winsock_shutdown(SOCKET s, int how)
{
	return failed_if(shutdown(socket_descriptor(s), how));
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
		copy = *timeout;
		wait = &copy;
	}
	count = select(FD_SETSIZE, readfds, writefds, exceptfds, wait);
	return count < 0 ? failed_if(-1) : count;
}

static bool is_datagram(SOCKET s)
{
	int type = 0;

	getsockopt(socket_descriptor(s), SOL_SOCKET, SO_TYPE, &type, &(socklen_t){ sizeof(type) });
	return type == SOCK_DGRAM;
}

/* A socket that tells flows takes the longer way, by which they are noted. */
int winsock_recvfrom(SOCKET s, char *buf, int len, int flags, struct sockaddr *from, int *fromlen)
{
	WSABUF buffer = { len > 0 ? (ULONG)len : 0, buf };
	struct iovec part = { buf, buffer.len };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
	DWORD count = 0, call_flags = (DWORD)flags;
	ssize_t size;

	if (socket_tells_flows(s))
		return WSARecvFrom(s, &buffer, 1, &count, &call_flags, from, fromlen, NULL, NULL) ?
			       SOCKET_ERROR :
			       (int)count;
	if (from && fromlen) {
		header.msg_name = from;
		header.msg_namelen = (socklen_t)*fromlen;
	}
	size = recvmsg(socket_descriptor(s), &header, flags);
	/* What became of an earlier datagram, as Windows says it. */
	if (size < 0)
		return winsock_result(errno == ECONNREFUSED && is_datagram(s) ?
					      WSAECONNRESET :
					      winsock_error(errno));
	if (from && fromlen)
		*fromlen = (int)header.msg_namelen;
	if (header.msg_flags & MSG_TRUNC)
		return winsock_result(WSAEMSGSIZE);
	return (int)size;
}

int winsock_recv(SOCKET s, char *buf, int len, int flags)
{
	return winsock_recvfrom(s, buf, len, flags, NULL, NULL);
}

int winsock_sendto(SOCKET s, const char *buf, int len, int flags, const struct sockaddr *to,
		   int tolen)
{
	ssize_t size = sendto(socket_descriptor(s), buf, len > 0 ? (size_t)len : 0,
			      flags | MSG_NOSIGNAL, to, to ? (socklen_t)tolen : 0);

	return size < 0 ? failed_if(-1) : (int)size;
}

int winsock_send(SOCKET s, const char *buf, int len, int flags)
{
	return winsock_sendto(s, buf, len, flags, NULL, 0);
}
