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
		{ EAGAIN, WSAEWOULDBLOCK },
		{ ENOTSOCK, WSAENOTSOCK },
		{ ENOPROTOOPT, WSAENOPROTOOPT },
		{ EOPNOTSUPP, WSAEOPNOTSUPP },
		{ ENETDOWN, WSAENETDOWN },
		{ ENOBUFS, WSAENOBUFS },
		{ ENOMEM, WSAENOBUFS },
		{ EISCONN, WSAEISCONN },
		{ ENOTCONN, WSAENOTCONN },
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
	if (!lpWSAData)
		return WSAEFAULT;
	memset(lpWSAData, 0, sizeof(*lpWSAData));
	lpWSAData->wVersion = lpWSAData->wHighVersion = MAKEWORD(2, 2);
	if (LOBYTE(wVersionRequested) < 2)
		return WSAVERNOTSUPPORTED;
	if (LOBYTE(wVersionRequested) == 2 && HIBYTE(wVersionRequested) < 2)
		lpWSAData->wVersion = wVersionRequested;
	snprintf(lpWSAData->szDescription, sizeof(lpWSAData->szDescription), "Waybill");
	snprintf(lpWSAData->szSystemStatus, sizeof(lpWSAData->szSystemStatus), "Running");
	return 0;
}

int WSACleanup(void)
{
	return 0;
}
