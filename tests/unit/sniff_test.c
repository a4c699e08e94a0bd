/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay/sniff.c: names out of ClientHellos and requests that are whole, in pieces, cut short,
 * and lying about their lengths. Every input lies in memory of its own size, so that a sanitizer
 * or valgrind sees a read beyond it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sniff.h"

#define NAME "secret.example.cz"

struct bytes {
	unsigned char at[16384];
	size_t length;
};

static void put(struct bytes *bytes, const void *from, size_t length)
{
	assert_true(bytes->length + length <= sizeof(bytes->at));
	memcpy(bytes->at + bytes->length, from, length);
	bytes->length += length;
}

static void put_number(struct bytes *bytes, unsigned int size, size_t number)
{
	unsigned char byte;

	while (size--) {
		byte = number >> (8 * size);
		put(bytes, &byte, 1);
	}
}

/* A handshake message of a browser's shape: a grease extension, padding, the name, a key share. */
static struct bytes make_hello(const char *name, size_t padding)
{
	struct bytes extensions = { 0 }, body = { 0 }, message = { 0 };
	static const unsigned char zeros[16384];
	size_t length = strlen(name);

	put_number(&extensions, 2, 0x0a0a);
	put_number(&extensions, 2, 0);
	put_number(&extensions, 2, 21);
	put_number(&extensions, 2, padding);
	put(&extensions, zeros, padding);
	put_number(&extensions, 2, 0);
	put_number(&extensions, 2, length + 5);
	put_number(&extensions, 2, length + 3);
	put_number(&extensions, 1, 0);
	put_number(&extensions, 2, length);
	put(&extensions, name, length);
	put_number(&extensions, 2, 51);
	put_number(&extensions, 2, 32);
	put(&extensions, zeros, 32);

	put_number(&body, 2, 0x0303);
	put(&body, zeros, 32);
	put_number(&body, 1, 32);
	put(&body, zeros, 32);
	put_number(&body, 2, 4);
	put_number(&body, 4, 0x13011302);
	put_number(&body, 2, 0x0100);
	put_number(&body, 2, extensions.length);
	put(&body, extensions.at, extensions.length);

	put_number(&message, 1, 1);
	put_number(&message, 3, body.length);
	put(&message, body.at, body.length);
	return message;
}

/* In records of at most so many bytes. */
static struct bytes make_records(const struct bytes *message, size_t each)
{
	struct bytes records = { 0 };
	size_t at, length;

	for (at = 0; at < message->length; at += length) {
		length = message->length - at < each ? message->length - at : each;
		put_number(&records, 1, 22);
		put_number(&records, 2, 0x0301);
		put_number(&records, 2, length);
		put(&records, message->at + at, length);
	}
	return records;
}

static void feed(struct sniff *sniff, const void *bytes, size_t length)
{
	unsigned char *copy = malloc(length ? length : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, length);
	sniff_feed(sniff, copy, length);
	free(copy);
	assert_true(sniff->state == SNIFF_MORE || !sniff->seen);
	assert_true((sniff->state == SNIFF_TLS_SERVER_NAME || sniff->state == SNIFF_HTTP_HOST) ==
		    !!sniff->name);
}

/* Feeds it in pieces of each size and expects the same every time. */
static void expect(const void *bytes, size_t length, enum sniff_state state, const char *name)
{
	static const size_t pieces[] = { 1, 2, 3, 5, 7, 16, 100, 1000, 1460, 65536 };
	size_t i, at, piece;

	for (i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		struct sniff sniff = { 0 };

		for (at = 0; at < length; at += piece) {
			piece = length - at < pieces[i] ? length - at : pieces[i];
			feed(&sniff, (const unsigned char *)bytes + at, piece);
		}
		assert_int_equal(sniff.state, state);
		if (name)
			assert_string_equal(sniff.name, name);
		sniff_free(&sniff);
	}
}

static void expect_text(const char *text, enum sniff_state state, const char *name)
{
	expect(text, strlen(text), state, name);
}

static void client_hello(void **state)
{
	struct bytes message = make_hello(NAME, 0), records = make_records(&message, 16384);

	(void)state;
	expect(records.at, records.length, SNIFF_TLS_SERVER_NAME, NAME);
	put(&records, "\x14\x03\x03\x00\x01\x01", 6);
	expect(records.at, records.length, SNIFF_TLS_SERVER_NAME, NAME);
}

static void client_hello_that_is_large(void **state)
{
	struct bytes message = make_hello(NAME, 6000), records = make_records(&message, 16384);

	(void)state;
	expect(records.at, records.length, SNIFF_TLS_SERVER_NAME, NAME);
	message = make_hello(NAME, 9000);
	records = make_records(&message, 16384);
	expect(records.at, records.length, SNIFF_NOTHING, NULL);
}

static void client_hello_in_many_records(void **state)
{
	struct bytes message = make_hello(NAME, 200), records;
	size_t each;

	(void)state;
	for (each = 1; each < 64; each++) {
		records = make_records(&message, each);
		expect(records.at, records.length, SNIFF_TLS_SERVER_NAME, NAME);
	}
}

