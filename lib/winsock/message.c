// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sends and receives, in all their forms, over sendmsg and recvmsg; over the library's own on a
 * datagram socket, where flows are told, and with records.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <waybill/waybill.h>

#include "../flow.h"
#include "../option.h"
#include "winsock.h"

/*
 * Receives, and says of what flow it is. Who wants neither records nor contexts does not take the
 * flow: they go to whoever asks next.
 */
static ssize_t receive(const struct winsocket *socket, const struct wishes *wishes,
		       struct msghdr *header, int flags, uint32_t *flow)
{
	bool want = wishes->records[FOUR] || wishes->records[SIX] || wishes->contexts[FOUR] ||
		    wishes->contexts[SIX];
	struct cmsghdr *at;
	__u32 fresh;
	socklen_t length = sizeof(fresh);
	ssize_t size;

	*flow = 0;
	if (wishes->flows && want) {
		size = waybill_recvmsg(socket->fd, header, flags);
		if (size < 0)
			return size;
		for (at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at))
			if (at->cmsg_level == SOL_WAYBILL && at->cmsg_type == WAYBILL_FLOW)
				memcpy(flow, CMSG_DATA(at), sizeof(*flow));
		return size;
	}
	size = recvmsg(socket->fd, header, flags);
	if (size < 0)
		return -errno;
	if (wishes->flows)
		*flow = flow_of_message(header);
	if (*flow &&
	    option_get(socket->fd, WAYBILL_OF_FLOW(WAYBILL_FLOW_NEW, *flow), &fresh, &length))
		*flow = 0;
	return size;
}

/* An error of a datagram socket is what became of an earlier datagram: Windows says it so. */
static int receive_error(const struct winsocket *socket, int error)
{
	return socket->datagram && error == ECONNREFUSED ? WSAECONNRESET : winsock_error(error);
}

/* A call that blocks has run into the time that the socket is given. */
static int again_error(const struct winsocket *socket)
{
	return fcntl(socket->fd, F_GETFL) & O_NONBLOCK ? WSAEWOULDBLOCK : WSAETIMEDOUT;
}

int send_error(SOCKET s, int error)
{
	struct sockaddr_storage own;
	const struct sockaddr_in *four = (const void *)&own;
	struct winsocket *socket;
	socklen_t length = sizeof(own);
	bool ended = false;

	if (error == EDESTADDRREQ)
		return WSAENOTCONN;
	if (error != EPIPE)
		return winsock_error(error);
	/* It was ended here; it never was connected; or the peer has ended it. */
	socket = socket_block(s);
	if (socket)
		ended = socket->ended;
	socket_unblock(socket);
	if (ended)
		return WSAESHUTDOWN;
	if (!getsockname(socket_descriptor(s), (struct sockaddr *)&own, &length) &&
	    (own.ss_family == AF_INET || own.ss_family == AF_INET6) && !four->sin_port)
		return WSAENOTCONN;
	return WSAECONNRESET;
}

/* What only the caller's WSAMSG has: control messages, and where they end. */
static int message_return(struct winsocket *socket, const struct wishes *wishes,
			  struct message *message, const struct msghdr *header, DWORD *flags)
{
	ULONG size = message->control_size;
	bool truncated = false;
	int error;

	if (!message->caller)
		return 0;
	error = control_to_caller(wishes, header, message->control, &size, &truncated);
	if (error)
		return error;
	if (truncated)
		*flags |= MSG_CTRUNC;
	message->caller->namelen = (INT)header->msg_namelen;
	message->caller->Control.len = size;
	message->caller->dwFlags = *flags;
	return 0;
}

static size_t bytes_of(const struct message *message, size_t buffers)
{
	size_t sum = 0, i;

	for (i = 0; i < buffers; i++)
		sum += message->buffers[i].iov_len;
	return sum;
}

/* Over what was sent, or received, of a stream already. */
static void buffers_skip(struct message *message, size_t buffers, size_t sent)
{
	size_t i, part;

	for (i = 0; i < buffers && sent; i++) {
		part = sent < message->buffers[i].iov_len ? sent : message->buffers[i].iov_len;
		message->buffers[i].iov_base = (char *)message->buffers[i].iov_base + part;
		message->buffers[i].iov_len -= part;
		sent -= part;
	}
}

