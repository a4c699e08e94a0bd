// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control codes, over the library's own queries. Pointers of the caller are only ever handed
 * to the kernel, which says EFAULT where touching them would end the program.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <waybill/waybill.h>

#include "winsock.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* As the page of the codes has it: a buffer below this is not too small, but wrong. */
#define LEAST_SIZE sizeof(ULONG)

struct call {
	int fd;
	DWORD code;
	void *in, *out;
	size_t in_size, out_size;
	DWORD *returned;
};

static int is_query(DWORD code)
{
	return code == SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS ||
	       code == SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT;
}

/* Whether s is a socket, and the count can be written: the kernel writes there, and then we do. */
static int check(const struct call *call)
{
	socklen_t size = sizeof(int);

	if (getsockopt(call->fd, SOL_SOCKET, SO_TYPE, call->returned, &size))
		return winsock_error(errno);
	*call->returned = 0;
	return 0;
}

/* Nobody answers at Waybill's level: of what kind of socket, decides what that means. */
static int unanswered(const struct call *call)
{
	int domain = 0, protocol = 0;
	socklen_t size = sizeof(int);

	getsockopt(call->fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
	size = sizeof(int);
	getsockopt(call->fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size);
	if (domain != AF_INET && domain != AF_INET6)
		return WSAEINVAL;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP && protocol != IPPROTO_UDP)
		return is_query(call->code) ? WSAENOPROTOOPT : WSAEINVAL;
	return WSAEOPNOTSUPP;
}

static int query(const struct call *call)
{
	size_t size = call->out_size;
	int result;

	if (call->out_size > 0 && call->out_size < LEAST_SIZE)
		return WSAEINVAL;
	if (call->out_size && !call->out)
		return WSAEFAULT;
	result = call->code == SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS ?
			 waybill_records_query(call->fd, call->out, &size) :
			 waybill_context_query(call->fd, call->out, &size);
	if (result == -EOPNOTSUPP)
		return unanswered(call);
	if (result && result != -ERANGE)
		return winsock_error(-result);
	*call->returned = size;
	return result ? ERROR_INSUFFICIENT_BUFFER : 0;
}

static int set(const struct call *call)
{
	int result;

	if (call->out_size || !call->in_size)
		return WSAEINVAL;
	if (!call->in)
		return WSAEFAULT;
	result = waybill_records_set(call->fd, call->in, call->in_size);
	if (result == -EOPNOTSUPP)
		return unanswered(call);
	return result ? winsock_error(-result) : 0;
}

/* Returns 0 or a Windows error. */
static int control(const struct call *call)
{
	int error = check(call);

	if (error)
		return error;
	if (is_query(call->code))
		return query(call);
	if (call->code == SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS)
		return set(call);
	return call->code == SIO_FLUSH ? 0 : WSAEINVAL;
}

int WSAIoctl(SOCKET s, DWORD dwIoControlCode, LPVOID lpvInBuffer, DWORD cbInBuffer,
	     LPVOID lpvOutBuffer, DWORD cbOutBuffer, LPDWORD lpcbBytesReturned,
	     LPWSAOVERLAPPED lpOverlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine)
{
	const struct call call = {
		/* What is no descriptor must not become one by losing its upper half. */
		.fd = s > INT32_MAX ? -1 : (int)s,
		.code = dwIoControlCode,
		.in = lpvInBuffer,
		.in_size = cbInBuffer,
		.out = lpvOutBuffer,
		.out_size = cbOutBuffer,
		.returned = lpcbBytesReturned,
	};
	int error = control(&call);

	(void)lpOverlapped;
	(void)lpCompletionRoutine;
	if (!error)
		return 0;
	WSASetLastError(error);
	return SOCKET_ERROR;
}

int WSPIoctl(SOCKET s, DWORD dwIoControlCode, LPVOID lpvInBuffer, DWORD cbInBuffer,
	     LPVOID lpvOutBuffer, DWORD cbOutBuffer, LPDWORD lpcbBytesReturned,
	     LPWSAOVERLAPPED lpOverlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine,
	     LPWSATHREADID lpThreadId, LPINT lpErrno)
{
	int before = WSAGetLastError(), result;

	(void)lpThreadId;
	result = WSAIoctl(s, dwIoControlCode, lpvInBuffer, cbInBuffer, lpvOutBuffer, cbOutBuffer,
			  lpcbBytesReturned, lpOverlapped, lpCompletionRoutine);
	if (result && lpErrno)
		*lpErrno = WSAGetLastError();
	WSASetLastError(before);
	return result;
}
