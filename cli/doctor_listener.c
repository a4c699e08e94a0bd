// SPDX-License-Identifier: BSD-2-Clause
/*
 * Who made a listener: its user and its cgroup, as sock_diag(7) tells. The process that holds it may
 * be in another, since sockets are handed over; the kernel half asks the socket too.
 */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doctor.h"

#define STATE_LISTEN 10

static int request(int netlink, int family)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 diag;
	} message = {
		.header = { .nlmsg_len = sizeof(message),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.diag = { .sdiag_family = family,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = 1 << STATE_LISTEN },
	};

	return send(netlink, &message, sizeof(message), 0) == sizeof(message) ? 0 : -errno;
}

static void take(const struct nlmsghdr *header, struct listener_owner *owner)
{
	const struct inet_diag_msg *diag = NLMSG_DATA(header);
	const struct rtattr *attribute = (const void *)(diag + 1);
	int left = header->nlmsg_len - NLMSG_LENGTH(sizeof(*diag));

	*owner = (struct listener_owner){ .user = diag->idiag_uid, .inode = diag->idiag_inode };
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == INET_DIAG_CGROUP_ID)
			memcpy(&owner->cgroup, RTA_DATA(attribute), sizeof(owner->cgroup));
}

/* Reads one message of several sockets. Whether there are more. */
static bool read_some(int netlink, unsigned int port, struct listener_owner *owner)
{
	char buffer[32768] __attribute__((aligned(8)));
	ssize_t size = recv(netlink, buffer, sizeof(buffer), 0);
	const struct nlmsghdr *header = (const void *)buffer;

	if (size <= 0)
		return false;
	for (; NLMSG_OK(header, size); header = NLMSG_NEXT(header, size)) {
		if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR)
			return false;
		if (!owner->inode &&
		    ((const struct inet_diag_msg *)NLMSG_DATA(header))->id.idiag_sport ==
			    htons(port))
			take(header, owner);
	}
	return true;
}

struct listener_owner listener_owner(unsigned int port)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct listener_owner owner = { .inode = 0 };
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	for (size_t i = 0; netlink >= 0 && i < 2 && !owner.inode; i++)
		if (!request(netlink, families[i]))
			while (read_some(netlink, port, &owner))
				;
	if (netlink >= 0)
		close(netlink);
	return owner;
}
