/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the service share. */
#ifndef SERVICE_H
#define SERVICE_H

#include "platform.h"

#define CONNECTIONS_MAX 512
#define FLOWS_MAX 512
#define CONTEXT_MAX 1024
#define RECORDS_MAX 65536 /* where doubling the buffer ends */

/* What is known of a connection, or of a flow of datagrams, that was redirected to this service. */
struct redirection {
	void *records; /* opaque: to be handed on, not to be looked into */
	DWORD records_size;
	BYTE context[CONTEXT_MAX]; /* our own filter's bytes */
	DWORD context_size;
	struct sockaddr_storage destination; /* what the client asked for */
	int destination_length;
};

/*
 * All about the accepted socket; of a datagram socket, about the flow of the datagram that this
 * thread received last. Returns 0 or a Windows error; FWP_E_NOT_FOUND: it was not redirected.
 */
int redirection_query(SOCKET s, struct redirection *redirection);
int redirection_destination(SOCKET s, struct redirection *redirection);
int redirection_set(SOCKET onward, const struct redirection *redirection);
/* A copy of records, or of a context, that came with a datagram. */
int redirection_take_records(struct redirection *redirection, const void *records, DWORD size);
void redirection_take_context(struct redirection *redirection, const void *context, DWORD size);
void redirection_free(struct redirection *redirection);

/* One line about a connection or flow; error 0: it is carried. */
void redirection_log(const char *protocol, const struct sockaddr *client, int client_length,
		     const struct redirection *redirection, int error);

/* Threads that serve one port, TCP and UDP; they end only if the socket fails. */
SOCKET stream_listen(unsigned short port);
DWORD WINAPI stream_serve(LPVOID listener);
SOCKET datagram_open(unsigned short port);
DWORD WINAPI datagram_serve(LPVOID s);

/* Carries bytes until both directions have ended (0), or the connection broke (an error). */
int stream_carry(SOCKET accepted, SOCKET onward);

#endif
