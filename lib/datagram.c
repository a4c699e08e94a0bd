// SPDX-License-Identifier: BSD-2-Clause
/*
 * recvmsg and sendmsg with flows: control messages are added to what the kernel gave, and taken
 * off what it is given. Nothing is remembered between calls; who was told of a flow the kernel
 * half knows, so threads and processes can share a socket.
 */
#include <errno.h>
#include <string.h>
#include <waybill/waybill.h>

#include "control.h"
#include "flow.h"
#include "option.h"

/* Room for what the kernel tells with a datagram: addresses, times, counts. */
#define KERNEL_CONTROL 512

#define BATCH 16

uint32_t flow_of_message(const struct msghdr *message)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct cmsghdr *at = NULL;
	struct in6_pktinfo info6;
	struct in_pktinfo info4;
	bool malformed = false;
	uint32_t flow = 0;

	while (!flow && (at = control_next(message, at, &malformed))) {
		if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO &&
		    at->cmsg_len >= CMSG_LEN(sizeof(info4))) {
			memcpy(&info4, CMSG_DATA(at), sizeof(info4));
			four.sin_addr = info4.ipi_addr;
			flow = waybill_flow_from_address((struct sockaddr *)&four, sizeof(four));
		} else if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO &&
			   at->cmsg_len >= CMSG_LEN(sizeof(info6))) {
			memcpy(&info6, CMSG_DATA(at), sizeof(info6));
			six.sin6_addr = info6.ipi6_addr;
			flow = waybill_flow_from_address((struct sockaddr *)&six, sizeof(six));
		}
	}
	return flow;
}

/* What comes with the first datagram of a flow. */
static void first_add(int fd, uint32_t flow, struct control *control)
{
	struct sockaddr_storage destination;
	char bytes[WAYBILL_RECORDS_MAX];
	socklen_t length;
	size_t size;

	if (!waybill_flow_original_destination_query(fd, flow, &destination, &length))
		control_add(control, SOL_WAYBILL, WAYBILL_ORIGINAL_DESTINATION, &destination,
			    length);
	size = sizeof(bytes);
	if (!waybill_flow_records_query(fd, flow, bytes, &size))
		control_add(control, SOL_WAYBILL, WAYBILL_REDIRECT_RECORDS, bytes, size);
	size = sizeof(bytes);
	if (!waybill_flow_context_query(fd, flow, bytes, &size))
		control_add(control, SOL_WAYBILL, WAYBILL_REDIRECT_CONTEXT, bytes, size);
}

/*
 * Gives the caller what was received, with the control messages of its flow. A caller who has no
 * room for the number of the flow is not told of it, and so it is not taken from others.
 */
static void received(int fd, struct msghdr *message, const struct msghdr *inner, int flags)
{
	struct control control = {
		.bytes = message->msg_control,
		.room = message->msg_control ? message->msg_controllen : 0,
	};
	uint32_t flow = flags & MSG_ERRQUEUE ? 0 : flow_of_message(inner);
	int option = flags & MSG_PEEK ? WAYBILL_FLOW_NEW : WAYBILL_FLOW_TAKE;
	bool malformed = false, redirected = false;
	struct cmsghdr *at = NULL;
	__u32 first = 0;
	socklen_t size = sizeof(first);

	if (flow && control.room >= CMSG_LEN(sizeof(flow)))
		redirected = !option_get(fd, WAYBILL_OF_FLOW(option, flow), &first, &size);
	else
		control.truncated = flow && control.room;
	if (redirected)
		control_add(&control, SOL_WAYBILL, WAYBILL_FLOW, &flow, sizeof(flow));
	while ((at = control_next(inner, at, &malformed)))
		control_add(&control, at->cmsg_level, at->cmsg_type, CMSG_DATA(at),
			    at->cmsg_len - CMSG_LEN(0));
	if (redirected && first)
		first_add(fd, flow, &control);
	message->msg_namelen = inner->msg_namelen;
	message->msg_controllen = control.used;
	message->msg_flags = inner->msg_flags;
	/* Who offers no room at all wants none, as with recv(2). */
	if (control.truncated && control.room)
		message->msg_flags |= MSG_CTRUNC;
}

ssize_t waybill_recvmsg(int fd, struct msghdr *message, int flags)
{
	char control[KERNEL_CONTROL] __attribute__((aligned(8)));
	struct msghdr inner = *message;
	ssize_t size;

	inner.msg_control = control;
	inner.msg_controllen = sizeof(control);
	size = recvmsg(fd, &inner, flags);
	if (size < 0)
		return -errno;
	received(fd, message, &inner, flags);
	return size;
}

int waybill_recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags,
		     struct timespec *timeout)
{
	char control[BATCH][KERNEL_CONTROL] __attribute__((aligned(8)));
	struct mmsghdr inner[BATCH];
	unsigned int done = 0, some, i;
	int got;

