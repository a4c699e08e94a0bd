/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests that are a Windows redirect service, the application and the server in one process:
 * datagram sockets as such a service makes them, and what overlapped calls are waited for with.
 */
#ifndef WAYBILL_TEST_WINSOCK_TOOLS_H
#define WAYBILL_TEST_WINSOCK_TOOLS_H

#define WAYBILL_WINSOCK_NO_POSIX_NAMES
#include <waybill/winsock.h>

#include "datagram_tools.h"
#include "records_tools.h"

#define RECORDS SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS
#define CONTEXT SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT
#define SET SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS

/* The Windows error of a call that returns 0 or SOCKET_ERROR. */
#define ERROR_OF(call) ((call) ? WSAGetLastError() : 0)

/* The socket on which service i receives, with records and contexts delivered. */
static inline SOCKET receiver_of(struct world *world, int i, DWORD flags)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(SERVICE_PORT(i)) };
	static const int options[][2] = {
		{ IPPROTO_IP, IP_WFP_REDIRECT_RECORDS },
		{ IPPROTO_IP, IP_WFP_REDIRECT_CONTEXT },
		{ IPPROTO_IPV6, IPV6_WFP_REDIRECT_RECORDS },
		{ IPPROTO_IPV6, IPV6_WFP_REDIRECT_CONTEXT },
		{ IPPROTO_IP, IP_PKTINFO },
		{ IPPROTO_IPV6, IPV6_PKTINFO },
	};
	BOOL on = TRUE, off = FALSE;
	SOCKET s;

	as_service(world, i);
	s = WSASocketW(AF_INET6, SOCK_DGRAM, IPPROTO_UDP, NULL, 0, flags);
	EXPECT(s != INVALID_SOCKET);
	EXPECT(!winsock_setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, (char *)&off, sizeof(off)));
	for (size_t k = 0; k < sizeof(options) / sizeof(options[0]); k++)
		EXPECT(!winsock_setsockopt(s, options[k][0], options[k][1], (char *)&on,
					   sizeof(on)),
		       "option %zu: %d", k, WSAGetLastError());
	EXPECT(!winsock_bind(s, (struct sockaddr *)&any, sizeof(any)), "%d", WSAGetLastError());
	return s;
}

/* The application sends to the n-th address of the server. Who the test is comes back. */
static inline int application_sends(struct world *world, int s, enum family family, unsigned int n,
				    const char *text)
{
	struct sockaddr_storage to;
	socklen_t length = datagram_address(family, n, &to);

	as_application(world);
	if (s < 0)
		s = datagram_socket(family);
	EXPECT(sendto(s, text, strlen(text), 0, (void *)&to, length) == (ssize_t)strlen(text), "%s",
	       strerror(errno));
	as_service(world, 0);
	return s;
}

static inline BOOL is_signalled(WSAEVENT event)
{
	return WSAWaitForMultipleEvents(1, &event, FALSE, 0, FALSE) == WSA_WAIT_EVENT_0;
}

/* Within two seconds. */
static inline void expect_signal(WSAEVENT event)
{
	EXPECT(WSAWaitForMultipleEvents(1, &event, FALSE, 2000, FALSE) == WSA_WAIT_EVENT_0);
}

/* The end of a call that has completed: its error, and its count. */
static inline int result_of(SOCKET s, WSAOVERLAPPED *overlapped, DWORD *count)
{
	DWORD flags;

	return WSAGetOverlappedResult(s, overlapped, count, FALSE, &flags) ? 0 : WSAGetLastError();
}

#endif
