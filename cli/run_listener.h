/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A listener that `waybill run --through` names: which address and port, and who runs it. Only
 * loopback addresses, since what is redirected there must not leave the host.
 */
#ifndef WAYBILL_CLI_RUN_LISTENER_H
#define WAYBILL_CLI_RUN_LISTENER_H

#include "../platform/platform.h"

struct listener {
	const char *text; /* as it was given */
	uint16_t port;    /* host byte order */
	bool has4, has6;  /* asked for; and, once it is found, there */
	uint8_t address4[4], address6[16];
	bool datagrams; /* the service receives them too */
	uid_t user;     /* who runs it */
};

/* Reads ADDRESS:PORT, [ADDRESS]:PORT or :PORT. -EINVAL with message. */
int listener_parse(struct listener *listener, const char *text, struct message *message);
/* Finds who listens there, in this network namespace. -ENOENT and others with message. */
int listener_find(struct listener *listener, struct message *message);

#endif
