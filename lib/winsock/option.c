// SPDX-License-Identifier: BSD-2-Clause
/*
 * Socket options: those of redirection, those that have another name or sense on Windows, and all
 * others as they are.
 */
#include <errno.h>
#include <string.h>
#include <waybill/waybill.h>

#include "../flow.h"
#include "winsock.h"

int socket_tell_flows(struct winsocket *socket)
{
	int result;

	if (socket_tells_flows((SOCKET)socket->fd))
		return 0;
	result = flow_tell(socket->fd);
	if (result)
		return winsock_error(-result);
	pthread_mutex_lock(&winsock_lock);
	socket->wishes.flows = true;
	pthread_mutex_unlock(&winsock_lock);
	return 0;
}

/* What a caller can wish for on a datagram socket, by its option; NULL: another option. */
static bool *wish_of(struct winsocket *socket, int level, int option)
{
	int family = level == IPPROTO_IP ? FOUR : SIX;

	if (level != IPPROTO_IP && level != IPPROTO_IPV6)
		return NULL;
	if (option == IP_WFP_REDIRECT_RECORDS)
		return &socket->wishes.records[family];
	if (option == IP_WFP_REDIRECT_CONTEXT)
		return &socket->wishes.contexts[family];
	if (option == (family == FOUR ? IP_PKTINFO : IPV6_PKTINFO))
		return &socket->wishes.addresses[family];
	return NULL;
}

/* Whether the option is one of those above; *error is then what became of it. */
static bool wish_set(struct winsocket *socket, int level, int option, const char *value, int size,
		     int *error)
{
	bool *wish = wish_of(socket, level, option);
	BOOL on = FALSE;

	if (!wish)
		return false;
	if (!socket->datagram)
		*error = WSAENOPROTOOPT;
	else if (size < (int)sizeof(on) || memory_read(&on, value, sizeof(on)))
		*error = WSAEFAULT;
	else
		*error = on ? socket_tell_flows(socket) : 0;
	/* A bound socket that hears everybody is to hear this host alone, as bind() has it. */
	if (!*error && on && option != IP_PKTINFO && option != IPV6_PKTINFO) {
		int result = flow_bound_filter(socket->fd);

		*error = result ? winsock_error(-result) : 0;
	}
	if (*error)
		return true;
	pthread_mutex_lock(&winsock_lock);
	*wish = on;
	pthread_mutex_unlock(&winsock_lock);
	return true;
}

static int value_return(const void *from, int from_size, char *value, int *size)
{
	int room;

	if (memory_read(&room, size, sizeof(room)) || room < from_size ||
	    memory_write(value, from, (size_t)from_size) ||
	    memory_write(size, &from_size, sizeof(from_size)))
		return WSAEFAULT;
	return 0;
}

static int original_get(struct winsocket *socket, char *value, int *size)
{
	uint32_t flow = socket_flow(socket, socket_thread_flow(socket->id));
	struct sockaddr_storage address;
	socklen_t length;
	int result;

	if (socket->datagram && !flow)
		return FWP_E_NOT_FOUND;
	result = flow ? waybill_flow_original_destination_query(socket->fd, flow, &address,
								&length) :
			waybill_original_destination_query(socket->fd, &address, &length);
	return result ? winsock_error(-result) : value_return(&address, (int)length, value, size);
}

static bool is_timeout(int level, int option)
{
	return level == SOL_SOCKET && (option == SO_RCVTIMEO || option == SO_SNDTIMEO);
}

/* Windows counts milliseconds in a DWORD; who passes a struct timeval means that. */
static int timeout_set(int fd, int option, const char *value, int size)
{
	struct timeval time;
	DWORD milliseconds;

	if (size >= (int)sizeof(time)) {
		if (memory_read(&time, value, sizeof(time)))
			return WSAEFAULT;
	} else if (size < (int)sizeof(milliseconds) ||
		   memory_read(&milliseconds, value, sizeof(milliseconds))) {
		return WSAEFAULT;
	} else {
		time.tv_sec = milliseconds / 1000;
		time.tv_usec = milliseconds % 1000 * 1000;
	}
	return setsockopt(fd, SOL_SOCKET, option, &time, sizeof(time)) ? winsock_error(errno) : 0;
}

