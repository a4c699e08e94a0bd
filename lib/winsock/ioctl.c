// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control codes, over the library's own queries. Pointers of the caller are only ever handed
 * to the kernel, which says EFAULT where touching them would end the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <waybill/waybill.h>

#include "../flow.h"
#include "winsock.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* As the page of the codes has it: a buffer below this is not too small, but wrong. */
#define LEAST_SIZE sizeof(ULONG)

struct call {
	DWORD code;
	void *in, *out;
	DWORD in_size, out_size;
	DWORD *returned;
	LPWSAOVERLAPPED overlapped; /* NULL: an ordinary call */
	LPWSAOVERLAPPED_COMPLETION_ROUTINE routine;
	const WSATHREADID *thread_id;
};

static bool is_query(DWORD code)
{
	return code == SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS ||
	       code == SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT;
}

static bool is_redirection(DWORD code)
{
	return is_query(code) || code == SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS;
}

static int socket_number(int fd, int level, int option)
{
	int number = 0;
	socklen_t size = sizeof(number);

	getsockopt(fd, level, option, &number, &size);
	return number;
}

/* Nobody answers at Waybill's level: of what kind of socket, and since when, decides. */
static int unanswered(struct winsocket *socket, DWORD code)
{
	int domain = socket_number(socket->fd, SOL_SOCKET, SO_DOMAIN);
	int protocol = socket_number(socket->fd, SOL_SOCKET, SO_PROTOCOL);

	if (domain != AF_INET && domain != AF_INET6)
		return WSAEINVAL;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP && protocol != IPPROTO_UDP)
		return is_query(code) ? WSAENOPROTOOPT : WSAEINVAL;
	return __atomic_load_n(&socket->answered, __ATOMIC_RELAXED) ? WSAENETDOWN : WSAEOPNOTSUPP;
}

/* The Windows error of what the library answered. */
static int answer(struct winsocket *socket, DWORD code, int result)
{
	if (result == -EOPNOTSUPP)
		return unanswered(socket, code);
	/* These are the kernel's own, before anybody could answer. */
	if (result != -EFAULT && result != -EBADF && result != -ENOTSOCK)
		__atomic_store_n(&socket->answered, true, __ATOMIC_RELAXED);
	return result ? winsock_error(-result) : 0;
}

/*
 * The flow of the datagram that waits to be received; 0: none of a flow. One that somebody sent to
 * the address of no flow, or of another service's, is not one.
 */
static uint32_t flow_waiting(const struct winsocket *socket)
{
	char control[256] __attribute__((aligned(8)));
	struct msghdr header = { .msg_control = control, .msg_controllen = sizeof(control) };
	struct waybill_info info;
	uint32_t flow = 0;

	if (recvmsg(socket->fd, &header, MSG_PEEK | MSG_DONTWAIT) >= 0)
		flow = flow_of_message(&header);
	return flow && !waybill_flow_info_query(socket->fd, flow, &info) ? flow : 0;
}

/* Whether it is still connecting: who it will be connected to is not known yet. */
static bool is_connecting(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);

	return !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) &&
	       info.tcpi_state == TCP_SYN_SENT;
}

/* thread_flow: of the datagram that the asking thread received last; -1: of none. */
static int query_try(struct winsocket *socket, DWORD code, void *out, DWORD out_size,
		     int64_t thread_flow, DWORD *count)
{
	bool records = code == SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS;
	size_t size = out_size;
	uint32_t flow = socket_flow(socket, thread_flow);
	bool waits = socket->datagram || is_connecting(socket->fd);
	int result, error;

	if (socket->datagram && !flow && thread_flow < 0)
		flow = flow_waiting(socket);
	if (socket->datagram && !flow && thread_flow == 0)
		return FWP_E_NOT_FOUND;
	if (flow)
		result = records ? waybill_flow_records_query(socket->fd, flow, out, &size) :
				   waybill_flow_context_query(socket->fd, flow, out, &size);
	else
		result = records ? waybill_records_query(socket->fd, out, &size) :
				   waybill_context_query(socket->fd, out, &size);
	error = answer(socket, code, result);
	if (!result || result == -ERANGE)
		*count = (DWORD)size;
	return result == -ENOTCONN && waits ? AGAIN : error;
}

static int query_attempt(struct operation *operation)
{
	return query_try(operation->socket, operation->query.code, operation->query.out,
			 operation->query.size, operation->query.flow, &operation->count);
}

static struct operation *query_operation(const struct call *call, int64_t flow)
{
	struct operation *operation = operation_new(QUERY, query_attempt, 0);

	if (!operation)
		return NULL;
	operation->query.code = call->code;
	operation->query.out = call->out;
	operation->query.size = call->out_size;
	operation->query.flow = flow;
	return operation;
}

/* Leaves the socket. */
static int query(struct winsocket *socket, const struct call *call)
{
	int64_t flow = socket_thread_flow(socket->id);
	struct operation *operation;
	DWORD count = 0;
	int error = 0;

	if (call->out_size > 0 && call->out_size < LEAST_SIZE)
		error = WSAEINVAL;
	else if (call->out_size && !call->out)
		error = WSAEFAULT;
	else if (socket->datagram)
		error = socket_tell_flows(socket);
	/* Not overlapped, nothing has to be made unless it waits. */
	if (!error && !call->overlapped)
		error = query_try(socket, call->code, call->out, call->out_size, flow, &count);
	else if (!error)
		error = AGAIN;
	if (error == AGAIN && !call->overlapped && fcntl(socket->fd, F_GETFL) & O_NONBLOCK)
		error = WSAENOTCONN;
	if (error != AGAIN) {
		socket_leave(socket);
		goto out;
	}
	operation = query_operation(call, flow);
	if (!operation) {
		socket_leave(socket);
		return WSAENOBUFS;
	}
	if (!call->overlapped) {
		error = operation_wait(socket, operation, &count);
	} else {
		error = operation_begin(socket, operation, call->overlapped, call->routine,
					call->thread_id, &count, NULL);
		socket_leave(socket);
	}
out:
	if (call->returned && (!error || error == ERROR_INSUFFICIENT_BUFFER))
		*call->returned = count;
	return error;
}

