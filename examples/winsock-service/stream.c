// SPDX-License-Identifier: BSD-2-Clause
/*
 * TCP: accepts what is redirected here and, in a thread for each connection, asks for its context,
 * records and destination, sets the records on the onward socket, connects that, and carries.
 */
#include "service.h"

static volatile LONG connections;

struct connection {
	SOCKET accepted;
	struct sockaddr_storage client;
	int client_length;
};

SOCKET stream_listen(unsigned short port)
{
	SOCKET s = WSASocketW(AF_INET6, SOCK_STREAM, IPPROTO_TCP, NULL, 0, WSA_FLAG_OVERLAPPED);
	struct sockaddr_in6 any = { 0 };
	int off = 0, on = 1, error;

	if (s == INVALID_SOCKET)
		return s;
	any.sin6_family = AF_INET6;
	any.sin6_port = htons(port);
	/* Nobody else takes the port while we have it; then both families. */
	if (setsockopt(s, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (char *)&on, sizeof(on)) ||
	    setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, (char *)&off, sizeof(off)) ||
	    bind(s, (struct sockaddr *)&any, sizeof(any)) || listen(s, SOMAXCONN)) {
		error = WSAGetLastError();
		closesocket(s);
		WSASetLastError(error);
		return INVALID_SOCKET;
	}
	return s;
}

/* The onward socket, connected to where the client wanted to go. */
static int onward_connect(const struct redirection *redirection, SOCKET *onward)
{
	SOCKET s = WSASocketW(redirection->destination.ss_family, SOCK_STREAM, IPPROTO_TCP, NULL, 0,
			      WSA_FLAG_OVERLAPPED);
	int error;

	if (s == INVALID_SOCKET)
		return WSAGetLastError();
	/* Before connect; and without them it must not be connected. */
	error = redirection_set(s, redirection);
	if (!error && connect(s, (const struct sockaddr *)&redirection->destination,
			      redirection->destination_length))
		error = WSAGetLastError();
	if (error)
		closesocket(s);
	else
		*onward = s;
	return error;
}

/* What broke must not look like a proper end to either side. */
static void close_by_reset(SOCKET s)
{
	struct linger reset = { 1, 0 };

	setsockopt(s, SOL_SOCKET, SO_LINGER, (char *)&reset, sizeof(reset));
	closesocket(s);
}

static DWORD WINAPI connection_serve(LPVOID argument)
{
	struct connection *connection = argument;
	struct redirection redirection = { 0 };
	SOCKET onward = INVALID_SOCKET;
	int error;

	error = redirection_query(connection->accepted, &redirection);
	if (!error)
		error = onward_connect(&redirection, &onward);
	redirection_log("TCP", (struct sockaddr *)&connection->client, connection->client_length,
			&redirection, error);
	redirection_free(&redirection);
	if (!error)
		error = stream_carry(connection->accepted, onward);
	if (error) {
		close_by_reset(connection->accepted);
		if (onward != INVALID_SOCKET)
			close_by_reset(onward);
	} else {
		closesocket(connection->accepted);
		closesocket(onward);
	}
	free(connection);
	InterlockedDecrement(&connections);
	return 0;
}

/* Starts the thread of a connection, which owns the socket from then on. */
static int connection_start(SOCKET accepted, const struct sockaddr_storage *client, int length)
{
	struct connection *connection = malloc(sizeof(*connection));
	HANDLE thread;

	if (!connection)
		return WSAENOBUFS;
	connection->accepted = accepted;
	connection->client = *client;
	connection->client_length = length;
	InterlockedIncrement(&connections);
	thread = CreateThread(NULL, 0, connection_serve, connection, 0, NULL);
	if (!thread) {
		InterlockedDecrement(&connections);
		free(connection);
		return WSAENOBUFS;
	}
	CloseHandle(thread);
	return 0;
}

/* Errors of one connection, or of a moment, after which the listener is as good as before. */
static int accept_again(int error)
{
	return error == WSAECONNRESET || error == WSAECONNABORTED || error == WSAEINTR ||
	       error == WSAEMFILE || error == WSAENOBUFS || error == WSAEWOULDBLOCK ||
	       error == WSAENETDOWN;
}

DWORD WINAPI stream_serve(LPVOID argument)
{
	SOCKET listener = (SOCKET)argument;

	for (;;) {
		struct sockaddr_storage client;
		int length = sizeof(client), error = 0;
		SOCKET accepted;

		/* The others wait in the backlog. */
		while (connections >= CONNECTIONS_MAX)
			Sleep(20);
		accepted = accept(listener, (struct sockaddr *)&client, &length);
		if (accepted == INVALID_SOCKET)
			error = WSAGetLastError();
		else if ((error = connection_start(accepted, &client, length)))
			close_by_reset(accepted);
		if (!error)
			continue;
		fprintf(stderr, "winsock-service: accept: error %d\n", error);
		if (!accept_again(error))
			return error;
		Sleep(100);
	}
}
