// SPDX-License-Identifier: BSD-2-Clause
/*
 * The records of a flow come once, with the first datagram that anybody receives: of threads that
 * share the socket one gets them. Looking (MSG_PEEK) takes nothing; what does not fit can be asked
 * for; a second process with a socket of its own is told anew.
 */
#include <pthread.h>

#include "datagram_tools.h"

#define THREADS 4
#define FLOWS 400
#define EACH 5

static struct world world;
static atomic_int firsts[WAYBILL_FLOW_MASK + 1], total;
static int service;

struct arrival {
	ssize_t size;
	int flags;
	uint32_t number; /* 0: none */
	int messages;    /* of ours */
	bool records, destination, context;
};

static struct arrival receive(int fd, size_t room, int flags)
{
	char control[WAYBILL_CONTROL_MAX + 64] __attribute__((aligned(8))), data[64];
	struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = room ? control : NULL,
				  .msg_controllen = room };
	struct arrival arrival = { 0 };

	memset(control, 0xa5, sizeof(control));
	arrival.size = waybill_recvmsg(fd, &message, flags);
	if (arrival.size < 0)
		return arrival;
	arrival.flags = message.msg_flags;
	EXPECT(message.msg_controllen <= room);
	for (size_t i = room; i < sizeof(control); i++)
		EXPECT((unsigned char)control[i] == 0xa5, "written behind the end");
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at)) {
		if (at->cmsg_level != SOL_WAYBILL)
			continue;
		arrival.messages++;
		if (at->cmsg_type == WAYBILL_FLOW)
			memcpy(&arrival.number, CMSG_DATA(at), sizeof(arrival.number));
		arrival.records |= at->cmsg_type == WAYBILL_REDIRECT_RECORDS;
		arrival.destination |= at->cmsg_type == WAYBILL_ORIGINAL_DESTINATION;
		arrival.context |= at->cmsg_type == WAYBILL_REDIRECT_CONTEXT;
	}
	return arrival;
}

static void *receive_all(void *unused)
{
	while (total < FLOWS * EACH) {
		struct arrival arrival = receive(service, WAYBILL_CONTROL_MAX, 0);

		if (arrival.size < 0)
			continue;
		EXPECT(arrival.number && !(arrival.flags & MSG_CTRUNC));
		EXPECT(arrival.records == arrival.destination &&
		       arrival.records == arrival.context);
		if (arrival.records)
			firsts[arrival.number]++;
		total++;
	}
	return unused;
}

static void shared_by_threads(enum family family)
{
	struct timeval patience = { .tv_usec = 200000 };
	pthread_t thread[THREADS];
	struct sockaddr_storage to;
	int fd = datagram_socket(family), found = 0;

	total = 0;
	memset(firsts, 0, sizeof(firsts));
	setsockopt(service, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (int i = 0; i < THREADS; i++)
		EXPECT(!pthread_create(&thread[i], NULL, receive_all, NULL));
	for (int i = 0; i < EACH; i++)
		for (unsigned int n = 0; n < FLOWS; n++) {
			socklen_t length = datagram_address(family, n, &to);

			EXPECT(sendto(fd, "x", 1, 0, (void *)&to, length) == 1);
		}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (uint32_t i = 0; i <= WAYBILL_FLOW_MASK; i++) {
		EXPECT(firsts[i] <= 1, "flow %u was told %d times", i, firsts[i]);
		found += firsts[i];
	}
	EXPECT(found == FLOWS, "%d of %d flows were told", found, FLOWS);
	close(fd);
}

static void room_for_some(void)
{
	static const size_t all = CMSG_SPACE(4) + CMSG_SPACE(sizeof(struct in6_pktinfo)) +
				  CMSG_SPACE(sizeof(struct in_pktinfo)) +
				  CMSG_SPACE(sizeof(struct sockaddr_in)) + CMSG_SPACE(184) +
				  CMSG_SPACE(5);
	struct sockaddr_storage to;
	socklen_t length = datagram_address(V4, 0, &to);
	char bytes[WAYBILL_RECORDS_MAX];
	struct arrival arrival;
	size_t size;

	for (size_t room = 0; room <= all + 8; room++) {
		int fd = datagram_socket(V4);

		EXPECT(sendto(fd, "ab", 2, 0, (void *)&to, length) == 2);
		/* Looking takes nothing. */
		for (int i = 0; i < 2; i++) {
			arrival = receive(service, WAYBILL_CONTROL_MAX, MSG_PEEK);
			EXPECT(arrival.records && arrival.destination && arrival.context);
		}
		arrival = receive(service, room, 0);
		EXPECT(arrival.size == 2);
		EXPECT(!!arrival.number == (room >= CMSG_LEN(4)), "%zu", room);
		EXPECT(!!(arrival.flags & MSG_CTRUNC) == (room && room < all - 3), "%zu: %x", room,
		       arrival.flags);
		if (room >= all)
			EXPECT(arrival.messages == 4, "%zu: %d", room, arrival.messages);
		if (arrival.number) {
			size = sizeof(bytes);
			EXPECT(!waybill_flow_records_query(service, arrival.number, bytes, &size));
			EXPECT(size == 184, "%zu", size);
			size = sizeof(bytes);
			EXPECT(!waybill_flow_context_query(service, arrival.number, bytes, &size));
			EXPECT(size == 5 && !memcmp(bytes, "for a", 5));
			size = 0;
			EXPECT(waybill_flow_records_query(service, arrival.number, NULL, &size) ==
				       -ERANGE &&
			       size == 184);
		}
		/* Who was not told of the flow is told with the next one. */
		EXPECT(sendto(fd, "ab", 2, 0, (void *)&to, length) == 2);
		arrival = receive(service, WAYBILL_CONTROL_MAX, 0);
		EXPECT(arrival.number && arrival.records == (room < CMSG_LEN(4)), "%zu", room);
		close(fd);
	}
}

/* The socket is the service's that made it; we, an application otherwise, make it there. */
static void make_service(void)
{
	world_enter(&world, "s0");
	service = datagram_socket(V6);
	EXPECT(!waybill_bind_datagrams(service, SERVICE_PORT(0)));
}

static void told_anew(void)
{
	struct sockaddr_storage to;
	socklen_t length = datagram_address(V4, 0, &to);
	int fd = datagram_socket(V4);

	EXPECT(sendto(fd, "x", 1, 0, (void *)&to, length) == 1);
	EXPECT(receive(service, WAYBILL_CONTROL_MAX, 0).records);
	close(service);
	make_service();
	world_enter(&world, "app");
	EXPECT(sendto(fd, "x", 1, 0, (void *)&to, length) == 1);
	EXPECT(receive(service, WAYBILL_CONTROL_MAX, 0).records);
	EXPECT(sendto(fd, "x", 1, 0, (void *)&to, length) == 1);
	EXPECT(!receive(service, WAYBILL_CONTROL_MAX, 0).records);
	close(fd);
}

int main(void)
{
	int room = 8 << 20;

	world_begin(&world, "datagram_taken");
	world_up(&world);
	datagram_policy(&world, 1, NULL);
	make_service();
	setsockopt(service, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	/* Whoever holds the service's socket may ask on it. */
	world_enter(&world, "app");
	shared_by_threads(V4);
	shared_by_threads(V6);
	room_for_some();
	told_anew();
	world_end(&world);
}
