// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * record/: the MAC against its authors' vectors, the blobs of docs/records.md against the code,
 * and that no blob passes which was truncated, edited, reordered, cut or badly made.
 * Arguments: tests/vectors/records.txt, docs/records.md.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service_id.h"
#include "vectors.h"
#include "verify.h"

static const char *vectors_path, *document_path;
static struct vectors vectors;

static const struct record_key key = { 0x1122334455667788, 0x99aabbccddeeff00 };

/* A blob under construction. */
struct blob {
	union {
		struct records_header header;
		unsigned char bytes[WAYBILL_RECORDS_MAX + 256];
	};
	size_t size;
};

static void blob_begin(struct blob *b)
{
	memset(b, 0, sizeof(*b));
	b->header.magic = RECORDS_MAGIC;
	b->header.version = RECORDS_VERSION;
	b->header.key = 1;
	b->size = RECORDS_HEADER_SIZE;
}

static void blob_part(struct blob *b, unsigned int type, unsigned int length, size_t bytes)
{
	__u16 head[2] = { type, length };

	assert_true(b->size + bytes + RECORDS_MAC_SIZE <= sizeof(b->bytes));
	memcpy(b->bytes + b->size, head, sizeof(head));
	b->size += bytes;
}

static void blob_hop(struct blob *b, __u32 service)
{
	struct records_hop hop = { .type = RECORDS_PART_HOP,
				   .length = RECORDS_HOP_SIZE,
				   .service = service,
				   .context = service + 1000,
				   .flow = service + 2000 };

	memcpy(b->bytes + b->size, &hop, sizeof(hop));
	b->size += sizeof(hop);
	b->header.hop_count++;
	b->header.service = hop.service;
	b->header.flow = hop.flow;
}

/* The MAC over whatever is there: what follows then does not fail for a wrong MAC. */
static void blob_end(struct blob *b)
{
	__u64 mac[2];

	b->header.length = b->size + RECORDS_MAC_SIZE;
	records_mac(b->bytes, b->size, &key, mac);
	memcpy(b->bytes + b->size, mac, sizeof(mac));
	b->size += sizeof(mac);
}

static void blob_sign(struct blob *b)
{
	b->size -= RECORDS_MAC_SIZE;
	blob_end(b);
}

static int verify(const void *bytes, size_t size, const struct record_key *with)
{
	struct records_hops hops;
	struct records_header header;
	/* Just as large as is said, so that a sanitizer sees one byte too far. */
	void *exact = malloc(size ? size : 1);
	int result;

	assert_non_null(exact);
	memcpy(exact, bytes, size);
	result = records_verify(exact, size, with, &header, &hops);
	free(exact);
	return result;
}

static int blob_verify(const struct blob *b)
{
	return verify(b->bytes, b->size, &key);
}

static void mac_equals_official_vectors(void **state)
{
	struct record_key counting;
	unsigned char message[64];
	__u64 mac[2];

	(void)state;
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = i;
	memcpy(&counting, message, sizeof(counting));
	for (size_t i = 0; i < vectors.siphashes; i++) {
		assert_true(vectors.siphash[i].length <= sizeof(message));
		records_mac(message, vectors.siphash[i].length, &counting, mac);
		assert_memory_equal(mac, vectors.siphash[i].mac, 16);
	}
}

static void service_ids_equal_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < vectors.services; i++)
		assert_int_equal(record_service_id(vectors.service[i].name), vectors.service[i].id);
	/* The hash of these four bytes is 0. */
	assert_int_equal(record_service_id("\xcc\x24\x31\xc4"), 1);
}

static void document_contains_vectors(void **state)
{
	char *document = vectors_text(document_path), *text = vectors_text(vectors_path);

	(void)state;
	assert_non_null(strstr(document, text));
	free(text);
	free(document);
}

static void vectors_verify(void **state)
{
	(void)state;
	for (size_t i = 0; i < vectors.count; i++) {
		struct records_vector *v = &vectors.records[i];
		struct record_key other = v->key;

		assert_int_equal(verify(v->blob, v->size, &v->key), 0);
		other.k1 ^= 1ULL << 63;
		assert_int_equal(verify(v->blob, v->size, &other), -EBADMSG);
	}
}

static void blob_is_read_unaligned(void **state)
{
	struct records_vector *v = &vectors.records[0];
	unsigned char moved[WAYBILL_RECORDS_MAX + 8];
	struct records_hops hops;
	struct records_header header;

	(void)state;
	for (int shift = 1; shift < 8; shift++) {
		memcpy(moved + shift, v->blob, v->size);
		assert_int_equal(records_verify(moved + shift, v->size, &v->key, &header, &hops),
				 0);
	}
}

