// SPDX-License-Identifier: BSD-2-Clause
/*
 * Flows of datagrams by their numbers and addresses; and the socket that receives all of them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <string.h>
#include <waybill/waybill.h>

#include "flow.h"
#include "option.h"

static const __u8 prefix6[8] = WAYBILL_FLOW_PREFIX6;

uint32_t waybill_flow_from_address(const struct sockaddr *address, socklen_t length)
{
	struct waybill_address plain;
	const __u8 *a = plain.address;
	uint32_t low;

	if (waybill_address_from_sockaddr(address, length, &plain))
		return 0;
	low = (uint32_t)a[12] << 24 | a[13] << 16 | a[14] << 8 | a[15];
	if (plain.family == AF_INET)
		return (low & ~WAYBILL_FLOW_MASK) == WAYBILL_FLOW_ADDRESS4 ?
			       low & WAYBILL_FLOW_MASK :
			       0;
	if (memcmp(a, prefix6, sizeof(prefix6)) || a[8] || a[9] || a[10] || a[11])
		return 0;
	return low <= WAYBILL_FLOW_MASK ? low : 0;
}

void waybill_flow_address4(uint32_t flow, struct in_addr *address)
{
	address->s_addr = htonl(WAYBILL_FLOW_ADDRESS4 | (flow & WAYBILL_FLOW_MASK));
}

void waybill_flow_address6(uint32_t flow, struct in6_addr *address)
{
	uint32_t low = htonl(flow & WAYBILL_FLOW_MASK);

	memset(address, 0, sizeof(*address));
	memcpy(address->s6_addr, prefix6, sizeof(prefix6));
	memcpy(address->s6_addr + 12, &low, sizeof(low));
}

int waybill_flow_forward(int fd, uint32_t flow, int onward)
{
	char records[WAYBILL_RECORDS_MAX];
	size_t size = sizeof(records);
	int result = waybill_flow_records_query(fd, flow, records, &size);

	return result ? result : waybill_records_set(onward, records, size);
}

int waybill_flow_peer(int fd, uint32_t flow, const struct sockaddr *peer, socklen_t length,
		      uint32_t *number)
{
	struct waybill_flow_peer wanted = { .flow = flow };
	socklen_t size = sizeof(*number);
	__u32 answer;
	int result;

	if (!flow_valid(flow))
		return -ENOENT;
	result = waybill_address_from_sockaddr(peer, length, &wanted.peer);
	if (!result)
		result = option_set(fd, WAYBILL_FLOW_PEER, &wanted, sizeof(wanted));
	/* The kernel half keeps the answer for this thread. */
	if (!result)
		result = option_get(fd, WAYBILL_FLOW_PEER, &answer, &size);
	if (!result)
		*number = answer;
	return result;
}

/*
 * Accepts what was sent to this host's loopback, where flows have their addresses, and nothing
 * that came from elsewhere: IPv6 takes a local address from any device. A socket bound to the device
 * lo would do as much, but the kernel half does not find such a socket when it asks whether the
 * service is alive.
 */
static int filter_attach(int fd)
{
	enum { LOOPBACK = 1, ACCEPT = 19, DROP = 20 };
#define LOAD(size, offset) BPF_STMT(BPF_LD | BPF_ABS | (size), (__u32)SKF_NET_OFF + (offset))
#define JUMP(here, value, yes, no)                                                                 \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, (yes) - (here)-1, (no) - (here)-1)
	struct sock_filter code[] = {
		/* 0 */ BPF_STMT(BPF_LD | BPF_ABS | BPF_W, (__u32)(SKF_AD_OFF + SKF_AD_IFINDEX)),
		/* 1 */ JUMP(1, LOOPBACK, 2, DROP),
		/* 2 */ LOAD(BPF_B, 0),
		/* 3 */ BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
		/* 4 */ JUMP(4, 4, 5, 7),
		/* 5 */ LOAD(BPF_B, 16),
		/* 6 */ JUMP(6, 127, ACCEPT, DROP),
		/* 7 */ JUMP(7, 6, 8, DROP),
		/* 8 */ LOAD(BPF_W, 24),
		/* 9 */ JUMP(9, 0xfd576179, 10, 12),
		/* 10 */ LOAD(BPF_W, 28),
		/* 11 */ JUMP(11, 0x62696c6c, ACCEPT, DROP),
		/* 12 */ JUMP(12, 0, 13, DROP),
		/* 13 */ LOAD(BPF_W, 28),
		/* 14 */ JUMP(14, 0, 15, DROP),
		/* 15 */ LOAD(BPF_W, 32),
		/* 16 */ JUMP(16, 0, 17, DROP),
		/* 17 */ LOAD(BPF_W, 36),
		/* 18 */ JUMP(18, 1, ACCEPT, DROP),
		/* 19 */ BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
		/* 20 */ BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

static int set_on(int fd, int level, int option)
{
	int one = 1;

	return setsockopt(fd, level, option, &one, sizeof(one)) ? -errno : 0;
}

/* Where it is bound; and -EINVAL for a socket that cannot receive flows. */
static int bound_at(int fd, struct sockaddr_storage *bound)
{
	socklen_t size = sizeof(*bound);
	int type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){ sizeof(type) }))
		return -errno;
	if (getsockname(fd, (struct sockaddr *)bound, &size))
		return -errno;
	if (type != SOCK_DGRAM || (bound->ss_family != AF_INET && bound->ss_family != AF_INET6))
		return -EINVAL;
	return 0;
}

int flow_tell(int fd)
{
	struct sockaddr_storage bound;
	int result = bound_at(fd, &bound);

	if (!result)
		result = set_on(fd, IPPROTO_IP, IP_PKTINFO);
	if (!result && bound.ss_family == AF_INET6) {
		result = set_on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
		/* The addresses of flows are local, but on no device: replies leave from them. */
		if (!result)
			result = set_on(fd, IPPROTO_IPV6, IPV6_FREEBIND);
	}
	return result;
}

/* Whether it is bound to every address. */
static bool is_everywhere(const struct sockaddr_storage *bound)
{
	const struct sockaddr_in *four = (const void *)bound;
	const struct sockaddr_in6 *six = (const void *)bound;

	return bound->ss_family == AF_INET ? four->sin_addr.s_addr == htonl(INADDR_ANY) :
					     IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr);
}

int flow_bound_filter(int fd)
{
	struct sockaddr_storage bound;
	int result = bound_at(fd, &bound);

	if (result || !((struct sockaddr_in *)&bound)->sin_port || !is_everywhere(&bound))
		return result;
	return filter_attach(fd);
}

int waybill_bind_datagrams(int fd, uint16_t port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_storage bound;
	int result = bound_at(fd, &bound);
	in_port_t at = result ? 0 : ((struct sockaddr_in *)&bound)->sin_port;

	if (!result && at && (at != htons(port) || !is_everywhere(&bound)))
		result = -EINVAL;
	if (!result)
		result = filter_attach(fd);
	if (!result)
		result = flow_tell(fd);
	if (result || at)
		return result;
	if (bound.ss_family == AF_INET)
		return bind(fd, (struct sockaddr *)&four, sizeof(four)) ? -errno : 0;
	return bind(fd, (struct sockaddr *)&six, sizeof(six)) ? -errno : 0;
}