static int timeout_get(int fd, int option, char *value, int *size)
{
	struct timeval time;
	socklen_t length = sizeof(time);
	DWORD milliseconds;
	int room;

	if (memory_read(&room, size, sizeof(room)))
		return WSAEFAULT;
	if (getsockopt(fd, SOL_SOCKET, option, &time, &length))
		return winsock_error(errno);
	milliseconds = (DWORD)(time.tv_sec * 1000 + time.tv_usec / 1000);
	return room >= (int)sizeof(time) ?
		       value_return(&time, sizeof(time), value, size) :
		       value_return(&milliseconds, sizeof(milliseconds), value, size);
}

static int option_get_at(struct winsocket *socket, int level, int option, char *value, int *size)
{
	const bool *wish = wish_of(socket, level, option);
	socklen_t length;
	int room;
	BOOL on;

	if (level == SOL_SOCKET && option == SO_ORIGINAL_DST)
		return original_get(socket, value, size);
	if (wish && socket->datagram) {
		pthread_mutex_lock(&winsock_lock);
		on = *wish;
		pthread_mutex_unlock(&winsock_lock);
		return value_return(&on, sizeof(on), value, size);
	}
	if (is_timeout(level, option))
		return timeout_get(socket->fd, option, value, size);
	if (level == SOL_SOCKET && option == SO_EXCLUSIVEADDRUSE) {
		on = TRUE;
		return value_return(&on, sizeof(on), value, size);
	}
	if (memory_read(&room, size, sizeof(room)) || room < 0)
		return WSAEFAULT;
	length = (socklen_t)room;
	if (getsockopt(socket->fd, level, option, value, &length))
		return winsock_error(errno);
	room = (int)length;
	/* The error of a connect that failed, as Windows numbers it. */
	if (level == SOL_SOCKET && option == SO_ERROR && room == sizeof(int)) {
		memory_read(&room, value, sizeof(room));
		room = room ? winsock_error(room) : 0;
		memory_write(value, &room, sizeof(room));
		room = sizeof(room);
	}
	return memory_write(size, &room, sizeof(room));
}

int winsock_getsockopt(SOCKET s, int level, int optname, char *optval, int *optlen)
{
	struct winsocket *socket;
	int error;

	socket = socket_enter(s, &error);
	if (!socket)
		return winsock_result(error);
	error = option_get_at(socket, level, optname, optval, optlen);
	socket_leave(socket);
	return winsock_result(error);
}

/*
 * That nobody else gets the port is so anyway. A listener is not to be kept from it by what old
 * connections have left; with datagrams, the option that says so would share the port.
 */
static int exclusive_set(struct winsocket *socket)
{
	int on = 1;

	if (socket->datagram)
		return 0;
	return setsockopt(socket->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ?
		       winsock_error(errno) :
		       0;
}

int winsock_setsockopt(SOCKET s, int level, int optname, const char *optval, int optlen)
{
	struct winsocket *socket;
	int error = 0;

	socket = socket_enter(s, &error);
	if (!socket)
		return winsock_result(error);
	if (level == SOL_SOCKET && optname == SO_EXCLUSIVEADDRUSE)
		error = exclusive_set(socket);
	else if (is_timeout(level, optname))
		error = timeout_set(socket->fd, optname, optval, optlen);
	else if (!wish_set(socket, level, optname, optval, optlen, &error) &&
		 setsockopt(socket->fd, level, optname, optval, (socklen_t)optlen))
		error = winsock_error(errno);
	socket_leave(socket);
	return winsock_result(error);
}
