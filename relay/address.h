/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses with their port, as people write them: 192.0.2.1:443 and [2001:db8::1]:443. */
#ifndef WAYBILL_RELAY_ADDRESS_H
#define WAYBILL_RELAY_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_storage storage;
	};
	socklen_t length; /* 0: no address */
};

/* "[ffff:…:255.255.255.255%interface]:65535" */
#define ADDRESS_TEXT_SIZE (INET6_ADDRSTRLEN + 32)

/* Reads ADDRESS:PORT or [ADDRESS]:PORT, both numeric. -EINVAL if it is neither. */
int address_parse(struct address *address, const char *text);

/* Writes it into text and returns text. */
const char *address_format(const struct address *address, char text[ADDRESS_TEXT_SIZE]);

bool address_equal(const struct address *a, const struct address *b);
in_port_t address_port(const struct address *address); /* in network byte order */
void address_set_port(struct address *address, in_port_t port);

#endif
