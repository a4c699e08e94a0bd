// SPDX-License-Identifier: BSD-2-Clause
/*
 * for_hosts_alone: what a socket may have that a connection within this host cannot keep: signed
 * segments, another host's source, a limit on how far packets come. Its service is down for such a
 * socket, and nothing hangs. The same socket without it is redirected.
 */
#include <linux/tcp.h>
#include <netinet/in.h>

#include "records_tools.h"

static struct world world;

enum attribute { NOTHING, SIGNED, TRANSPARENT, LIMITED, ATTRIBUTES };

static void set(int descriptor, enum family family, enum attribute attribute)
{
	struct tcp_md5sig key = { .tcpm_keylen = 3, .tcpm_key = "key" };
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	int one = 1, hops = 255;
	struct sockaddr_storage to;

	switch (attribute) {
	case SIGNED:
		address_of(family, SERVER_PORT, &to);
		memcpy(&key.tcpm_addr, &to, sizeof(key.tcpm_addr));
		if (setsockopt(descriptor, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key)))
			world_skip("no TCP_MD5SIG here");
		break;
	case TRANSPARENT:
		/* 198.51.100.7 and 2001:db8::7 are nobody's here. */
		four.sin_addr.s_addr = htonl(0xc6336407);
		six.sin6_addr.s6_addr32[0] = htonl(0x20010db8);
		six.sin6_addr.s6_addr32[3] = htonl(7);
		if (family == MAPPED) {
			six.sin6_addr.s6_addr32[0] = 0;
			six.sin6_addr.s6_addr32[2] = htonl(0xffff);
			six.sin6_addr.s6_addr32[3] = four.sin_addr.s_addr;
		}
		EXPECT(!setsockopt(descriptor, family == V4 ? SOL_IP : SOL_IPV6,
				   family == V4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, &one,
				   sizeof(one)),
		       "%s", strerror(errno));
		if (family == V4)
			EXPECT(!bind(descriptor, (void *)&four, sizeof(four)), "%s",
			       strerror(errno));
		else
			EXPECT(!bind(descriptor, (void *)&six, sizeof(six)), "%s",
			       strerror(errno));
		break;
	case LIMITED:
		EXPECT(!setsockopt(descriptor, family == V6 ? SOL_IPV6 : SOL_IP,
				   family == V6 ? IPV6_MINHOPCOUNT : IP_MINTTL, &hops,
				   sizeof(hops)),
		       "%s", strerror(errno));
		break;
	case NOTHING:
	case ATTRIBUTES:
		break;
	}
}

int main(void)
{
	uint64_t down = 0;

	world_begin(&world, "for_hosts_alone");
	world_up(&world);
	world_policy(&world, 1, NULL);
	listener_of(&world, 0, V4, false);
	listener_of(&world, 0, V6, false);
	as_root(&world);
	world_enter(&world, "app");
	for (int family = 0; family < FAMILIES; family++)
		for (int attribute = 0; attribute < ATTRIBUTES; attribute++) {
			int descriptor = socket_of(family, SOCK_NONBLOCK), result;

			set(descriptor, family, attribute);
			result = connect_socket(descriptor, family, SERVER_PORT);
			EXPECT_RESULT(result == -EINPROGRESS ? 0 : result,
				      attribute ? -ECONNREFUSED : 0);
			down += attribute != NOTHING;
			EXPECT(counter(&world, COUNT_DOWN_BLOCKED) == down, "family %d, %d",
			       family, attribute);
			close(descriptor);
		}
	EXPECT(counter(&world, COUNT_REDIRECTED) == FAMILIES);
	world_end(&world);
}
