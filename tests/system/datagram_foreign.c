// SPDX-License-Identifier: BSD-2-Clause
/*
 * A flow is its client's and its service's: nobody else sends into it, is told of it, takes its
 * port, or sends what its client takes for a reply.
 */
#include <arpa/inet.h>

#include "datagram_tools.h"

static struct world world;
static uint32_t number;

/* The address of the flow, at the service's port. */
static socklen_t flow_address_of(enum family family, uint32_t flow, struct sockaddr_storage *to)
{
	struct sockaddr_in6 *six = (void *)to;
	struct sockaddr_in *four = (void *)to;

	memset(to, 0, sizeof(*to));
	if (family == V4) {
		four->sin_family = AF_INET;
		four->sin_port = htons(SERVICE_PORT(0));
		waybill_flow_address4(flow, &four->sin_addr);
		return sizeof(*four);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(SERVICE_PORT(0));
	waybill_flow_address6(flow, &six->sin6_addr);
	return sizeof(*six);
}

static void send_into(enum family family, int own)
{
	int fd = datagram_socket(family), before = world.seen[0].direct;
	struct sockaddr_storage to;
	socklen_t length = flow_address_of(family, number, &to);
	uint64_t refused = counter(&world, COUNT_FLOW_FOREIGN);

	EXPECT(sendto(fd, "evil", 4, 0, (void *)&to, length) < 0 && errno == ECONNREFUSED);
	EXPECT(connect(fd, (void *)&to, length) < 0 && errno == ECONNREFUSED);
	/* Nor to an address that no flow has. */
	length = flow_address_of(family, (number + 77777) & WAYBILL_FLOW_MASK, &to);
	EXPECT(sendto(fd, "evil", 4, 0, (void *)&to, length) < 0 && errno == ECONNREFUSED);
	EXPECT(counter(&world, COUNT_FLOW_FOREIGN) == refused + 3);
	EXPECT(world.seen[0].direct == before);
	/* Its own client may, who has read it somewhere. */
	length = flow_address_of(family, number, &to);
	EXPECT(sendto(own, "mine", 4, 0, (void *)&to, length) == 4, "%s", strerror(errno));
	datagram_expect(own, family, 0, "mine");
	close(fd);
}

/* What somebody else is told who asks for the flow: by the option's number it is there to try. */
static int ask(void *data)
{
	static const int options[] = { WAYBILL_REDIRECT_RECORDS, WAYBILL_REDIRECT_CONTEXT,
				       WAYBILL_REDIRECT_INFO,    WAYBILL_ORIGINAL_DESTINATION,
				       WAYBILL_FLOW_NEW,         WAYBILL_FLOW_TAKE };
	int wanted = *(int *)data, fd = datagram_socket(V6);
	struct waybill_flow_peer peer = { .flow = number,
					  .peer.family = AF_INET,
					  .peer.port = htons(1) };
	char bytes[WAYBILL_RECORDS_MAX];

	EXPECT(!waybill_bind_datagrams(fd, SERVICE_PORT(1)));
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		socklen_t size = sizeof(bytes);

		EXPECT(getsockopt(fd, SOL_WAYBILL, WAYBILL_OF_FLOW(options[i], number), bytes,
				  &size) < 0 &&
			       errno == wanted,
		       "option %d: %s", options[i], strerror(errno));
	}
	EXPECT(setsockopt(fd, SOL_WAYBILL, WAYBILL_FLOW_PEER, &peer, sizeof(peer)) < 0);
	EXPECT(errno == wanted, "%s", strerror(errno));
	return 0;
}

/* The port of a service that is not there at the moment. */
static int squat(void *data)
{
	struct sockaddr_storage to;
	int fd, one = 1;

	(void)data;
	for (enum family family = V4; family <= V6; family++) {
		fd = datagram_socket(family);
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
		EXPECT(waybill_bind_datagrams(fd, SERVICE_PORT(1)) == -EACCES);
		close(fd);
		fd = datagram_socket(family);
		setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one));
		flow_address_of(family, number, &to);
		((struct sockaddr_in *)&to)->sin_port = htons(SERVICE_PORT(1));
		EXPECT(bind(fd, (void *)&to, sizeof(struct sockaddr_in6)) < 0 && errno == EADDRNOTAVAIL,
		       "%s", strerror(errno));
		close(fd);
	}
	return 0;
}

