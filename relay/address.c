/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses with their port: reading, writing, comparing. Names are never looked up. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"

static int port_parse(const char *text, in_port_t *port)
{
	unsigned long value = 0;
	const char *digit;

	for (digit = text; *digit >= '0' && *digit <= '9' && digit - text < 5; digit++)
		value = value * 10 + (*digit - '0');
	if (digit == text || *digit || value > 65535)
		return -EINVAL;
	*port = htons(value);
	return 0;
}

int address_parse(struct address *address, const char *text)
{
	bool bracketed = *text == '[';
	const char *host = text + bracketed;
	const char *end = bracketed ? strchr(host, ']') : strchr(host, ':');
	char copy[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
	in_port_t port;
	char *scope;

	if (!end || (size_t)(end - host) >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, host, end - host);
	copy[end - host] = '\0';
	end += bracketed;
	if (*end != ':' || port_parse(end + 1, &port))
		return -EINVAL;

	memset(address, 0, sizeof(*address));
	if (!bracketed) {
		address->v4.sin_family = AF_INET;
		address->v4.sin_port = port;
		address->length = sizeof(address->v4);
		return inet_pton(AF_INET, copy, &address->v4.sin_addr) == 1 ? 0 : -EINVAL;
	}
	address->v6.sin6_family = AF_INET6;
	address->v6.sin6_port = port;
	address->length = sizeof(address->v6);
	scope = strchr(copy, '%');
	if (scope) {
		*scope++ = '\0';
		address->v6.sin6_scope_id = if_nametoindex(scope);
		if (!address->v6.sin6_scope_id)
			return -EINVAL;
	}
	return inet_pton(AF_INET6, copy, &address->v6.sin6_addr) == 1 ? 0 : -EINVAL;
}

const char *address_format(const struct address *address, char text[ADDRESS_TEXT_SIZE])
{
	char host[INET6_ADDRSTRLEN] = "?", scope[16] = "";
	unsigned int port = ntohs(address_port(address));

	if (address->length && address->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof(host));
		snprintf(text, ADDRESS_TEXT_SIZE, "%s:%u", host, port);
	} else if (address->length && address->any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof(host));
		if (address->v6.sin6_scope_id)
			snprintf(scope, sizeof(scope), "%%%u", address->v6.sin6_scope_id);
		snprintf(text, ADDRESS_TEXT_SIZE, "[%s%s]:%u", host, scope, port);
	} else {
		snprintf(text, ADDRESS_TEXT_SIZE, "?");
	}
	return text;
}

bool address_equal(const struct address *a, const struct address *b)
{
	if (!a->length || !b->length || a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_port == b->v4.sin_port &&
		       a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return a->v6.sin6_port == b->v6.sin6_port &&
	       !memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr));
}

in_port_t address_port(const struct address *address)
{
	if (!address->length)
		return 0;
	return address->any.sa_family == AF_INET ? address->v4.sin_port : address->v6.sin6_port;
}

void address_set_port(struct address *address, in_port_t port)
{
	if (address->any.sa_family == AF_INET)
		address->v4.sin_port = port;
	else
		address->v6.sin6_port = port;
}