/* One receive, blocking if flags do not say otherwise. 0, a Windows error, or AGAIN. */
static int message_receive(struct winsocket *socket, struct message *message, size_t buffers,
			   int flags, DWORD *count, DWORD *out_flags, int64_t *flow)
{
	char control[CONTROL_ROOM] __attribute__((aligned(8)));
	struct msghdr header = {
		.msg_name = message->name,
		.msg_namelen = message->name_size,
		.msg_iov = message->buffers,
		.msg_iovlen = buffers,
		.msg_control = control,
		.msg_controllen = socket->datagram ? sizeof(control) : 0,
	};
	struct wishes wishes;
	uint32_t number = 0;
	ssize_t size;
	int error;

	pthread_mutex_lock(&winsock_lock);
	wishes = socket->wishes;
	pthread_mutex_unlock(&winsock_lock);
	size = receive(socket, &wishes, &header, flags | message->call_flags, &number);
	if (size == -EAGAIN || size == -EWOULDBLOCK)
		return flags & MSG_DONTWAIT ? AGAIN : again_error(socket);
	if (size < 0)
		return receive_error(socket, (int)-size);
	message->done += (size_t)size;
	*count = (DWORD)message->done;
	/* All of it was asked for: it goes on, unless that was the end. */
	if (size && !socket->datagram && flags & MSG_DONTWAIT &&
	    message->call_flags & MSG_WAITALL && (size_t)size < bytes_of(message, buffers)) {
		buffers_skip(message, buffers, (size_t)size);
		return AGAIN;
	}
	*out_flags = (DWORD)header.msg_flags & ~(DWORD)(MSG_CTRUNC | MSG_CMSG_CLOEXEC);
	if (wishes.flows && !(message->call_flags & MSG_ERRQUEUE)) {
		*flow = number;
		pthread_mutex_lock(&winsock_lock);
		if (!(message->call_flags & MSG_PEEK))
			socket_received(socket, number);
		pthread_mutex_unlock(&winsock_lock);
	}
	error = message_return(socket, &wishes, message, &header, out_flags);
	if (message->name_length)
		*message->name_length = (INT)header.msg_namelen;
	if (message->flags)
		*message->flags = *out_flags;
	if (!error && socket->datagram && header.msg_flags & MSG_TRUNC)
		error = WSAEMSGSIZE;
	return error;
}

/* One send. Of a stream that does not block, as much as has room: AGAIN while there is more. */
static int message_send(struct winsocket *socket, struct message *message, size_t buffers,
			int flags, DWORD *count)
{
	char control[CONTROL_ROOM] __attribute__((aligned(8)));
	struct msghdr header = {
		.msg_name = message->name,
		.msg_namelen = message->name_size,
		.msg_iov = message->buffers,
		.msg_iovlen = buffers,
		.msg_control = control,
	};
	size_t used, all = bytes_of(message, buffers);
	ssize_t size;
	int error = control_from_caller(message->control, message->control_size, control,
					sizeof(control), &used);

	if (error)
		return error;
	header.msg_controllen = used;
	if (!used)
		header.msg_control = NULL;
	flags |= message->call_flags | MSG_NOSIGNAL;
	if (socket->datagram && used)
		size = waybill_sendmsg(socket->fd, &header, flags);
	else if ((size = sendmsg(socket->fd, &header, flags)) < 0)
		size = -errno;
	if (size == -EAGAIN || size == -EWOULDBLOCK)
		return flags & MSG_DONTWAIT ? AGAIN : again_error(socket);
	if (size < 0)
		return send_error((SOCKET)socket->fd, (int)-size);
	message->done += (size_t)size;
	*count = (DWORD)message->done;
	if (socket->datagram || !(flags & MSG_DONTWAIT) || (size_t)size == all)
		return 0;
	buffers_skip(message, buffers, (size_t)size);
	return AGAIN;
}

static int receive_attempt(struct operation *operation)
{
	return message_receive(operation->socket, &operation->message, operation->message.count,
			       MSG_DONTWAIT, &operation->count, &operation->flags,
			       &operation->flow);
}

static int send_attempt(struct operation *operation)
{
	return message_send(operation->socket, &operation->message, operation->message.count,
			    MSG_DONTWAIT, &operation->count);
}

