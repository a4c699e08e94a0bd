// SPDX-License-Identifier: BSD-2-Clause
/*
 * Errors under their Windows names, for each thread its last; and the calls that on Windows begin
 * and end the use of sockets, which here need neither.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "winsock.h"

static __thread int last_error;

int WSAGetLastError(void)
{
	return last_error;
}

void WSASetLastError(int iError)
{
	last_error = iError;
}

int winsock_result(int error)
{
	if (!error)
		return 0;
	last_error = error;
	return SOCKET_ERROR;
}

BOOL winsock_boolean(int error)
{
	return winsock_result(error) == 0;
}

int winsock_provider_result(int error, LPINT lpErrno)
{
	if (!error)
		return 0;
	if (lpErrno)
		memory_write(lpErrno, &error, sizeof(error));
	return SOCKET_ERROR;
}

/*
 * Statuses that have names of their own; every other error is one of facility 7, as the page of
 * NTSTATUS has it for errors of Win32.
 */
#define STATUS_OF_ERROR 0xc0070000U
static const struct {
	DWORD status;
	int error;
} statuses[] = {
	{ STATUS_PENDING, WSA_IO_INCOMPLETE },
	{ 0xc0000120U, WSA_OPERATION_ABORTED },     /* STATUS_CANCELLED */
	{ 0xc0000023U, ERROR_INSUFFICIENT_BUFFER }, /* STATUS_BUFFER_TOO_SMALL */
	{ 0xc0220008U, FWP_E_NOT_FOUND },           /* STATUS_FWP_NOT_FOUND */
};

ULONG_PTR winsock_status(int error)
{
	size_t i;

	for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].error == error)
			return statuses[i].status;
	return error ? STATUS_OF_ERROR | (DWORD)error : 0;
}

int winsock_status_error(ULONG_PTR status)
{
	size_t i;

	for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].status == (DWORD)status)
			return statuses[i].error;
	return (int)(status & 0xffff);
}

int winsock_error(int error)
{
	static const struct {
		int ours, theirs;
	} errors[] = {
		{ EINTR, WSAEINTR },
		{ EBADF, WSAENOTSOCK },
		{ EACCES, WSAEACCES },
		{ EPERM, WSAEACCES },
		{ EFAULT, WSAEFAULT },
		{ EINVAL, WSAEINVAL },
		{ EMFILE, WSAEMFILE },
		{ ENFILE, WSAEMFILE },
		{ EAGAIN, WSAEWOULDBLOCK },
		{ EINPROGRESS, WSAEWOULDBLOCK },
		{ EALREADY, WSAEALREADY },
		{ ENOTSOCK, WSAENOTSOCK },
		{ EDESTADDRREQ, WSAEDESTADDRREQ },
		{ EMSGSIZE, WSAEMSGSIZE },
		{ EPROTOTYPE, WSAEPROTOTYPE },
		{ ENOPROTOOPT, WSAENOPROTOOPT },
		{ EPROTONOSUPPORT, WSAEPROTONOSUPPORT },
		{ ESOCKTNOSUPPORT, WSAESOCKTNOSUPPORT },
		{ EOPNOTSUPP, WSAEOPNOTSUPP },
		{ EAFNOSUPPORT, WSAEAFNOSUPPORT },
		{ EADDRINUSE, WSAEADDRINUSE },
		{ EADDRNOTAVAIL, WSAEADDRNOTAVAIL },
		{ ENETDOWN, WSAENETDOWN },
		{ ENETUNREACH, WSAENETUNREACH },
		{ ECONNABORTED, WSAECONNABORTED },
		{ ECONNRESET, WSAECONNRESET },
		{ EPIPE, WSAECONNRESET },
		{ ENOBUFS, WSAENOBUFS },
		{ ENOMEM, WSAENOBUFS },
		{ EISCONN, WSAEISCONN },
		{ ENOTCONN, WSAENOTCONN },
		{ ENETRESET, WSAENETRESET },
		{ ESHUTDOWN, WSAESHUTDOWN },
		{ ETIMEDOUT, WSAETIMEDOUT },
		{ ECONNREFUSED, WSAECONNREFUSED },
		{ ELOOP, WSAELOOP },
		{ EHOSTDOWN, WSAEHOSTDOWN },
		{ EHOSTUNREACH, WSAEHOSTUNREACH },
		/* Of accept(2): what was wrong with the connection, which is gone. */
		{ EPROTO, WSAECONNABORTED },
		/* What only the filtering platform says. */
		{ ENOENT, FWP_E_NOT_FOUND },
		{ ENODATA, FWP_E_NOT_FOUND },
		{ EBADMSG, WSAEINVAL },
		{ EKEYEXPIRED, WSAEINVAL },
		{ ERANGE, ERROR_INSUFFICIENT_BUFFER },
	};
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].ours == error)
			return errors[i].theirs;
	return WSAEINVAL;
}

int WSAStartup(WORD wVersionRequested, LPWSADATA lpWSAData)
{
	WSADATA data = { .wVersion = MAKEWORD(2, 2), .wHighVersion = MAKEWORD(2, 2) };
	bool supported = LOBYTE(wVersionRequested) >= 2;

	if (LOBYTE(wVersionRequested) == 2 && HIBYTE(wVersionRequested) < 2)
		data.wVersion = wVersionRequested;
	snprintf(data.szDescription, sizeof(data.szDescription), "Waybill");
	snprintf(data.szSystemStatus, sizeof(data.szSystemStatus), "Running");
	if (memory_write(lpWSAData, &data, sizeof(data)))
		return WSAEFAULT;
	return supported ? 0 : WSAVERNOTSUPPORTED;
}

int WSACleanup(void)
{
	return 0;
}
