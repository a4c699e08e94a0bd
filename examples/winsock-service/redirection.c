// SPDX-License-Identifier: BSD-2-Clause
/*
 * Where a connection was going, our own filter's context, and the records of all who redirected
 * it: asked for, handed on, and told in a line.
 */
#include "service.h"

#define RECORDS_FIRST 256

/* Doubles the buffer for as long as it is too small, as services do. */
static int records_query(SOCKET s, struct redirection *redirection)
{
	DWORD size, count = 0;
	int error;

	for (size = RECORDS_FIRST; size <= RECORDS_MAX; size *= 2) {
		void *records = realloc(redirection->records, size);

		if (!records)
			return WSAENOBUFS;
		redirection->records = records;
		if (!WSAIoctl(s, SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS, NULL, 0, records, size,
			      &count, NULL, NULL)) {
			redirection->records_size = count;
			return 0;
		}
		error = WSAGetLastError();
		if (error != ERROR_INSUFFICIENT_BUFFER && error != WSAEFAULT && error != WSAENOBUFS)
			return error;
	}
	return WSAENOBUFS;
}

/* A connection without a context is as good as one with it. */
static int context_query(SOCKET s, struct redirection *redirection)
{
	DWORD count = 0;
	int error;

	redirection->context_size = 0;
	if (!WSAIoctl(s, SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT, NULL, 0, redirection->context,
		      sizeof(redirection->context), &count, NULL, NULL)) {
		redirection->context_size = count;
		return 0;
	}
	error = WSAGetLastError();
	return error == FWP_E_NOT_FOUND ? 0 : error;
}

int redirection_destination(SOCKET s, struct redirection *redirection)
{
	int length = sizeof(redirection->destination);

	memset(&redirection->destination, 0, sizeof(redirection->destination));
	if (getsockopt(s, SOL_SOCKET, SO_ORIGINAL_DST, (char *)&redirection->destination, &length))
		return WSAGetLastError();
	redirection->destination_length = length;
	return 0;
}

int redirection_query(SOCKET s, struct redirection *redirection)
{
	int error = context_query(s, redirection);

	if (!error)
		error = records_query(s, redirection);
	return error ? error : redirection_destination(s, redirection);
}

int redirection_set(SOCKET onward, const struct redirection *redirection)
{
	DWORD count = 0;

	if (WSAIoctl(onward, SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS, redirection->records,
		     redirection->records_size, NULL, 0, &count, NULL, NULL))
		return WSAGetLastError();
	return 0;
}

int redirection_take_records(struct redirection *redirection, const void *records, DWORD size)
{
	void *copy = size && size <= RECORDS_MAX ? malloc(size) : NULL;

	if (!copy)
		return WSAENOBUFS;
	memcpy(copy, records, size);
	free(redirection->records);
	redirection->records = copy;
	redirection->records_size = size;
	return 0;
}

void redirection_take_context(struct redirection *redirection, const void *context, DWORD size)
{
	if (size > sizeof(redirection->context))
		return;
	memcpy(redirection->context, context, size);
	redirection->context_size = size;
}

void redirection_free(struct redirection *redirection)
{
	free(redirection->records);
	redirection->records = NULL;
	redirection->records_size = 0;
}

/* "address port", or "?" */
static void name_of(const struct sockaddr *address, int length, char *text, size_t size)
{
	char host[64], port[16];

	if (!length || getnameinfo(address, length, host, sizeof(host), port, sizeof(port),
				   NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(text, size, "?");
	else
		snprintf(text, size, "%s port %s", host, port);
}

void redirection_log(const char *protocol, const struct sockaddr *client, int client_length,
		     const struct redirection *redirection, int error)
{
	char from[96], to[96], context[41];
	DWORD i;

	name_of(client, client_length, from, sizeof(from));
	name_of((const struct sockaddr *)&redirection->destination, redirection->destination_length,
		to, sizeof(to));
	/* The context is ours, but a terminal is not to depend on that. */
	for (i = 0; i < redirection->context_size && i < sizeof(context) - 1; i++) {
		BYTE byte = redirection->context[i];

		context[i] = byte >= ' ' && byte < 0x7f && byte != '"' ? (char)byte : '.';
	}
	context[i] = '\0';
	if (error == FWP_E_NOT_FOUND)
		fprintf(stderr, "winsock-service: %s from %s refused: not redirected here\n",
			protocol, from);
	else if (error)
		fprintf(stderr, "winsock-service: %s from %s to %s failed: error %d\n", protocol,
			from, to, error);
	else
		fprintf(stderr,
			"winsock-service: %s from %s to %s, context \"%s\", %u bytes of records\n",
			protocol, from, to, context, (unsigned int)redirection->records_size);
}