static void client_hello_cut_short(void **state)
{
	struct bytes message = make_hello(NAME, 10), records = make_records(&message, 16384);
	size_t length;

	(void)state;
	for (length = 0; length < records.length; length++)
		expect(records.at, length, SNIFF_MORE, NULL);
}

/* Lengths that claim more or less than there is: any answer but a name from beyond the end. */
static void client_hello_that_lies(void **state)
{
	static const unsigned char lies[] = { 0, 1, 2, 0x10, 0x7f, 0x80, 0xfe, 0xff };
	struct bytes message = make_hello(NAME, 0), records = make_records(&message, 16384);
	unsigned char honest;
	size_t at, i;

	(void)state;
	for (at = 0; at < records.length; at++) {
		honest = records.at[at];
		for (i = 0; i < sizeof(lies); i++) {
			struct sniff sniff = { 0 };

			records.at[at] = lies[i];
			feed(&sniff, records.at, records.length);
			sniff_free(&sniff);
		}
		records.at[at] = honest;
	}
	expect(records.at, records.length, SNIFF_TLS_SERVER_NAME, NAME);
}

static void names_that_are_none(void **state)
{
	static const char *const names[] = { "", "with space.cz", "new\nline", "\x80.cz", "\x7f" };
	struct bytes message, records;
	char longest[SNIFF_NAME_MAX + 2];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		message = make_hello(names[i], 0);
		records = make_records(&message, 16384);
		expect(records.at, records.length, SNIFF_NOTHING, NULL);
	}
	memset(longest, 'a', sizeof(longest));
	longest[SNIFF_NAME_MAX + 1] = '\0';
	message = make_hello(longest, 0);
	records = make_records(&message, 16384);
	expect(records.at, records.length, SNIFF_NOTHING, NULL);
	message = make_hello(longest + 1, 0);
	records = make_records(&message, 16384);
	expect(records.at, records.length, SNIFF_TLS_SERVER_NAME, longest + 1);
}

static void other_tls(void **state)
{
	(void)state;
	expect("\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, SNIFF_NOTHING, NULL); /* ServerHello */
	expect("\x16\x03\x01\x00\x00", 5, SNIFF_NOTHING, NULL);
	expect("\x16\x03\x01\xff\xff", 5, SNIFF_NOTHING, NULL);
	expect("\x16\x02\x01\x00\x04", 5, SNIFF_NOTHING, NULL);
	expect("\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9, SNIFF_NOTHING, NULL);
	expect("\x17\x03\x03\x00\x04", 5, SNIFF_NOTHING, NULL);
}

static void http_host(void **state)
{
	(void)state;
	expect_text("GET / HTTP/1.1\r\nHost: example.org\r\n", SNIFF_HTTP_HOST, "example.org");
	expect_text("M-SEARCH * HTTP/1.1\r\nA: b\r\nhOsT:\t[::1]:80 \t\r\n", SNIFF_HTTP_HOST,
		    "[::1]:80");
	expect_text("POST /Host: HTTP/1.0\nhost:a\n", SNIFF_HTTP_HOST, "a");
	expect_text("GET / HTTP/1.1\r\nX-Host: a\r\n\r\nHost: b\r\n", SNIFF_NOTHING, NULL);
	expect_text("GET / HTTP/1.1\r\nHost: \r\n", SNIFF_NOTHING, NULL);
	expect_text("GET / HTTP/1.1\r\nHost: a\"\x01\r\n", SNIFF_NOTHING, NULL);
	expect_text("GET / HTTP/1.1\r\nHost: a", SNIFF_MORE, NULL);
	expect_text("GET / HTTP/2.0\r\nHost: a\r\n", SNIFF_NOTHING, NULL);
	expect_text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SNIFF_NOTHING, NULL);
}

static void other_protocols(void **state)
{
	char much[3 * SNIFF_SIZE_MAX];

	(void)state;
	expect_text("SSH-2.0-OpenSSH_9.2\r\n", SNIFF_NOTHING, NULL);
	expect_text("EHLO mail.example.org\r\n", SNIFF_NOTHING, NULL);
	expect_text("\n", SNIFF_NOTHING, NULL);
	expect("\0\0\0\0", 4, SNIFF_NOTHING, NULL);
	memset(much, 'A', sizeof(much));
	expect(much, sizeof(much), SNIFF_NOTHING, NULL);
	memset(much, 'a', sizeof(much));
	memcpy(much, "GET /", 5);
	expect(much, SNIFF_SIZE_MAX - 1, SNIFF_MORE, NULL);
	expect(much, SNIFF_SIZE_MAX, SNIFF_NOTHING, NULL);
	expect(much, sizeof(much), SNIFF_NOTHING, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_hello),
		cmocka_unit_test(client_hello_that_is_large),
		cmocka_unit_test(client_hello_in_many_records),
		cmocka_unit_test(client_hello_cut_short),
		cmocka_unit_test(client_hello_that_lies),
		cmocka_unit_test(names_that_are_none),
		cmocka_unit_test(other_tls),
		cmocka_unit_test(http_host),
		cmocka_unit_test(other_protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