/* At every byte; with the length in the header as it was, and made to fit. */
static void truncation_is_detected(void **state)
{
	(void)state;
	for (size_t i = 0; i < vectors.count; i++) {
		struct records_vector v = vectors.records[i];

		for (size_t size = 0; size < v.size; size++) {
			__u16 length = size;

			assert_int_equal(verify(v.blob, size, &v.key), -EBADMSG);
			memcpy(v.blob + 6, &length, sizeof(length));
			assert_int_equal(verify(v.blob, size, &v.key), -EBADMSG);
			memcpy(v.blob + 6, vectors.records[i].blob + 6, sizeof(length));
		}
	}
}

static void extension_is_detected(void **state)
{
	struct records_vector v = vectors.records[0];

	(void)state;
	for (size_t size = v.size + 1; size <= v.size + 128; size++) {
		__u16 length = size;

		assert_int_equal(verify(v.blob, size, &v.key), -EBADMSG);
		memcpy(v.blob + 6, &length, sizeof(length));
		assert_int_equal(verify(v.blob, size, &v.key), -EBADMSG);
		memcpy(v.blob + 6, vectors.records[0].blob + 6, sizeof(length));
	}
}

static void edit_of_every_bit_is_detected(void **state)
{
	(void)state;
	for (size_t i = 0; i < vectors.count; i++) {
		struct records_vector v = vectors.records[i];

		for (size_t bit = 0; bit < v.size * 8; bit++) {
			v.blob[bit / 8] ^= 1 << bit % 8;
			assert_int_equal(verify(v.blob, v.size, &v.key), -EBADMSG);
			v.blob[bit / 8] ^= 1 << bit % 8;
		}
		assert_int_equal(verify(v.blob, v.size, &v.key), 0);
	}
}

static void reorder_of_hops_is_detected(void **state)
{
	unsigned char first[RECORDS_HOP_SIZE];
	struct blob b;

	(void)state;
	blob_begin(&b);
	blob_hop(&b, 1);
	blob_hop(&b, 2);
	blob_hop(&b, 3);
	blob_end(&b);
	assert_int_equal(blob_verify(&b), 0);

	/* The first two, so that the header still agrees with the last: only the MAC can tell. */
	memcpy(first, b.bytes + RECORDS_HEADER_SIZE, sizeof(first));
	memcpy(b.bytes + RECORDS_HEADER_SIZE, b.bytes + RECORDS_HEADER_SIZE + sizeof(first),
	       sizeof(first));
	memcpy(b.bytes + RECORDS_HEADER_SIZE + sizeof(first), first, sizeof(first));
	assert_int_equal(blob_verify(&b), -EBADMSG);
}

static void cut_of_a_hop_is_detected(void **state)
{
	(void)state;
	for (size_t cut = 0; cut < 3; cut++) {
		size_t at = RECORDS_HEADER_SIZE + cut * RECORDS_HOP_SIZE;
		struct blob b;

		blob_begin(&b);
		blob_hop(&b, 1);
		blob_hop(&b, 2);
		blob_hop(&b, 3);
		blob_end(&b);
		memmove(b.bytes + at, b.bytes + at + RECORDS_HOP_SIZE,
			b.size - at - RECORDS_HOP_SIZE);
		b.size -= RECORDS_HOP_SIZE;
		b.header.length = b.size;
		b.header.hop_count = 2;
		if (cut == 2) {
			b.header.service = 2;
			b.header.flow = 2002;
		}
		assert_int_equal(blob_verify(&b), -EBADMSG);
		/* It was well-formed: with a MAC of its own it would pass. */
		blob_sign(&b);
		assert_int_equal(blob_verify(&b), 0);
	}
}

static void header_must_agree_with_parts(void **state)
{
	struct blob good, b;

	(void)state;
	blob_begin(&good);
	blob_hop(&good, 1);
	blob_hop(&good, 2);
	blob_end(&good);

#define REFUSED_WITH(change)                                                                       \
	do {                                                                                       \
		b = good;                                                                          \
		change;                                                                            \
		blob_sign(&b);                                                                     \
		assert_int_equal(blob_verify(&b), -EBADMSG);                                       \
	} while (0)
	REFUSED_WITH(b.header.magic++);
	REFUSED_WITH(b.header.version++);
	REFUSED_WITH(b.header.version = 0);
	REFUSED_WITH(b.header.hop_count = 0);
	REFUSED_WITH(b.header.hop_count = 1);
	REFUSED_WITH(b.header.hop_count = 3);
	REFUSED_WITH(b.header.hop_count = 255);
	REFUSED_WITH(b.header.service = 1);
	REFUSED_WITH(b.header.flow = 2001);
#undef REFUSED_WITH
}

