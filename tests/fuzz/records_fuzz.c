// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Any bytes as records: the walk, the check and the decoder must neither crash nor disagree. A
 * fuzzer cannot guess a MAC, so every input is also tried with a right one.
 *
 *	clang -g -fsanitize=fuzzer,address,undefined -Iinclude -Irecord \
 *		tests/fuzz/records_fuzz.c lib/decode.c -o records-fuzz && ./records-fuzz
 */
#include <stdlib.h>
#include <waybill/waybill.h>

#include "verify.h"

static void require(int holds)
{
	if (!holds)
		abort();
}

static void records_try(const uint8_t *data, size_t size, const struct record_key *key)
{
	struct records_hops hops;
	struct records_header header;
	struct waybill_records out;
	int walk = records_walk(data, size, &header, &hops);
	int decode = waybill_records_decode(data, size, &out);

	require(walk == decode);
	if (walk) {
		require(records_verify(data, size, key, &header, &hops) == walk);
		return;
	}
	require(out.hop_count >= 1 && out.hop_count <= WAYBILL_HOPS_MAX);
	require(out.hop_count == hops.count && out.hop_count == header.hop_count);
	for (uint32_t i = 0; i < out.hop_count; i++) {
		require(hops.offset[i] + RECORDS_HOP_SIZE + RECORDS_HEADER_SIZE +
				RECORDS_MAC_SIZE <=
			size);
		require(out.hops[i].service ==
			records_word(data, RECORDS_HEADER_SIZE + hops.offset[i]) >> 32);
		require(memchr(out.hops[i].client.comm, 0, sizeof(out.hops[i].client.comm)) !=
			NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct record_key key = { 1, 2 };
	struct records_hops hops;
	struct records_header header;
	uint8_t *copy;
	__u64 mac[2];

	records_try(data, size, &key);

	if (size < RECORDS_HEADER_SIZE + RECORDS_MAC_SIZE || size > WAYBILL_RECORDS_MAX)
		return 0;
	size -= size % 8;
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	memcpy(&header, copy, sizeof(header));
	header.magic = RECORDS_MAGIC;
	header.version = RECORDS_VERSION;
	header.length = size;
	memcpy(copy, &header, sizeof(header));
	records_mac(copy, size - RECORDS_MAC_SIZE, &key, mac);
	memcpy(copy + size - RECORDS_MAC_SIZE, mac, sizeof(mac));
	records_try(copy, size, &key);
	require(records_verify(copy, size, &key, &header, &hops) ==
		records_walk(copy, size, &header, &hops));
	free(copy);
	return 0;
}
