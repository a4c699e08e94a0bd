/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server's name, read in passing. The parsers see all bytes from the start at once and say
 * "more" when they reach the end of them; bytes are kept between calls only until a name is found.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sniff.h"

#define TLS_RECORD_HANDSHAKE 22
#define TLS_RECORD_HEADER 5
#define TLS_RECORD_MAX 16384
#define TLS_CLIENT_HELLO 1
#define TLS_HANDSHAKE_HEADER 4
#define TLS_EXTENSION_SERVER_NAME 0
#define TLS_SERVER_NAME_HOST 0
#define HTTP_METHOD_MAX 32

/* What is set aside for a first line that comes in pieces. */
#define SNIFF_SIZE_FIRST 256

struct cursor {
	const unsigned char *at, *end;
};

struct name {
	const unsigned char *at;
	size_t length;
};

/* Reads a number of so many bytes. False, and nothing read, if they are not all there. */
static bool cursor_number(struct cursor *cursor, unsigned int bytes, size_t *number)
{
	size_t value = 0;

	if ((size_t)(cursor->end - cursor->at) < bytes)
		return false;
	while (bytes--)
		value = value << 8 | *cursor->at++;
	*number = value;
	return true;
}

/* Takes a field that its length, a number of so many bytes, precedes. */
static bool cursor_field(struct cursor *cursor, unsigned int bytes, struct cursor *field)
{
	size_t length;

	if (!cursor_number(cursor, bytes, &length) || (size_t)(cursor->end - cursor->at) < length)
		return false;
	field->at = cursor->at;
	field->end = cursor->at += length;
	return true;
}

static enum sniff_state server_name(struct cursor extension, struct name *name)
{
	struct cursor list, host;
	size_t type;

	if (!cursor_field(&extension, 2, &list))
		return SNIFF_NOTHING;
	while (cursor_number(&list, 1, &type) && cursor_field(&list, 2, &host)) {
		if (type != TLS_SERVER_NAME_HOST)
			continue;
		name->at = host.at;
		name->length = host.end - host.at;
		return SNIFF_TLS_SERVER_NAME;
	}
	return SNIFF_NOTHING;
}

/* hello is the whole body of a ClientHello. */
static enum sniff_state client_hello(struct cursor hello, struct name *name)
{
	struct cursor field, extensions, extension;
	size_t type;

	if (hello.end - hello.at < 2 + 32)
		return SNIFF_NOTHING;
	hello.at += 2 + 32;                     /* version, random */
	if (!cursor_field(&hello, 1, &field) || /* session id */
	    !cursor_field(&hello, 2, &field) || /* cipher suites */
	    !cursor_field(&hello, 1, &field) || /* compression methods */
	    !cursor_field(&hello, 2, &extensions))
		return SNIFF_NOTHING;
	while (cursor_number(&extensions, 2, &type) && cursor_field(&extensions, 2, &extension))
		if (type == TLS_EXTENSION_SERVER_NAME)
			return server_name(extension, name);
	return SNIFF_NOTHING;
}

/*
 * A handshake message may be spread over several records, so it is put together in handshake
 * first. needed becomes the length below which another look is in vain.
 */
static enum sniff_state tls(const unsigned char *bytes, size_t length, unsigned char *handshake,
			    struct name *name, size_t *needed)
{
	size_t at = 0, gathered = 0, record, part, message;
	struct cursor cursor;

	while (length - at >= TLS_RECORD_HEADER) {
		record = (size_t)bytes[at + 3] << 8 | bytes[at + 4];
		if (bytes[at] != TLS_RECORD_HANDSHAKE || bytes[at + 1] != 3 || !record ||
		    record > TLS_RECORD_MAX)
			return SNIFF_NOTHING;
		at += TLS_RECORD_HEADER;
		part = record < length - at ? record : length - at;
		memcpy(handshake + gathered, bytes + at, part);
		gathered += part;
		at += part;
		if (gathered && handshake[0] != TLS_CLIENT_HELLO)
			return SNIFF_NOTHING;
		cursor = (struct cursor){ handshake + !!gathered, handshake + gathered };
		if (cursor_number(&cursor, 3, &message)) {
			if (message > SNIFF_SIZE_MAX - TLS_RECORD_HEADER - TLS_HANDSHAKE_HEADER)
				return SNIFF_NOTHING;
			if (gathered >= TLS_HANDSHAKE_HEADER + message) {
				cursor.end = cursor.at + message;
				return client_hello(cursor, name);
			}
			*needed = length + TLS_HANDSHAKE_HEADER + message - gathered;
		}
		if (part < record)
			break;
	}
	return SNIFF_MORE;
}