static ssize_t send_from(int fd, struct in_addr from, struct sockaddr_in *to)
{
	char control[CMSG_SPACE(sizeof(struct in_pktinfo))]
		__attribute__((aligned(8))) = { 0 };
	struct iovec data = { .iov_base = (char *)"fake", .iov_len = 4 };
	struct msghdr message = { .msg_name = to,
				  .msg_namelen = sizeof(*to),
				  .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *at = CMSG_FIRSTHDR(&message);

	at->cmsg_level = SOL_IP;
	at->cmsg_type = IP_PKTINFO;
	at->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
	((struct in_pktinfo *)CMSG_DATA(at))->ipi_spec_dst = from;
	return sendmsg(fd, &message, 0);
}

/* From the flow's address, but not from the service's port. */
static void pretend(int own)
{
	struct sockaddr_storage from, to;
	socklen_t length = flow_address_of(V4, number, &from);
	char data[16];
	int fd = datagram_socket(V4);

	/* Nobody binds it, but a control message may name it. */
	((struct sockaddr_in *)&from)->sin_port = 0;
	EXPECT(bind(fd, (void *)&from, length) && errno == EADDRNOTAVAIL);
	length = sizeof(to);
	EXPECT(!getsockname(own, (void *)&to, &length));
	((struct sockaddr_in *)&to)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT(send_from(fd, ((struct sockaddr_in *)&from)->sin_addr, (void *)&to) == 4, "%s",
	       strerror(errno));
	datagram_wait(own);
	length = sizeof(to);
	EXPECT(recvfrom(own, data, sizeof(data), 0, (void *)&to, &length) == 4);
	datagram_address(V4, 0, &from);
	EXPECT(!same_address(&to, &from), "taken for the peer");
	close(fd);
}

static uint32_t number_now(void)
{
	return world.seen[0].info.flow & WAYBILL_FLOW_MASK;
}

int main(int argc, char **argv)
{
	int own[2], stray, wanted;
	struct sockaddr_in direct = { .sin_family = AF_INET,
				      .sin_port = htons(SERVICE_PORT(0)),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	(void)argv;
	world_begin(&world, "datagram_foreign");
	world.by_user = argc > 1;
	world_up(&world);
	datagram_server(&world);
	datagram_policy(&world, 2, NULL);
	datagram_service(&world, 0, DATAGRAMS_ANSWERS);
	for (enum family family = V4; family <= V6; family++) {
		own[family] = datagram_socket(family);
		datagram_check(own[family], family, 0, "hello");
		number = number_now();
		send_into(family, own[family]);
		/* Another service; its socket was told of nothing. */
		wanted = ENOENT;
		if (world.by_user)
			EXPECT(!world_as(&world, "other", SERVICE_UID(1), ask, &wanted));
		else
			EXPECT(!world_as(&world, "s1", 0, ask, &wanted));
		EXPECT(!world_as(&world, "app", APPLICATION_UID, squat, NULL));
		EXPECT(counter(&world, COUNT_BIND_REFUSED) == 4 * (family + 1), "%lu",
		       counter(&world, COUNT_BIND_REFUSED));
	}
	datagram_check(own[V4], V4, 1, "hello");
	datagram_check(own[V4], V4, 0, "still");
	datagram_check(own[V6], V6, 0, "still");
	number = number_now();
	stray = datagram_socket(V4);
	/* Somebody who dials the service directly: it sees that nobody redirected him. */
	EXPECT(sendto(stray, "x", 1, 0, (void *)&direct, sizeof(direct)) == 1);
	expect_count("stray", &world.seen[0].direct, 1);
	pretend(own[V4]);
	world_end(&world);
}