static int set(struct winsocket *socket, const struct call *call)
{
	if (call->out_size || !call->in_size)
		return WSAEINVAL;
	if (!call->in)
		return WSAEFAULT;
	return answer(socket, call->code, waybill_records_set(socket->fd, call->in, call->in_size));
}

static int flush(struct winsocket *socket)
{
	pthread_mutex_lock(&winsock_lock);
	operations_cancel(socket, NULL);
	pthread_mutex_unlock(&winsock_lock);
	return 0;
}

static int function_get(const struct call *call, DWORD *count)
{
	static const GUID receive_id = WSAID_WSARECVMSG, send_id = WSAID_WSASENDMSG;
	const LPFN_WSARECVMSG receive = WSARecvMsg;
	const LPFN_WSASENDMSG send = WSASendMsg;
	const void *function;
	GUID id;

	if (call->in_size < sizeof(id) || call->out_size < sizeof(receive) ||
	    memory_read(&id, call->in, sizeof(id)))
		return WSAEFAULT;
	if (!memcmp(&id, &receive_id, sizeof(id)))
		function = &receive;
	else if (!memcmp(&id, &send_id, sizeof(id)))
		function = &send;
	else
		return WSAEINVAL;
	*count = sizeof(receive);
	return memory_write(call->out, function, sizeof(receive));
}

static int done_attempt(struct operation *operation)
{
	return 0;
}

/* What never waits is over; overlapped, its caller is told so. Leaves the socket. */
static int complete(struct winsocket *socket, const struct call *call, int error, DWORD count)
{
	struct operation *operation = NULL;

	if (!error && call->overlapped) {
		operation = operation_new(IMMEDIATE, done_attempt, 0);
		error = WSAENOBUFS;
	}
	if (operation) {
		operation->count = count;
		error = operation_begin(socket, operation, call->overlapped, call->routine,
					call->thread_id, NULL, NULL);
	}
	socket_leave(socket);
	if (!error && call->returned)
		*call->returned = count;
	return error;
}

static bool in_routine(void)
{
	struct thread *thread = thread_current();

	return thread && thread->running;
}

/* Whether all that the caller points to is there. The count is 0 until there is one. */
static int check(struct winsocket *socket, struct call *call)
{
	const DWORD none = 0;

	if (!socket->overlapped || (!call->overlapped && !call->routine))
		call->overlapped = NULL;
	else if (operation_check(call->overlapped, call->routine))
		return WSAEFAULT;
	if (call->overlapped && !call->returned)
		return 0;
	return memory_write(call->returned, &none, sizeof(none));
}

/* Returns 0 or a Windows error. */
static int control(SOCKET s, struct call *call)
{
	struct winsocket *socket;
	DWORD count = 0;
	int error;

	socket = socket_enter(s, &error);
	if (!socket)
		return error;
	error = check(socket, call);
	if (!error && is_redirection(call->code) && in_routine())
		error = WSAEINPROGRESS;
	if (error) {
		socket_leave(socket);
		return error;
	}
	if (is_query(call->code))
		return query(socket, call);
	if (call->code == SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS)
		error = set(socket, call);
	else if (call->code == SIO_FLUSH)
		error = flush(socket);
	else if (call->code == SIO_GET_EXTENSION_FUNCTION_POINTER)
		error = function_get(call, &count);
	else
		error = WSAEINVAL;
	return complete(socket, call, error, count);
}

int WSPAPI WSPIoctl(SOCKET s, DWORD dwIoControlCode, LPVOID lpvInBuffer, DWORD cbInBuffer,
		    LPVOID lpvOutBuffer, DWORD cbOutBuffer, LPDWORD lpcbBytesReturned,
		    LPWSAOVERLAPPED lpOverlapped,
		    LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine,
		    LPWSATHREADID lpThreadId, LPINT lpErrno)
{
	struct call call = {
		.code = dwIoControlCode,
		.in = lpvInBuffer,
		.in_size = cbInBuffer,
		.out = lpvOutBuffer,
		.out_size = cbOutBuffer,
		.returned = lpcbBytesReturned,
		.overlapped = lpOverlapped,
		.routine = lpCompletionRoutine,
	};
	WSATHREADID thread_id;
	int error = 0;

	/* The caller's may be gone before the routine runs. */
	if (lpThreadId && lpCompletionRoutine) {
		error = memory_read(&thread_id, lpThreadId, sizeof(thread_id));
		call.thread_id = &thread_id;
	}
	if (!error)
		error = control(s, &call);
	return winsock_provider_result(error, lpErrno);
}

int WSAAPI WSAIoctl(SOCKET s, DWORD dwIoControlCode, LPVOID lpvInBuffer, DWORD cbInBuffer,
		    LPVOID lpvOutBuffer, DWORD cbOutBuffer, LPDWORD lpcbBytesReturned,
		    LPWSAOVERLAPPED lpOverlapped,
		    LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine)
{
	INT error = 0;

	WSPIoctl(s, dwIoControlCode, lpvInBuffer, cbInBuffer, lpvOutBuffer, cbOutBuffer,
		 lpcbBytesReturned, lpOverlapped, lpCompletionRoutine, NULL, &error);
	return winsock_result(error);
}