/* The grammar allows more, but no method in use has it, and other protocols do. */
static bool in_method(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || c == '-';
}

static bool request_line(const unsigned char *line, size_t length)
{
	static const char version[] = " HTTP/1.";
	size_t end = sizeof(version) - 1 + 1;

	return length > end && !memcmp(line + length - end, version, sizeof(version) - 1);
}

static enum sniff_state http(const unsigned char *bytes, size_t length, struct name *name)
{
	const unsigned char *line = bytes, *end = bytes + length, *newline;
	size_t method = 0, size;

	while (method < length && in_method(bytes[method]))
		if (++method > HTTP_METHOD_MAX)
			return SNIFF_NOTHING;
	if (method == length)
		return SNIFF_MORE;
	if (!method || bytes[method] != ' ')
		return SNIFF_NOTHING;

	for (; (newline = memchr(line, '\n', end - line)); line = newline + 1) {
		size = newline - line;
		if (size && line[size - 1] == '\r')
			size--;
		if (line == bytes && !request_line(line, size))
			return SNIFF_NOTHING;
		if (!size)
			return SNIFF_NOTHING; /* the end of the headers */
		if (size < 5 || strncasecmp((const char *)line, "Host:", 5))
			continue;
		for (line += 5, size -= 5; size && (*line == ' ' || *line == '\t'); size--)
			line++;
		while (size && (line[size - 1] == ' ' || line[size - 1] == '\t'))
			size--;
		name->at = line;
		name->length = size;
		return SNIFF_HTTP_HOST;
	}
	return SNIFF_MORE;
}

static bool name_is_printable(const struct name *name)
{
	size_t i;

	for (i = 0; i < name->length; i++)
		if (name->at[i] <= ' ' || name->at[i] > '~')
			return false;
	return name->length && name->length <= SNIFF_NAME_MAX;
}

static enum sniff_state look(struct sniff *sniff, const unsigned char *bytes, size_t length)
{
	unsigned char handshake[SNIFF_SIZE_MAX];
	struct name name = { 0 };
	enum sniff_state state;

	if (bytes[0] == TLS_RECORD_HANDSHAKE)
		state = tls(bytes, length, handshake, &name, &sniff->needed);
	else
		state = http(bytes, length, &name);
	if (state != SNIFF_TLS_SERVER_NAME && state != SNIFF_HTTP_HOST)
		return state;
	sniff->name = name_is_printable(&name) ? strndup((const char *)name.at, name.length) : NULL;
	return sniff->name ? state : SNIFF_NOTHING;
}

static void forget(struct sniff *sniff)
{
	free(sniff->seen);
	sniff->seen = NULL;
}

/* Appends to what was seen. The buffer doubles, so that a slow first line costs little. */
static bool keep(struct sniff *sniff, const unsigned char *bytes, size_t length)
{
	size_t size = sniff->size ? sniff->size : SNIFF_SIZE_FIRST;
	unsigned char *seen;

	while (size < sniff->length + length)
		size *= 2;
	if (size > sniff->size) {
		seen = realloc(sniff->seen, size);
		if (!seen) {
			forget(sniff);
			sniff->state = SNIFF_NOTHING;
			return false;
		}
		sniff->seen = seen;
		sniff->size = size;
	}
	memcpy(sniff->seen + sniff->length, bytes, length);
	return true;
}

void sniff_feed(struct sniff *sniff, const unsigned char *bytes, size_t length)
{
	const unsigned char *all = bytes;
	bool last;

	if (sniff->state != SNIFF_MORE || !length)
		return;
	if (length > SNIFF_SIZE_MAX - sniff->length)
		length = SNIFF_SIZE_MAX - sniff->length;
	last = sniff->length + length == SNIFF_SIZE_MAX;
	if (sniff->seen) {
		if (!keep(sniff, bytes, length))
			return;
		all = sniff->seen;
	}
	sniff->length += length;
	/* A request in single bytes must not cost a look at all of them for each. */
	if (sniff->length >= sniff->needed &&
	    (all == bytes || all[0] == TLS_RECORD_HANDSHAKE || memchr(bytes, '\n', length) ||
	     last || sniff->length <= HTTP_METHOD_MAX + 1))
		sniff->state = look(sniff, all, sniff->length);
	if (sniff->state == SNIFF_MORE && last)
		sniff->state = SNIFF_NOTHING;
	if (sniff->state != SNIFF_MORE)
		forget(sniff);
	else if (!sniff->seen) {
		sniff->length = 0;
		if (keep(sniff, bytes, length))
			sniff->length = length;
	}
}

void sniff_free(struct sniff *sniff)
{
	free(sniff->seen);
	free(sniff->name);
	sniff->seen = NULL;
	sniff->name = NULL;
}
