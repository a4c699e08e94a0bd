/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The whole check of a record blob, for user space: header, MAC, walk. The eBPF programs take
 * the same steps one word at a time; who holds a blob in memory takes them here, in one call.
 */
#ifndef WAYBILL_RECORD_VERIFY_H
#define WAYBILL_RECORD_VERIFY_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "records.h"

static inline __u64 records_word(const void *blob, size_t offset)
{
	__u64 word;

	/* A blob may lie anywhere, also unaligned. */
	memcpy(&word, (const char *)blob + offset, sizeof(word));
	return word;
}

/* The bytes of a MAC are its two words, little-endian. */
static inline void records_mac(const void *bytes, size_t length, const struct record_key *key,
			       __u64 mac[2])
{
	struct record_mac m;

	record_mac_begin(&m, key);
	for (size_t offset = 0; offset < length; offset += 8)
		record_mac_word(&m, records_word(bytes, offset));
	record_mac_end(&m, mac);
}

/* Where the hops of a blob are: offsets from its first part. */
struct records_hops {
	size_t count;
	__u32 offset[WAYBILL_HOPS_MAX];
};

/*
 * Everything but the MAC: is this a well-formed blob, does its header agree with its parts? Any
 * bytes may be passed in. Returns 0 and the header and the hops, or -EBADMSG.
 */
static inline int records_walk(const void *blob, size_t length, struct records_header *header,
			       struct records_hops *hops)
{
	const char *parts = (const char *)blob + RECORDS_HEADER_SIZE;
	struct records_reading reading = {};
	size_t parts_length;

	if (length < RECORDS_HEADER_SIZE || length > WAYBILL_RECORDS_MAX)
		return -EBADMSG;
	memcpy(header, blob, sizeof(*header));
	if (!records_header_valid(header, length))
		return -EBADMSG;

	hops->count = 0;
	parts_length = length - RECORDS_HEADER_SIZE - RECORDS_MAC_SIZE;
	for (size_t offset = 0; offset < parts_length; offset += 8) {
		switch (records_read_word(&reading, offset, records_word(parts, offset))) {
		case RECORDS_MALFORMED:
			return -EBADMSG;
		case RECORDS_HOP:
			hops->offset[hops->count++] = offset;
			break;
		case RECORDS_ORIGINATOR:
		case RECORDS_WORD:
			break;
		}
	}
	return records_reading_ended(&reading, header) ? 0 : -EBADMSG;
}

/* The same with the MAC, by the key that header.key names. */
static inline int records_verify(const void *blob, size_t length, const struct record_key *key,
				 struct records_header *header, struct records_hops *hops)
{
	__u64 mac[2];
	int result = records_walk(blob, length, header, hops);

	if (result)
		return result;
	length -= RECORDS_MAC_SIZE;
	records_mac(blob, length, key, mac);
	/* One comparison of both words: how long it takes tells nothing of where they differ. */
	if ((mac[0] ^ records_word(blob, length)) | (mac[1] ^ records_word(blob, length + 8)))
		return -EBADMSG;
	return 0;
}

#endif