/* The caller's array of buffers, as the kernel has it. 0 or a Windows error. */
static int buffers_read(struct iovec *to, const WSABUF *from, size_t count)
{
	WSABUF buffers[16];
	size_t i, at, some;

	for (at = 0; at < count; at += some) {
		some = count - at < 16 ? count - at : 16;
		if (memory_read(buffers, &from[at], some * sizeof(*buffers)))
			return WSAEFAULT;
		for (i = 0; i < some; i++) {
			to[at + i].iov_base = buffers[i].buf;
			to[at + i].iov_len = buffers[i].len;
		}
	}
	return 0;
}

struct transfer {
	SOCKET s;
	enum direction direction;
	const WSABUF *buffers;
	DWORD buffer_count;
	LPDWORD count;
	LPWSAOVERLAPPED overlapped;
	LPWSAOVERLAPPED_COMPLETION_ROUTINE routine;
	struct message message;
};

/*
 * At once, or blocking as the socket does: without the socket being kept from closing. Behind calls
 * of a stream that pend it waits its turn: what they send is not to be torn apart.
 */
static int call_plain(struct winsocket *socket, struct operation *operation, DWORD *count,
		      DWORD *flags)
{
	size_t buffers = operation->message.count;
	int error;

	if (!socket->datagram && socket_waits((SOCKET)socket->fd, operation->direction)) {
		if (!(fcntl(socket->fd, F_GETFL) & O_NONBLOCK))
			return operation_wait(socket, operation, count);
		socket_leave(socket);
		operation_free(operation);
		return WSAEWOULDBLOCK;
	}
	pthread_mutex_lock(&winsock_lock);
	socket->blocked++;
	socket_unuse(socket);
	pthread_mutex_unlock(&winsock_lock);
	if (operation->direction == RECEIVE)
		error = message_receive(socket, &operation->message, buffers, 0, count, flags,
					&operation->flow);
	else
		error = message_send(socket, &operation->message, buffers, 0, count);
	if (operation->flow >= 0)
		socket_thread_flow_set(socket->id, (uint32_t)operation->flow);
	operation_free(operation);
	return socket_unblock(socket) ? WSAEINTR : error;
}

static int call_check(const struct transfer *call, bool overlapped)
{
	const DWORD none = 0;

	if (call->buffer_count > BUFFERS_MAX)
		return WSAEINVAL;
	if (overlapped && operation_check(call->overlapped, call->routine))
		return WSAEFAULT;
	if (!overlapped || call->count)
		return memory_write(call->count, &none, sizeof(none));
	return 0;
}

static int call_run(const struct transfer *call)
{
	struct operation *operation = NULL;
	struct winsocket *socket;
	DWORD count = 0, flags = 0;
	bool overlapped;
	int error;

	socket = socket_enter(call->s, &error);
	if (!socket)
		return winsock_result(error);
	overlapped = socket->overlapped && call->overlapped;
	error = call_check(call, overlapped);
	if (!error && call->message.caller && !socket->datagram)
		error = WSAEOPNOTSUPP;
	if (!error) {
		operation =
			operation_new(call->direction,
				      call->direction == RECEIVE ? receive_attempt : send_attempt,
				      call->buffer_count);
		if (!operation)
			error = WSAENOBUFS;
	}
	if (!error) {
		operation->message = call->message;
		operation->message.count = call->buffer_count;
		operation->message.buffers = operation->buffers;
		error = buffers_read(operation->buffers, call->buffers, call->buffer_count);
	}
	if (error) {
		operation_free(operation);
		socket_leave(socket);
		return winsock_result(error);
	}
	if (overlapped) {
		error = operation_begin(socket, operation, call->overlapped, call->routine, NULL,
					&count, &flags);
		socket_leave(socket);
	} else {
		error = call_plain(socket, operation, &count, &flags);
	}
	/* What is cut is there all the same. */
	if (call->count && (!error || error == WSAEMSGSIZE))
		*call->count = count;
	return winsock_result(error);
}

/* The caller's WSAMSG. 0 or a Windows error. */
static int message_read(LPWSAMSG caller, bool write, struct transfer *call)
{
	struct message *message = &call->message;
	WSAMSG copy;

	if (write ? memory_take(&copy, caller, sizeof(copy)) :
		    memory_read(&copy, caller, sizeof(copy)))
		return WSAEFAULT;
	message->caller = caller;
	message->name = copy.name;
	message->name_size = copy.name && copy.namelen > 0 ? (socklen_t)copy.namelen : 0;
	message->control = copy.Control.buf;
	message->control_size = copy.Control.buf ? copy.Control.len : 0;
	call->buffers = copy.lpBuffers;
	call->buffer_count = copy.dwBufferCount;
	if (write)
		message->call_flags = (int)copy.dwFlags;
	return 0;
}

