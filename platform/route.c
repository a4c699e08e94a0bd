// SPDX-License-Identifier: BSD-2-Clause
/*
 * The addresses of IPv6 flows: a local route makes every one of them this host's, in the network
 * namespace of the caller. (IPv4 needs none: all of 127.0.0.0/8 is.) Each instance has a route of
 * its own, told by its metric, so each removes just that.
 */
#include <linux/rtnetlink.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "instance.h"

#define ROUTE_METRIC 0x57000000U

struct request {
	struct nlmsghdr header;
	struct rtmsg route;
	char attributes[128];
};

static void attribute_add(struct request *request, unsigned short type, const void *value,
			  size_t size)
{
	struct rtattr *attribute =
		(void *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));

	attribute->rta_type = type;
	attribute->rta_len = RTA_LENGTH(size);
	memcpy(RTA_DATA(attribute), value, size);
	request->header.nlmsg_len =
		NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(RTA_LENGTH(size));
}

static int exchange(struct request *request)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} answer;
	int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), error = 0;
	ssize_t size;

	if (descriptor < 0)
		return -errno;
	if (send(descriptor, request, request->header.nlmsg_len, 0) < 0) {
		error = -errno;
	} else {
		size = recv(descriptor, &answer, sizeof(answer), 0);
		if (size < 0)
			error = -errno;
		else if ((size_t)size < sizeof(answer) || answer.header.nlmsg_type != NLMSG_ERROR)
			error = -EBADMSG;
		else
			error = answer.error.error;
	}
	close(descriptor);
	return error;
}

/* metric 0: when a route is removed, any. */
static int change(unsigned short type, unsigned short flags, uint32_t metric)
{
	static const uint8_t prefix[16] = WAYBILL_FLOW_PREFIX6;
	struct request request = {
		.header.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
		.header.nlmsg_type = type,
		.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags,
		.route.rtm_family = AF_INET6,
		.route.rtm_dst_len = 64,
		.route.rtm_table = RT_TABLE_LOCAL,
		.route.rtm_protocol = RTPROT_STATIC,
		.route.rtm_scope = RT_SCOPE_HOST,
		.route.rtm_type = RTN_LOCAL,
	};
	uint32_t loopback = if_nametoindex("lo");

	attribute_add(&request, RTA_DST, prefix, sizeof(prefix));
	attribute_add(&request, RTA_OIF, &loopback, sizeof(loopback));
	if (metric)
		attribute_add(&request, RTA_PRIORITY, &metric, sizeof(metric));
	return exchange(&request);
}

int flow_route_add(uint32_t owner)
{
	int error =
		change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, ROUTE_METRIC | (owner & 0xffffff));

	return error == -EEXIST ? 0 : error;
}

int flow_route_remove(uint32_t owner)
{
	return change(RTM_DELROUTE, 0, ROUTE_METRIC | (owner & 0xffffff));
}

void addresses_remove(void)
{
	while (!change(RTM_DELROUTE, 0, 0))
		;
}
