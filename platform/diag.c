// SPDX-License-Identifier: BSD-2-Clause
/* Questions to the kernel's sock_diag, and what its answers have. */
#include "diag.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

int diag_open(void)
{
	int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	return descriptor < 0 ? -errno : descriptor;
}

struct diag_question diag_question(uint8_t family, bool udp, unsigned short flags)
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

uint64_t diag_cgroup(const struct nlmsghdr *answer)
{
	const struct inet_diag_msg *found = NLMSG_DATA(answer);
	const struct rtattr *attribute = (const void *)(found + 1);
	int length = NLMSG_PAYLOAD(answer, sizeof(*found));
	uint64_t cgroup = 0;

	for (; RTA_OK(attribute, length); attribute = RTA_NEXT(attribute, length))
		if (attribute->rta_type == INET_DIAG_CGROUP_ID)
			memcpy(&cgroup, RTA_DATA(attribute), sizeof(cgroup));
	return cgroup;
}

struct waybill_address diag_address(const struct inet_diag_msg *socket, bool remote)
{
	const __be32 *word = remote ? socket->id.idiag_dst : socket->id.idiag_src;
	struct waybill_address address = {
		.family = AF_INET6,
		.port = remote ? socket->id.idiag_dport : socket->id.idiag_sport,
	};

	if (socket->idiag_family == AF_INET6) {
		memcpy(address.address, word, 16);
		if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)address.address))
			address.family = AF_INET;
	} else {
		address.family = AF_INET;
		address.address[10] = address.address[11] = 0xff;
		memcpy(address.address + 12, word, 4);
	}
	return address;
}

int diag_dump(int descriptor, const struct nlmsghdr *question,
	      int (*each)(void *data, const struct nlmsghdr *answer), void *data)
{
	char bytes[32768] __attribute__((aligned(8)));
	int result = 0;
	ssize_t length;

	if (send(descriptor, question, question->nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		const struct nlmsghdr *answer = (const void *)bytes;

		length = recv(descriptor, bytes, sizeof(bytes), 0);
		if (length <= 0)
			return length ? -errno : -EPROTO;
		for (; NLMSG_OK(answer, length); answer = NLMSG_NEXT(answer, length)) {
			if (answer->nlmsg_type == NLMSG_DONE)
				return result;
			if (answer->nlmsg_type == NLMSG_ERROR)
				return ((const struct nlmsgerr *)NLMSG_DATA(answer))->error;
			/* To the end all the same, for the next question. */
			if (!result && answer->nlmsg_type == SOCK_DIAG_BY_FAMILY)
				result = each(data, answer);
		}
	}
}