int WSAAPI WSARecvMsg(SOCKET s, LPWSAMSG lpMsg, LPDWORD lpdwNumberOfBytesRecvd,
		      LPWSAOVERLAPPED lpOverlapped,
		      LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine)
{
	struct transfer call = { .s = s,
				 .direction = RECEIVE,
				 .count = lpdwNumberOfBytesRecvd,
				 .overlapped = lpOverlapped,
				 .routine = lpCompletionRoutine };
	int error = message_read(lpMsg, true, &call);

	return error ? winsock_result(error) : call_run(&call);
}

int WSAAPI WSASendMsg(SOCKET s, LPWSAMSG lpMsg, DWORD dwFlags, LPDWORD lpNumberOfBytesSent,
		      LPWSAOVERLAPPED lpOverlapped,
		      LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine)
{
	struct transfer call = { .s = s,
				 .direction = SEND,
				 .count = lpNumberOfBytesSent,
				 .overlapped = lpOverlapped,
				 .routine = lpCompletionRoutine,
				 .message.call_flags = (int)dwFlags };
	int error = message_read(lpMsg, false, &call);

	return error ? winsock_result(error) : call_run(&call);
}

int WSAAPI WSARecvFrom(SOCKET s, LPWSABUF lpBuffers, DWORD dwBufferCount,
		       LPDWORD lpNumberOfBytesRecvd, LPDWORD lpFlags, struct sockaddr *lpFrom,
		       LPINT lpFromlen, LPWSAOVERLAPPED lpOverlapped,
		       LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine)
{
	struct transfer call = { .s = s,
				 .direction = RECEIVE,
				 .buffers = lpBuffers,
				 .buffer_count = dwBufferCount,
				 .count = lpNumberOfBytesRecvd,
				 .overlapped = lpOverlapped,
				 .routine = lpCompletionRoutine };
	DWORD flags;
	INT length = 0;

	if (memory_take(&flags, lpFlags, sizeof(flags)) ||
	    (lpFrom && memory_take(&length, lpFromlen, sizeof(length))))
		return winsock_result(WSAEFAULT);
	if (length < 0)
		return winsock_result(WSAEFAULT);
	call.message.flags = lpFlags;
	call.message.call_flags = (int)flags;
	call.message.name = lpFrom;
	call.message.name_size = (socklen_t)length;
	call.message.name_length = lpFrom ? lpFromlen : NULL;
	return call_run(&call);
}

int WSAAPI WSARecv(SOCKET s, LPWSABUF lpBuffers, DWORD dwBufferCount, LPDWORD lpNumberOfBytesRecvd,
		   LPDWORD lpFlags, LPWSAOVERLAPPED lpOverlapped,
		   LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine)
{
	return WSARecvFrom(s, lpBuffers, dwBufferCount, lpNumberOfBytesRecvd, lpFlags, NULL, NULL,
			   lpOverlapped, lpCompletionRoutine);
}

int WSAAPI WSASendTo(SOCKET s, LPWSABUF lpBuffers, DWORD dwBufferCount, LPDWORD lpNumberOfBytesSent,
		     DWORD dwFlags, const struct sockaddr *lpTo, int iTolen,
		     LPWSAOVERLAPPED lpOverlapped,
		     LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine)
{
	struct transfer call = {
		.s = s,
		.direction = SEND,
		.buffers = lpBuffers,
		.buffer_count = dwBufferCount,
		.count = lpNumberOfBytesSent,
		.overlapped = lpOverlapped,
		.routine = lpCompletionRoutine,
		.message = { .call_flags = (int)dwFlags,
			     .name = (struct sockaddr *)lpTo,
			     .name_size = lpTo && iTolen > 0 ? (socklen_t)iTolen : 0 },
	};

	return call_run(&call);
}

int WSAAPI WSASend(SOCKET s, LPWSABUF lpBuffers, DWORD dwBufferCount, LPDWORD lpNumberOfBytesSent,
		   DWORD dwFlags, LPWSAOVERLAPPED lpOverlapped,
		   LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine)
{
	return WSASendTo(s, lpBuffers, dwBufferCount, lpNumberOfBytesSent, dwFlags, NULL, 0,
			 lpOverlapped, lpCompletionRoutine);
}
