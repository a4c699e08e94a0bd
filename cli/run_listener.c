// SPDX-License-Identifier: BSD-2-Clause
/*
 * Listeners as /proc/net shows them. An IPv4 address may also be served by a socket on [::]; which
 * one a connection would reach is decided as the kernel does, the nearest first.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <waybill/abi.h>

#include "run_listener.h"

#define STATE_LISTEN 0x0a
#define STATE_DATAGRAMS 0x07 /* as a datagram socket that is not connected is shown */

static int refuse(struct message *message, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(struct message *message, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message->text, sizeof(message->text), format, arguments);
	va_end(arguments);
	return error;
}

static int parse_port(const char *text, uint16_t *port)
{
	unsigned long value;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	value = strtoul(text, &end, 10);
	*port = value;
	return *end || !value || value > 65535 ? -EINVAL : 0;
}

int listener_parse(struct listener *listener, const char *text, struct message *message)
{
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	char host[64];

	*listener = (struct listener){ .text = text };
	if (!colon || length >= sizeof(host) || parse_port(colon + 1, &listener->port))
		return refuse(message, -EINVAL,
			      "\"%s\" is not ADDRESS:PORT (write 127.0.0.1:9001, [::1]:9001, or "
			      ":9001 for both)",
			      text);
	memcpy(host, text, length);
	host[length] = '\0';
	if (!length || !strcmp(host, "localhost")) {
		listener->has4 = listener->has6 = true;
		inet_pton(AF_INET, "127.0.0.1", listener->address4);
		inet_pton(AF_INET6, "::1", listener->address6);
		return 0;
	}
	if (inet_pton(AF_INET, host, listener->address4) == 1) {
		listener->has4 = listener->address4[0] == 127;
	} else if (host[0] == '[' && host[length - 1] == ']') {
		host[length - 1] = '\0';
		listener->has6 = inet_pton(AF_INET6, host + 1, listener->address6) == 1 &&
				 IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)listener->address6);
	}
	if (listener->has4 || listener->has6)
		return 0;
	return refuse(message, -EINVAL,
		      "\"%s\" is not a loopback address, as connections must not leave the host on "
		      "their way (write 127.0.0.1:%u, [::1]:%u, or :%u for both)",
		      text, listener->port, listener->port, listener->port);
}

/* A socket that listens, and how near its address is to the one that is looked for. */
struct found {
	uid_t user;
	int nearness; /* 0: nothing was found */
};

/* The address is written as words of 32 bits, each in the order of this host. */
static size_t parse_address(const char *hex, uint8_t address[16])
{
	size_t length = 0;
	uint32_t word;

	for (; length < 16 && sscanf(hex, "%8x", &word) == 1 && strlen(hex) >= 8; hex += 8) {
		memcpy(address + length, &word, sizeof(word));
		length += sizeof(word);
	}
	return length;
}

/* How near a listener's address is to the one that is looked for; both as written by the kernel. */
static int nearness(const uint8_t *at, size_t at_length, const uint8_t *wanted, size_t length)
{
	static const uint8_t zero[16], mapped[12] = { [10] = 0xff, 0xff };

	if (at_length == length && !memcmp(at, wanted, length))
		return 4;
	if (at_length == length && !memcmp(at, zero, length))
		return 3;
	if (at_length == 16 && length == 4 && !memcmp(at, mapped, 12) &&
	    !memcmp(at + 12, wanted, 4))
		return 4;
	/* A socket on [::] takes IPv4 too, unless it was told not to, which is not shown. */
	if (at_length == 16 && length == 4 && !memcmp(at, zero, 16))
		return 1;
	return 0;
}

static int look(const char *path, unsigned int wanted_state, const uint8_t *wanted, size_t length,
		uint16_t port, struct found *found, struct message *message)
{
	unsigned int at_port, state, user;
	uint8_t address[16];
	char line[512], hex[33];
	FILE *file = fopen(path, "re");
	int near;

	/* Without IPv6 there is no tcp6, nor udp6. */
	if (!file)
		return errno == ENOENT ? 0 :
					 refuse(message, -errno, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, " %*d: %32[0-9A-F]:%4x %*s %2x %*s %*s %*s %u", hex, &at_port,
			   &state, &user) != 4 ||
		    state != wanted_state || at_port != port)
			continue;
		near = nearness(address, parse_address(hex, address), wanted, length);
		if (near > found->nearness)
			*found = (struct found){ user, near };
	}
	fclose(file);
	return 0;
}

static int not_found(const struct listener *listener, struct message *message)
{
	return refuse(message, -ENOENT,
		      "nothing listens on %s (start the service first, as: waybill-relay --listen "
		      "%s)",
		      listener->text, listener->text);
}

/*
 * Whether the service receives datagrams too: each flow's at an address of its own, so only a
 * socket bound to all of them does.
 */
static int find_datagrams(struct listener *listener, struct message *message)
{
	static const uint8_t flow4[4] = { 127, 96, 0, 1 };
	static const uint8_t flow6[16] = WAYBILL_FLOW_PREFIX6;
	struct found found = { 0 };
	int error;

	error = look("/proc/self/net/udp", STATE_DATAGRAMS, flow4, sizeof(flow4), listener->port,
		     &found, message);
	if (!error)
		error = look("/proc/self/net/udp6", STATE_DATAGRAMS, flow6, sizeof(flow6),
			     listener->port, &found, message);
	listener->datagrams = !error && found.nearness && found.user == listener->user;
	return error;
}

int listener_find(struct listener *listener, struct message *message)
{
	struct found found4 = { 0 }, found6 = { 0 };
	int error = 0;

	if (listener->has4)
		error = look("/proc/self/net/tcp", STATE_LISTEN, listener->address4, 4,
			     listener->port, &found4, message);
	if (!error && listener->has4)
		error = look("/proc/self/net/tcp6", STATE_LISTEN, listener->address4, 4,
			     listener->port, &found4, message);
	if (!error && listener->has6)
		error = look("/proc/self/net/tcp6", STATE_LISTEN, listener->address6, 16,
			     listener->port, &found6, message);
	if (error)
		return error;
	listener->has4 = found4.nearness;
	listener->has6 = found6.nearness;
	if (!listener->has4 && !listener->has6)
		return not_found(listener, message);
	listener->user = listener->has4 ? found4.user : found6.user;
	if (listener->has4 && listener->has6 && found4.user != found6.user)
		return refuse(
			message, -EINVAL,
			"%s: 127.0.0.1:%u is of user %u, but [::1]:%u is of user %u (name the "
			"one that is meant)",
			listener->text, listener->port, found4.user, listener->port, found6.user);
	return find_datagrams(listener, message);
}