static void malformed_parts_are_refused(void **state)
{
	static const struct {
		unsigned int type, length;
		size_t bytes;
		int result;
	} part[] = {
		{ 0x8001, 8, 8, 0 },
		{ 0x7fff, 64, 64, 0 },
		{ 0x0003, 16, 16, 0 },
		/* That of the originator comes before all hops. */
		{ RECORDS_PART_ORIGINATOR, 24, 24, -EBADMSG },
		{ 0x0000, 8, 8, -EBADMSG },
		{ 0x8001, 0, 8, -EBADMSG },
		{ 0x8001, 4, 8, -EBADMSG },
		{ 0x8001, 12, 16, -EBADMSG },
		{ 0x8001, 16, 8, -EBADMSG },
		{ 0x8001, 0xfff8, 8, -EBADMSG },
		{ RECORDS_PART_HOP, 8, 8, -EBADMSG },
		{ RECORDS_PART_HOP, 104, 104, -EBADMSG },
		{ RECORDS_PART_HOP, 112, 112, 0 },
	};
	struct blob b;

	(void)state;
	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		blob_begin(&b);
		blob_hop(&b, 1);
		blob_part(&b, part[i].type, part[i].length, part[i].bytes);
		/* A hop of zeros agrees with this header: only its length can be wrong. */
		if (part[i].type == RECORDS_PART_HOP)
			b.header.hop_count = 2, b.header.service = b.header.flow = 0;
		blob_end(&b);
		assert_int_equal(blob_verify(&b), part[i].result);
	}

	for (unsigned int length = 8; length <= 32; length += 8) {
		blob_begin(&b);
		blob_part(&b, RECORDS_PART_ORIGINATOR, length, length);
		blob_hop(&b, 1);
		blob_end(&b);
		assert_int_equal(blob_verify(&b),
				 length < RECORDS_ORIGINATOR_SIZE ? -EBADMSG : 0);
	}

	/* Long enough for a hop, and yet none in it. */
	blob_begin(&b);
	blob_part(&b, 0x8001, 128, 128);
	b.header.hop_count = 1;
	blob_end(&b);
	assert_int_equal(blob_verify(&b), -EBADMSG);
}

static void longer_hop_is_accepted(void **state)
{
	struct records_hops hops = {};
	struct records_header header;
	struct blob b;

	(void)state;
	blob_begin(&b);
	blob_hop(&b, 5);
	b.bytes[RECORDS_HEADER_SIZE + 2] += 16;
	b.size += 16;
	blob_hop(&b, 6);
	blob_end(&b);
	assert_int_equal(records_verify(b.bytes, b.size, &key, &header, &hops), 0);
	assert_int_equal(hops.count, 2);
	assert_int_equal(hops.offset[0], 0);
	assert_int_equal(hops.offset[1], RECORDS_HOP_SIZE + 16);
}

static void limits_are_kept(void **state)
{
	struct blob b;

	(void)state;
	blob_begin(&b);
	for (int i = 1; i <= WAYBILL_HOPS_MAX; i++)
		blob_hop(&b, i);
	blob_part(&b, 0x8001, 208, 208);
	blob_end(&b);
	assert_int_equal(b.size, WAYBILL_RECORDS_MAX);
	assert_int_equal(blob_verify(&b), 0);

	b.size -= RECORDS_MAC_SIZE;
	blob_part(&b, 0x8001, 8, 8);
	blob_end(&b);
	assert_int_equal(blob_verify(&b), -EBADMSG);

	blob_begin(&b);
	for (int i = 0; i <= WAYBILL_HOPS_MAX; i++)
		blob_hop(&b, i);
	b.header.hop_count = WAYBILL_HOPS_MAX;
	blob_end(&b);
	assert_int_equal(blob_verify(&b), -EBADMSG);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mac_equals_official_vectors),
		cmocka_unit_test(service_ids_equal_vectors),
		cmocka_unit_test(document_contains_vectors),
		cmocka_unit_test(vectors_verify),
		cmocka_unit_test(blob_is_read_unaligned),
		cmocka_unit_test(truncation_is_detected),
		cmocka_unit_test(extension_is_detected),
		cmocka_unit_test(edit_of_every_bit_is_detected),
		cmocka_unit_test(reorder_of_hops_is_detected),
		cmocka_unit_test(cut_of_a_hop_is_detected),
		cmocka_unit_test(header_must_agree_with_parts),
		cmocka_unit_test(malformed_parts_are_refused),
		cmocka_unit_test(longer_hop_is_accepted),
		cmocka_unit_test(limits_are_kept),
	};

	if (argc != 3)
		return 2;
	vectors_path = argv[1];
	document_path = argv[2];
	vectors_read(vectors_path, &vectors);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
