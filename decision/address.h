/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses in the one form that everything works with, IPv4 as ::ffff:a.b.c.d, and what is to be
 * known of them by themselves. Compiled for the eBPF programs and for user space.
 */
#ifndef WAYBILL_DECISION_ADDRESS_H
#define WAYBILL_DECISION_ADDRESS_H

#include <waybill/abi.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "a big-endian host needs other constants here"
#endif

#define ADDRESS_INLINE static inline __attribute__((always_inline))
#define ADDRESS_INET 2
#define ADDRESS_INET6 10
/* A word of an address, in network byte order. */
#define ADDRESS_WORD(host) __builtin_bswap32(host)
#define ADDRESS_LOOPBACK4 0x7f000001U

/* The sources of redirected connections: 127.112.0.0/12, each with a number; host byte order. */
#define CONNECTION_ADDRESS4 0x7f700000U
#define CONNECTION_MASK 0xfffffU

ADDRESS_INLINE int address_is_mapped(const __u32 a[4])
{
	return a[0] == 0 && a[1] == 0 && a[2] == ADDRESS_WORD(0xffff);
}

ADDRESS_INLINE int address_is_zero(const __u32 a[4])
{
	return !a[0] && !a[1] && !a[2] && !a[3];
}

ADDRESS_INLINE int address_is_loopback(const __u32 a[4])
{
	if (address_is_mapped(a))
		return (a[3] & ADDRESS_WORD(0xff000000)) == ADDRESS_WORD(0x7f000000);
	return !a[0] && !a[1] && !a[2] && a[3] == ADDRESS_WORD(1);
}

ADDRESS_INLINE int address_is_link_local(const __u32 a[4])
{
	return (a[0] & ADDRESS_WORD(0xffc00000)) == ADDRESS_WORD(0xfe800000);
}

ADDRESS_INLINE int address_equal(const __u8 a[16], const __u8 b[16])
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1];
}

/* Sets 16 bytes to the v4-mapped form of an IPv4 address in network byte order. */
ADDRESS_INLINE void address_map(__u8 to[16], __u32 ip4)
{
	__u32 *word = (__u32 *)to;

	word[0] = 0;
	word[1] = 0;
	word[2] = ADDRESS_WORD(0xffff);
	word[3] = ip4;
}

/*
 * The kernel takes the unspecified address for this host: for the address that the socket is bound
 * to, or for loopback. It must not be a way around filters for those.
 */
ADDRESS_INLINE void address_resolve(struct waybill_address *remote,
				    const struct waybill_address *local)
{
	const __u32 *bound = (const __u32 *)local->address;
	__u32 *word = (__u32 *)remote->address;

	if (remote->family == ADDRESS_INET) {
		if (!word[3])
			word[3] = local->family == ADDRESS_INET && bound[3] ?
					  bound[3] :
					  ADDRESS_WORD(ADDRESS_LOOPBACK4);
	} else if (address_is_zero(word)) {
		if (local->family == ADDRESS_INET) {
			address_map(remote->address, ADDRESS_WORD(ADDRESS_LOOPBACK4));
			remote->family = ADDRESS_INET;
		} else {
			word[3] = ADDRESS_WORD(1);
		}
	}
}

/* A socket of IPv6 that is bound to nothing is so for IPv4 as well, if it is there that it goes. */
ADDRESS_INLINE void address_bound_for(const struct waybill_address *remote,
				      struct waybill_address *local)
{
	if (remote->family == ADDRESS_INET && address_is_zero((const __u32 *)local->address)) {
		local->family = ADDRESS_INET;
		address_map(local->address, 0);
	}
}

/* Nothing is bound: the unspecified address of a family. */
ADDRESS_INLINE void address_forget(struct waybill_address *address, __u16 family)
{
	__u32 *word = (__u32 *)address->address;

	address->family = family;
	address->scope_id = 0;
	word[0] = word[1] = word[2] = word[3] = 0;
	if (family == ADDRESS_INET)
		word[2] = ADDRESS_WORD(0xffff);
}

/* The number of the flow of datagrams whose address this is, 0 if it is none's. */
ADDRESS_INLINE __u32 flow_of_address(const struct waybill_address *address)
{
	static const __u8 prefix[8] = WAYBILL_FLOW_PREFIX6;
	const __u32 *word = (const __u32 *)address->address, *want = (const __u32 *)prefix;
	__u32 low = ADDRESS_WORD(word[3]);

	if (address->family == ADDRESS_INET)
		return (low & ~WAYBILL_FLOW_MASK) == WAYBILL_FLOW_ADDRESS4 ?
			       low & WAYBILL_FLOW_MASK :
			       0;
	return word[0] == want[0] && word[1] == want[1] && !word[2] && low <= WAYBILL_FLOW_MASK ?
		       low :
		       0;
}

/* Whether an address is in the ranges of those that say a number, be it given out or not. */
ADDRESS_INLINE int address_is_number(const struct waybill_address *address)
{
	static const __u8 prefix[8] = WAYBILL_FLOW_PREFIX6;
	const __u32 *word = (const __u32 *)address->address, *want = (const __u32 *)prefix;
	__u32 low = ADDRESS_WORD(word[3]) & ~CONNECTION_MASK;

	if (address->family == ADDRESS_INET)
		return low == WAYBILL_FLOW_ADDRESS4 || low == CONNECTION_ADDRESS4;
	return word[0] == want[0] && word[1] == want[1];
}

/* The address of a flow. The caller sets the port. */
ADDRESS_INLINE void flow_address(__u32 flow, __u16 family, struct waybill_address *address)
{
	static const __u8 prefix[8] = WAYBILL_FLOW_PREFIX6;
	const __u32 *want = (const __u32 *)prefix;
	__u32 *word = (__u32 *)address->address;

	address->family = family;
	address->scope_id = 0;
	if (family == ADDRESS_INET) {
		address_map(address->address, ADDRESS_WORD(WAYBILL_FLOW_ADDRESS4 | flow));
		return;
	}
	word[0] = want[0];
	word[1] = want[1];
	word[2] = 0;
	word[3] = ADDRESS_WORD(flow);
}

#endif
