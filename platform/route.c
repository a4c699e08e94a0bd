// SPDX-License-Identifier: BSD-2-Clause
/*
 * The addresses of IPv6 flows: a local route makes every one of them this host's, in the network
 * namespace of the caller. (IPv4 needs none: all of 127.0.0.0/8 is.) Each instance has a route of
 * its own, told by its metric, so each removes just that. And the sources of redirected IPv6
 * connections: to be bound to, each has to be an address of a device.
 */
#include <linux/if_addr.h>
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
	union {
		struct rtmsg route;
		struct ifaddrmsg address;
	};
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

/* The third word of an instance's sources: nothing of theirs is a flow's address. */
#define SOURCE6_MARK 0x01000000U

uint32_t source6_of(uint32_t owner)
{
	return SOURCE6_MARK | (owner & 0xffffff);
}

static int change_source(unsigned short type, unsigned short flags, const uint8_t address[16])
{
	/* Deprecated, so that nobody who does not ask for it gets it as a source. */
	struct ifa_cacheinfo lifetime = { .ifa_prefered = 0, .ifa_valid = UINT32_MAX };
	uint32_t more = IFA_F_NODAD | IFA_F_NOPREFIXROUTE;
	struct request request = {
		.header.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
		.header.nlmsg_type = type,
		.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags,
		.address.ifa_family = AF_INET6,
		.address.ifa_prefixlen = 128,
		.address.ifa_scope = RT_SCOPE_UNIVERSE,
		.address.ifa_index = if_nametoindex("lo"),
	};

	attribute_add(&request, IFA_LOCAL, address, 16);
	attribute_add(&request, IFA_ADDRESS, address, 16);
	attribute_add(&request, IFA_FLAGS, &more, sizeof(more));
	attribute_add(&request, IFA_CACHEINFO, &lifetime, sizeof(lifetime));
	return exchange(&request);
}

static void source_address(uint32_t third, uint32_t number, uint8_t address[16])
{
	static const uint8_t prefix[8] = WAYBILL_FLOW_PREFIX6;

	third = htonl(third);
	number = htonl(number);
	memcpy(address, prefix, sizeof(prefix));
	memcpy(address + 8, &third, sizeof(third));
	memcpy(address + 12, &number, sizeof(number));
}

int sources_add(uint32_t owner)
{
	uint8_t address[16];
	int error = 0;

	for (uint32_t number = 0; !error && number <= SOURCE_MASK6; number++) {
		source_address(source6_of(owner), number, address);
		error = change_source(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address);
	}
	return error;
}

void sources_remove(uint32_t owner)
{
	uint8_t address[16];

	for (uint32_t number = 0; number <= SOURCE_MASK6; number++) {
		source_address(source6_of(owner), number, address);
		change_source(RTM_DELADDR, 0, address);
	}
}

/* Of all instances. */
static void sources_remove_all(void)
{
	static const uint8_t prefix[8] = WAYBILL_FLOW_PREFIX6;
	FILE *file = fopen("/proc/thread-self/net/if_inet6", "re");
	uint8_t address[16];
	char line[128];

	while (file && fgets(line, sizeof(line), file)) {
		for (int i = 0; i < 16; i++)
			sscanf(line + 2 * i, "%2hhx", &address[i]);
		if (!memcmp(address, prefix, sizeof(prefix)) && address[8] == SOURCE6_MARK >> 24)
			change_source(RTM_DELADDR, 0, address);
	}
	if (file)
		fclose(file);
}

void addresses_remove(void)
{
	while (!change(RTM_DELROUTE, 0, 0))
		;
	sources_remove_all();
}
