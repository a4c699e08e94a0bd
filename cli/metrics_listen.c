// SPDX-License-Identifier: BSD-2-Clause
/* An address from the command line, and sockets that listen there. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metrics_listen.h"

#define QUEUE 64

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static void set_address(union address *address, int family, const void *host, uint16_t port)
{
	memset(address, 0, sizeof(*address));
	address->any.sa_family = family;
	if (family == AF_INET) {
		address->v4.sin_port = htons(port);
		memcpy(&address->v4.sin_addr, host, sizeof(address->v4.sin_addr));
	} else {
		address->v6.sin6_port = htons(port);
		memcpy(&address->v6.sin6_addr, host, sizeof(address->v6.sin6_addr));
	}
}

static size_t parse(const char *text, union address address[METRICS_SOCKETS])
{
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	unsigned long port;
	uint8_t host[16];
	char name[64], *end;

	if (!colon || length >= sizeof(name) || colon[1] < '0' || colon[1] > '9')
		return 0;
	port = strtoul(colon + 1, &end, 10);
	if (*end || !port || port > 65535)
		return 0;
	memcpy(name, text, length);
	name[length] = '\0';
	if (!length) {
		inet_pton(AF_INET, "127.0.0.1", host);
		set_address(&address[0], AF_INET, host, port);
		set_address(&address[1], AF_INET6, &in6addr_loopback, port);
		return 2;
	}
	if (inet_pton(AF_INET, name, host) == 1) {
		set_address(&address[0], AF_INET, host, port);
		return 1;
	}
	if (length < 3 || name[0] != '[' || name[length - 1] != ']')
		return 0;
	name[length - 1] = '\0';
	if (inet_pton(AF_INET6, name + 1, host) != 1)
		return 0;
	set_address(&address[0], AF_INET6, host, port);
	return 1;
}

static int listen_at(const union address *address)
{
	int family = address->any.sa_family, on = 1, error;
	int descriptor = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (descriptor < 0)
		return -errno;
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET6)
		setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (!bind(descriptor, &address->any,
		  family == AF_INET ? sizeof(address->v4) : sizeof(address->v6)) &&
	    !listen(descriptor, QUEUE))
		return descriptor;
	error = -errno;
	close(descriptor);
	return error;
}

static const char *mend(int error)
{
	switch (error) {
	case -EADDRINUSE:
		return " (somebody listens there already: give another port)";
	case -EADDRNOTAVAIL:
		return " (no interface has that address: give one of this host)";
	default:
		return "";
	}
}

int metrics_listen(const char *text, int listener[METRICS_SOCKETS], size_t *count,
		   struct message *message)
{
	union address address[METRICS_SOCKETS];
	size_t addresses = parse(text, address);

	*count = 0;
	if (!addresses) {
		snprintf(message->text, sizeof(message->text),
			 "\"%s\" is not ADDRESS:PORT (write :9463 for this host alone, or as "
			 "192.0.2.1:9463, [2001:db8::1]:9463)",
			 text);
		return -EINVAL;
	}
	for (size_t i = 0; i < addresses; i++) {
		int descriptor = listen_at(&address[i]);

		/* Of the two that are meant by :PORT, a host without IPv6 has one. */
		if (i && (descriptor == -EAFNOSUPPORT || descriptor == -EADDRNOTAVAIL))
			continue;
		if (descriptor >= 0) {
			listener[(*count)++] = descriptor;
			continue;
		}
		snprintf(message->text, sizeof(message->text), "cannot listen at %s: %s%s", text,
			 strerror(-descriptor), mend(descriptor));
		while (*count)
			close(listener[--*count]);
		return descriptor;
	}
	return 0;
}
