/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the name of the server in passing: from the server_name extension of a TLS ClientHello,
 * or from the Host header of an HTTP/1 request. It is shown copies of bytes already on their way,
 * so it can neither delay nor alter them. What it reads comes from strangers: a name is reported
 * only if it is printable ASCII, and it is what the client claims, nothing more.
 */
#ifndef WAYBILL_RELAY_SNIFF_H
#define WAYBILL_RELAY_SNIFF_H

#include <stddef.h>

/* No name is looked for beyond this. A ClientHello with hybrid key shares takes 2 KiB. */
#define SNIFF_SIZE_MAX 8192

#define SNIFF_NAME_MAX 255

enum sniff_state {
	SNIFF_MORE, /* nothing is known yet */
	SNIFF_TLS_SERVER_NAME,
	SNIFF_HTTP_HOST,
	SNIFF_NOTHING, /* there is no name, or none that can be read */
};

/* All zeros is where it begins. */
struct sniff {
	enum sniff_state state;
	char *name;          /* with SNIFF_TLS_SERVER_NAME and SNIFF_HTTP_HOST */
	unsigned char *seen; /* with SNIFF_MORE: the bytes so far */
	size_t length, size, needed;
};

/* Shows it the next bytes. Cheap once the state is not SNIFF_MORE. Out of memory: SNIFF_NOTHING. */
void sniff_feed(struct sniff *sniff, const unsigned char *bytes, size_t length);

void sniff_free(struct sniff *sniff);

#endif
