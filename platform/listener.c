// SPDX-License-Identifier: BSD-2-Clause
/*
 * Who listens at an address. The kernel's sock_diag is asked for that one socket, which it looks up
 * as bpf_sk_lookup_tcp and bpf_sk_lookup_udp do in the hooks; and it tells what the hooks read of
 * it, the user who made it and the cgroup.
 */
#include "explain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct diag_question {
	struct nlmsghdr header;
	struct inet_diag_req_v2 request;
};

/* What sock_diag is asked; NLM_F_DUMP for every socket at the port of one that was found. */
static struct diag_question question_of(uint8_t family, bool udp, unsigned short flags)
{
	return (struct diag_question){
		.header = { .nlmsg_len = sizeof(struct diag_question),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | flags },
		.request = { .sdiag_family = family,
			     .sdiag_protocol = udp ? IPPROTO_UDP : IPPROTO_TCP,
			     .idiag_states = ~0U,
			     .id.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } },
	};
}

static uint64_t cgroup_of(const struct nlmsghdr *header)
{
	const struct inet_diag_msg *found = NLMSG_DATA(header);
	const struct rtattr *attribute = (const void *)(found + 1);
	int length = NLMSG_PAYLOAD(header, sizeof(*found));
	uint64_t cgroup = 0;

	for (; RTA_OK(attribute, length); attribute = RTA_NEXT(attribute, length))
		if (attribute->rta_type == INET_DIAG_CGROUP_ID)
			memcpy(&cgroup, RTA_DATA(attribute), sizeof(cgroup));
	return cgroup;
}

/* Whether a socket takes connections, or datagrams, at the same address and port as another. */
static bool is_beside(const struct inet_diag_msg *socket, const struct inet_diag_msg *listener,
		      bool udp)
{
	return socket->idiag_inode != listener->idiag_inode &&
	       socket->id.idiag_sport == listener->id.idiag_sport &&
	       !memcmp(socket->id.idiag_src, listener->id.idiag_src,
		       sizeof(socket->id.idiag_src)) &&
	       socket->id.idiag_if == listener->id.idiag_if &&
	       (udp ? !socket->id.idiag_dport : socket->idiag_state == TCP_LISTEN);
}

/* As is_shared_with_strangers in kernel/identity.h. */
static bool is_shared(int descriptor, const struct inet_diag_msg *listener, bool udp,
		      uint64_t cgroup)
{
	struct diag_question ask = question_of(listener->idiag_family, udp, NLM_F_DUMP);
	char bytes[32768] __attribute__((aligned(8)));
	bool shared = false, more = true;
	ssize_t length;

	ask.request.id.idiag_sport = listener->id.idiag_sport;
	if (send(descriptor, &ask, sizeof(ask), 0) < 0)
		return false;
	while (more && (length = recv(descriptor, bytes, sizeof(bytes), 0)) > 0) {
		const struct nlmsghdr *header = (const void *)bytes;

		for (; more && NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			more = header->nlmsg_type == SOCK_DIAG_BY_FAMILY;
			if (more && is_beside(NLMSG_DATA(header), listener, udp))
				shared = shared || cgroup_of(header) != cgroup;
		}
	}
	return shared;
}

static void take(int descriptor, const struct nlmsghdr *header, bool udp, struct listener *listener)
{
	const struct inet_diag_msg *found = NLMSG_DATA(header);

	*listener = (struct listener){
		.uid = found->idiag_uid,
		.inode = found->idiag_inode,
		.cgroup = cgroup_of(header),
	};
	listener->shared = is_shared(descriptor, found, udp, listener->cgroup);
}

int listener_look_up(const struct waybill_address *endpoint, bool udp, struct listener *listener)
{
	struct diag_question ask = question_of(endpoint->family, udp, 0);
	/* Of datagram sockets it takes source and destination the other way round. */
	__be32 *address = udp ? ask.request.id.idiag_dst : ask.request.id.idiag_src;
	int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	union {
		struct nlmsghdr header;
		char bytes[4096];
	} answer;
	ssize_t length;
	int error = 0;

	if (descriptor < 0)
		return -errno;
	if (endpoint->family == AF_INET)
		memcpy(address, endpoint->address + 12, 4);
	else
		memcpy(address, endpoint->address, 16);
	*(udp ? &ask.request.id.idiag_dport : &ask.request.id.idiag_sport) = endpoint->port;
	if (send(descriptor, &ask, sizeof(ask), 0) < 0 ||
	    (length = recv(descriptor, &answer, sizeof(answer), 0)) < 0)
		error = -errno;
	else if (!NLMSG_OK(&answer.header, length))
		error = -EPROTO;
	else if (answer.header.nlmsg_type == NLMSG_ERROR)
		error = ((const struct nlmsgerr *)NLMSG_DATA(&answer.header))->error;
	else if (!udp && ((const struct inet_diag_msg *)NLMSG_DATA(&answer.header))->idiag_state !=
				 TCP_LISTEN)
		error = -ENOENT;
	else
		take(descriptor, &answer.header, udp, listener);
	close(descriptor);
	return error;
}
