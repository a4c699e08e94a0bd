// SPDX-License-Identifier: BSD-2-Clause
/*
 * Addresses between the sockets' form and the records' form, in which one address has only one
 * spelling: IPv4 is ::ffff:a.b.c.d whichever way it came.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <waybill/waybill.h>

static const __u8 v4_mapped[12] = { [10] = 0xff, [11] = 0xff };

int waybill_address_from_sockaddr(const struct sockaddr *address, socklen_t length,
				  struct waybill_address *out)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	sa_family_t family;

	/* The address may lie unaligned, as in a control message: it is copied before it is read. */
	if (length < (socklen_t)sizeof(family))
		return -EINVAL;
	memcpy(&family, address, sizeof(family));
	memset(out, 0, sizeof(*out));

	if (family == AF_INET) {
		if (length < (socklen_t)sizeof(in))
			return -EINVAL;
		memcpy(&in, address, sizeof(in));
		out->family = AF_INET;
		out->port = in.sin_port;
		memcpy(out->address, v4_mapped, sizeof(v4_mapped));
		memcpy(out->address + sizeof(v4_mapped), &in.sin_addr, sizeof(in.sin_addr));
		return 0;
	}
	if (family != AF_INET6)
		return -EAFNOSUPPORT;

	if (length < (socklen_t)sizeof(in6))
		return -EINVAL;
	memcpy(&in6, address, sizeof(in6));
	out->family = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) ? AF_INET : AF_INET6;
	out->port = in6.sin6_port;
	memcpy(out->address, &in6.sin6_addr, sizeof(out->address));
	if (IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&in6.sin6_addr))
		out->scope_id = in6.sin6_scope_id;
	return 0;
}

int waybill_address_to_sockaddr(const struct waybill_address *address, struct sockaddr_storage *out,
				socklen_t *length)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *in = (struct sockaddr_in *)out;

	memset(out, 0, sizeof(*out));
	switch (address->family) {
	case AF_INET:
		if (memcmp(address->address, v4_mapped, sizeof(v4_mapped)) != 0)
			return -EINVAL;
		in->sin_family = AF_INET;
		in->sin_port = address->port;
		memcpy(&in->sin_addr, address->address + sizeof(v4_mapped), sizeof(in->sin_addr));
		*length = sizeof(*in);
		return 0;
	case AF_INET6:
		in6->sin6_family = AF_INET6;
		in6->sin6_port = address->port;
		in6->sin6_scope_id = address->scope_id;
		memcpy(&in6->sin6_addr, address->address, sizeof(in6->sin6_addr));
		*length = sizeof(*in6);
		return 0;
	default:
		return -EAFNOSUPPORT;
	}
}
