// SPDX-License-Identifier: BSD-2-Clause
/*
 * Control messages. Records and contexts have another level and number on either side, IPv4's
 * address another layout; all others pass as they are. The frame is the same on both.
 */
#include <errno.h>
#include <string.h>
#include <waybill/waybill.h>

#include "../control.h"
#include "winsock.h"

_Static_assert(sizeof(WSACMSGHDR) == sizeof(struct cmsghdr), "");
_Static_assert(offsetof(WSACMSGHDR, cmsg_level) == offsetof(struct cmsghdr, cmsg_level), "");
_Static_assert(offsetof(WSACMSGHDR, cmsg_type) == offsetof(struct cmsghdr, cmsg_type), "");
_Static_assert(WSA_CMSG_LEN(0) == CMSG_LEN(0) && WSA_CMSG_SPACE(13) == CMSG_SPACE(13), "");
_Static_assert(sizeof(IN6_PKTINFO) == sizeof(struct in6_pktinfo), "");
_Static_assert(IP_WFP_REDIRECT_RECORDS == IPV6_WFP_REDIRECT_RECORDS, "one test for both");
_Static_assert(IP_WFP_REDIRECT_CONTEXT == IPV6_WFP_REDIRECT_CONTEXT, "one test for both");

_Static_assert(CONTROL_ROOM >= WAYBILL_CONTROL_MAX + 512, "the library's, and the kernel's");

static void address_add(struct control *to, const struct cmsghdr *from)
{
	struct in_pktinfo theirs;
	IN_PKTINFO info;

	memcpy(&theirs, CMSG_DATA(from), sizeof(theirs));
	info.ipi_addr = theirs.ipi_addr;
	info.ipi_ifindex = (ULONG)theirs.ipi_ifindex;
	control_add(to, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
}

/* family is that of the datagram. */
static void message_add(const struct wishes *wishes, struct control *to, const struct cmsghdr *from,
			int family)
{
	int level = family == FOUR ? IPPROTO_IP : IPPROTO_IPV6;
	size_t size = from->cmsg_len - CMSG_LEN(0);

	if (from->cmsg_level == IPPROTO_IP && from->cmsg_type == IP_PKTINFO) {
		if (wishes->addresses[FOUR] && size >= sizeof(struct in_pktinfo))
			address_add(to, from);
	} else if (from->cmsg_level == IPPROTO_IPV6 && from->cmsg_type == IPV6_PKTINFO) {
		/* IPv4's is told at both levels on a socket of IPv6: once is enough. */
		if (wishes->addresses[SIX] && (family == SIX || !wishes->addresses[FOUR]))
			control_add(to, IPPROTO_IPV6, IPV6_PKTINFO, CMSG_DATA(from), size);
	} else if (from->cmsg_level != SOL_WAYBILL) {
		control_add(to, from->cmsg_level, from->cmsg_type, CMSG_DATA(from), size);
	} else if (from->cmsg_type == WAYBILL_REDIRECT_RECORDS && wishes->records[family]) {
		control_add(to, level, IP_WFP_REDIRECT_RECORDS, CMSG_DATA(from), size);
	} else if (from->cmsg_type == WAYBILL_REDIRECT_CONTEXT && wishes->contexts[family]) {
		control_add(to, level, IP_WFP_REDIRECT_CONTEXT, CMSG_DATA(from), size);
	}
}

static int family_of(const struct msghdr *message)
{
	struct cmsghdr *at = NULL;
	bool malformed = false;

	while ((at = control_next(message, at, &malformed)))
		if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO)
			return FOUR;
	return SIX;
}

int control_to_caller(const struct wishes *wishes, const struct msghdr *message, CHAR *caller,
		      ULONG *size, bool *truncated)
{
	char bytes[CONTROL_ROOM] __attribute__((aligned(8)));
	struct control to = {
		.bytes = bytes,
		.room = caller && *size < sizeof(bytes) ? *size :
			caller                          ? sizeof(bytes) :
							  0,
	};
	int family = family_of(message);
	struct cmsghdr *at = NULL;
	bool malformed = false;

	memset(bytes, 0, to.room);
	while ((at = control_next(message, at, &malformed)))
		message_add(wishes, &to, at, family);
	*truncated = to.truncated;
	*size = (ULONG)to.used;
	return to.used ? memory_write(caller, bytes, to.used) : 0;
}

static void address_from(struct control *to, const struct cmsghdr *from)
{
	struct in_pktinfo theirs = { .ipi_ifindex = 0 };
	IN_PKTINFO info;

	memcpy(&info, CMSG_DATA(from), sizeof(info));
	theirs.ipi_ifindex = (int)info.ipi_ifindex;
	theirs.ipi_spec_dst = info.ipi_addr;
	control_add(to, IPPROTO_IP, IP_PKTINFO, &theirs, sizeof(theirs));
}

int control_from_caller(const CHAR *caller, ULONG size, char *bytes, size_t room, size_t *used)
{
	char copy[CONTROL_ROOM] __attribute__((aligned(8)));
	struct msghdr from = { .msg_control = copy, .msg_controllen = size };
	struct control to = { .bytes = bytes, .room = room };
	struct cmsghdr *at = NULL;
	bool malformed = false;

	*used = 0;
	if (!size)
		return 0;
	if (size > sizeof(copy))
		return WSAEINVAL;
	if (memory_read(copy, caller, size))
		return WSAEFAULT;
	memset(bytes, 0, room);
	while ((at = control_next(&from, at, &malformed))) {
		bool ip = at->cmsg_level == IPPROTO_IP || at->cmsg_level == IPPROTO_IPV6;
		size_t length = at->cmsg_len - CMSG_LEN(0);

		if (ip && at->cmsg_type == IP_WFP_REDIRECT_RECORDS)
			control_add(&to, SOL_WAYBILL, WAYBILL_REDIRECT_RECORDS, CMSG_DATA(at),
				    length);
		else if (at->cmsg_level == SOL_WAYBILL)
			return WSAEINVAL;
		else if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO &&
			 length == sizeof(IN_PKTINFO))
			address_from(&to, at);
		else
			control_add(&to, at->cmsg_level, at->cmsg_type, CMSG_DATA(at), length);
	}
	*used = to.used;
	return malformed || to.truncated ? WSAEINVAL : 0;
}
