/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SipHash-2-4 with 128 bits of output (Aumasson and Bernstein), fed a 64-bit word at a time.
 * Records are always a multiple of eight bytes, so there is no tail to care for. The same code
 * runs in the eBPF programs, which make and check records, and in user space, which tests them.
 */
#ifndef WAYBILL_RECORD_MAC_H
#define WAYBILL_RECORD_MAC_H

#include <linux/types.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "records are little-endian; a big-endian host needs byte swaps here and in records.h"
#endif

struct record_key {
	__u64 k0, k1;
};

struct record_mac {
	__u64 v0, v1, v2, v3;
	__u64 bytes;
};

#define RECORD_ROTATE(x, n) (((x) << (n)) | ((x) >> (64 - (n))))

static inline __attribute__((always_inline)) void record_mac_round(struct record_mac *m)
{
	m->v0 += m->v1;
	m->v1 = RECORD_ROTATE(m->v1, 13) ^ m->v0;
	m->v0 = RECORD_ROTATE(m->v0, 32);
	m->v2 += m->v3;
	m->v3 = RECORD_ROTATE(m->v3, 16) ^ m->v2;
	m->v0 += m->v3;
	m->v3 = RECORD_ROTATE(m->v3, 21) ^ m->v0;
	m->v2 += m->v1;
	m->v1 = RECORD_ROTATE(m->v1, 17) ^ m->v2;
	m->v2 = RECORD_ROTATE(m->v2, 32);
}

static inline __attribute__((always_inline)) void record_mac_begin(struct record_mac *m,
								   const struct record_key *key)
{
	m->v0 = 0x736f6d6570736575ULL ^ key->k0;
	m->v1 = 0x646f72616e646f6dULL ^ key->k1 ^ 0xee;
	m->v2 = 0x6c7967656e657261ULL ^ key->k0;
	m->v3 = 0x7465646279746573ULL ^ key->k1;
	m->bytes = 0;
}

static inline __attribute__((always_inline)) void record_mac_word(struct record_mac *m, __u64 word)
{
	m->v3 ^= word;
	record_mac_round(m);
	record_mac_round(m);
	m->v0 ^= word;
	m->bytes += 8;
}

static inline __attribute__((always_inline)) void record_mac_end(struct record_mac *m, __u64 out[2])
{
	__u64 last = m->bytes << 56;

	m->v3 ^= last;
	record_mac_round(m);
	record_mac_round(m);
	m->v0 ^= last;
	m->v2 ^= 0xee;
	record_mac_round(m);
	record_mac_round(m);
	record_mac_round(m);
	record_mac_round(m);
	out[0] = m->v0 ^ m->v1 ^ m->v2 ^ m->v3;
	m->v1 ^= 0xdd;
	record_mac_round(m);
	record_mac_round(m);
	record_mac_round(m);
	record_mac_round(m);
	out[1] = m->v0 ^ m->v1 ^ m->v2 ^ m->v3;
}

#endif
