/* SPDX-License-Identifier: BSD-2-Clause */
/* Datagrams with their control messages: what comes with one, and what is to go with one. */
#ifndef SERVICE_MESSAGES_H
#define SERVICE_MESSAGES_H

#include "service.h"

#define DATAGRAM_MAX 65536

/* Where a datagram was sent to; echoed, it is where the reply comes from. */
struct local_address {
	int level, type;
	int size; /* 0: not told */
	BYTE bytes[32]; /* IN_PKTINFO or IN6_PKTINFO */
};

struct datagram {
	struct sockaddr_storage source;
	int source_length;
	struct local_address local;
	const void *records, *context; /* in the control buffer; NULL: did not come */
	DWORD records_size, context_size;
	BOOL truncated; /* of the control messages some are missing */
	int size;
	char bytes[DATAGRAM_MAX];
	__attribute__((aligned(8))) char control[8192];
};

/* Gets WSARecvMsg and WSASendMsg. 0 or an error, as all here. */
int messages_open(SOCKET s);
int message_receive(SOCKET s, struct datagram *datagram);
/* A reply, from the address at which the client's datagrams come. */
int message_reply(SOCKET s, const void *bytes, int size, const struct sockaddr_storage *client,
		  int client_length, const struct local_address *local);
/* The first datagram of an onward flow, with the records. */
int message_begin(SOCKET onward, const void *bytes, int size,
		  const struct redirection *redirection);

BOOL local_same(const struct local_address *a, const struct local_address *b);

#endif