	while (done < count) {
		some = count - done < BATCH ? count - done : BATCH;
		for (i = 0; i < some; i++) {
			inner[i] = messages[done + i];
			inner[i].msg_hdr.msg_control = control[i];
			inner[i].msg_hdr.msg_controllen = sizeof(control[i]);
		}
		got = recvmmsg(fd, inner, some, flags, timeout);
		if (got < 0)
			return done ? (int)done : -errno;
		for (i = 0; i < (unsigned int)got; i++) {
			received(fd, &messages[done + i].msg_hdr, &inner[i].msg_hdr, flags);
			messages[done + i].msg_len = inner[i].msg_len;
		}
		done += got;
		if ((unsigned int)got < some)
			break;
		/* Whoever waits for one only has it. */
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
	}
	return done;
}

/* What a caller says with a datagram. */
struct said {
	const struct cmsghdr *records;
	uint32_t flow;       /* 0: not a reply */
	struct control rest; /* for the kernel */
};

static int said_read(const struct msghdr *message, struct said *said)
{
	struct cmsghdr *at = NULL;
	bool malformed = false;

	while ((at = control_next(message, at, &malformed))) {
		if (at->cmsg_level == SOL_WAYBILL && at->cmsg_type == WAYBILL_FLOW) {
			if (said->flow || at->cmsg_len != CMSG_LEN(sizeof(said->flow)))
				return -EINVAL;
			memcpy(&said->flow, CMSG_DATA(at), sizeof(said->flow));
			if (!flow_valid(said->flow))
				return -EINVAL;
		} else if (at->cmsg_level == SOL_WAYBILL &&
			   at->cmsg_type == WAYBILL_REDIRECT_RECORDS) {
			if (said->records)
				return -EINVAL;
			said->records = at;
		} else if (at->cmsg_level == SOL_WAYBILL) {
			return -EINVAL;
		} else {
			control_add(&said->rest, at->cmsg_level, at->cmsg_type, CMSG_DATA(at),
				    at->cmsg_len - CMSG_LEN(0));
		}
	}
	if (malformed || (said->flow && said->records))
		return -EINVAL;
	return said->rest.truncated ? -ENOBUFS : 0;
}

/* The datagram leaves from the address of its flow. */
static int reply_add(const struct msghdr *message, struct said *said)
{
	struct waybill_address to;
	struct in6_pktinfo info6 = { .ipi6_ifindex = 0 };
	struct in_pktinfo info4 = { .ipi_ifindex = 0 };
	int result;

	if (!message->msg_name)
		return -EINVAL;
	result = waybill_address_from_sockaddr(message->msg_name, message->msg_namelen, &to);
	if (result)
		return result;
	if (to.family == AF_INET) {
		waybill_flow_address4(said->flow, &info4.ipi_spec_dst);
		control_add(&said->rest, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4));
	} else {
		waybill_flow_address6(said->flow, &info6.ipi6_addr);
		control_add(&said->rest, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6));
	}
	return said->rest.truncated ? -ENOBUFS : 0;
}

/* The flow that the datagram begins has these records. */
static int records_add(int fd, const struct msghdr *message, const struct said *said)
{
	struct {
		struct waybill_flow_records head;
		char records[WAYBILL_RECORDS_MAX];
	} value = { .head.destination.family = 0 };
	size_t size = said->records->cmsg_len - CMSG_LEN(0);
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	int result;

	if (size > sizeof(value.records))
		return -EBADMSG;
	/* A connected socket has its flow already, as connect(2) made it. */
	if (!message->msg_name)
		return getpeername(fd, (struct sockaddr *)&peer, &length) ? -EINVAL : 0;
	result = waybill_address_from_sockaddr(message->msg_name, message->msg_namelen,
					       &value.head.destination);
	if (result)
		return result;
	memcpy((char *)&value + sizeof(value.head), CMSG_DATA(said->records), size);
	result = option_set(fd, WAYBILL_FLOW_RECORDS, &value, sizeof(value.head) + size);
	return result == -EISCONN ? 0 : result;
}

ssize_t waybill_sendmsg(int fd, const struct msghdr *message, int flags)
{
	char control[KERNEL_CONTROL] __attribute__((aligned(8)));
	struct said said = { .rest = { .bytes = control, .room = sizeof(control) } };
	struct msghdr inner = *message;
	ssize_t size;
	int result = said_read(message, &said);

	if (!result && said.flow)
		result = reply_add(message, &said);
	if (!result && said.records)
		result = records_add(fd, message, &said);
	if (result)
		return result;
	inner.msg_control = said.rest.used ? control : NULL;
	inner.msg_controllen = said.rest.used;
	size = sendmsg(fd, &inner, flags);
	return size < 0 ? -errno : size;
}

int waybill_sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
	unsigned int done;
	ssize_t size;

	for (done = 0; done < count; done++) {
		size = waybill_sendmsg(fd, &messages[done].msg_hdr, flags);
		if (size < 0)
			return done ? (int)done : (int)size;
		messages[done].msg_len = size;
	}
	return done;
}
