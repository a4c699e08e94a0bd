/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagram services and a server that says where each datagram was sent to, for tests.
 */
#ifndef WAYBILL_TEST_DATAGRAM_TOOLS_H
#define WAYBILL_TEST_DATAGRAM_TOOLS_H

#include "world.h"

enum datagram_kind {
	DATAGRAMS_RECORDS,  /* a connected onward socket for each flow, with its records */
	DATAGRAMS_MESSAGES, /* an unconnected one, and the records with the first datagram */
	DATAGRAMS_FORGETS,  /* no records at all */
	DATAGRAMS_ANSWERS,  /* answers by itself, with the flow's original destination */
};

/* Starts service number i, on SERVICE_PORT(i). seen->accepted counts flows, ->direct strays. */
void datagram_service(struct world *world, int i, enum datagram_kind kind);

/*
 * Starts the server: on SERVER_PORT of every address of 127.66.0.0/16 and fd66::/64, which it
 * answers from, with "ADDRESS|" before what it was sent.
 */
void datagram_server(struct world *world);

/* As world_policy(), for datagrams to ports 8080 to 8099. */
void datagram_policy(struct world *world, int services, const char *limits);

/* The n-th address of the server, and its name as the server says it. */
socklen_t datagram_address(enum family family, unsigned int n, struct sockaddr_storage *address);
void datagram_name(enum family family, unsigned int n, char text[64]);

int datagram_socket(enum family family);
bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b);

/* Sends text to the n-th address and expects the answer from there, on an unconnected socket. */
void datagram_check(int descriptor, enum family family, unsigned int n, const char *text);
/* The answer alone: from where, and what. */
void datagram_expect(int descriptor, enum family family, unsigned int n, const char *text);

/* The alarm of every wait: fails the test if nothing comes within two seconds. */
void datagram_wait(int descriptor);

/*
 * Listens at each port of the server's addresses, for connections and for datagrams, and answers
 * nobody: so that what is let go is not refused by the kernel.
 */
void servers_listen(uint16_t first, uint16_t last);

enum family family_of(const char *text);

#endif
