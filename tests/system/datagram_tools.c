// SPDX-License-Identifier: BSD-2-Clause
#include "datagram_tools.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#define FLOWS_MAX_HERE 65536

/* A flow as a service has it. */
struct service_flow {
	uint32_t number;
	int onward; /* 0: none */
	struct sockaddr_storage client;
	socklen_t client_length;
};

static struct service_flow flows[FLOWS_MAX_HERE];

/*
 * Of a number; makes one if it is wanted. They are not given back, and a flood has more of them in
 * time than there is room: then all are forgotten.
 */
static struct service_flow *flow_at(uint32_t number, bool make)
{
	static size_t made;

	if (make && made > FLOWS_MAX_HERE / 2) {
		for (size_t i = 0; i < FLOWS_MAX_HERE; i++)
			if (flows[i].onward)
				close(flows[i].onward);
		memset(flows, 0, sizeof(flows));
		made = 0;
	}
	for (size_t i = 0; i < FLOWS_MAX_HERE; i++) {
		struct service_flow *flow = &flows[(number + i) % FLOWS_MAX_HERE];

		if (flow->number == number)
			return flow;
		if (!flow->number) {
			flow->number = make ? number : 0;
			made += make;
			return make ? flow : NULL;
		}
	}
	return NULL;
}

static const void *message_find(struct msghdr *message, int type, size_t *size)
{
	for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
		if (at->cmsg_level != SOL_WAYBILL || at->cmsg_type != type)
			continue;
		*size = at->cmsg_len - CMSG_LEN(0);
		return CMSG_DATA(at);
	}
	return NULL;
}

static int send_with_records(int onward, const void *data, size_t size, const void *to,
			     size_t to_length, const void *records, size_t records_size)
{
	char control[WAYBILL_CONTROL_MAX] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
	struct msghdr message = { .msg_name = (void *)to,
				  .msg_namelen = to_length,
				  .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = CMSG_SPACE(records_size) };
	struct cmsghdr *at = (void *)control;
	ssize_t sent;

	at->cmsg_level = SOL_WAYBILL;
	at->cmsg_type = WAYBILL_REDIRECT_RECORDS;
	at->cmsg_len = CMSG_LEN(records_size);
	memcpy(CMSG_DATA(at), records, records_size);
	sent = waybill_sendmsg(onward, &message, 0);
	return sent < 0 ? sent : 0;
}

/* The onward socket of a new flow, and its first datagram on it. Returns a negative errno, or 0. */
static int flow_open(int fd, enum datagram_kind kind, struct service_flow *flow,
		     struct msghdr *message, const void *data, size_t size, struct seen *seen)
{
	const void *destination, *records, *context;
	size_t length, records_size, context_size;
	int result = 0;

	destination = message_find(message, WAYBILL_ORIGINAL_DESTINATION, &length);
	records = message_find(message, WAYBILL_REDIRECT_RECORDS, &records_size);
	context = message_find(message, WAYBILL_REDIRECT_CONTEXT, &context_size);
	if (!destination || !records)
		return -EBADMSG;
	memcpy(seen->records, records, records_size);
	seen->records_size = records_size;
	seen->context_size = context ? (ssize_t)context_size : -ENODATA;
	if (context)
		memcpy(seen->context, context, context_size);
	memcpy(&seen->original, destination, length);
	result = waybill_flow_info_query(fd, flow->number, &seen->info);
	if (result || kind == DATAGRAMS_ANSWERS)
		return result;
	flow->onward = socket(seen->original.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (kind == DATAGRAMS_MESSAGES)
		return send_with_records(flow->onward, data, size, destination, length, records,
					 records_size);
	if (kind == DATAGRAMS_RECORDS)
		result = waybill_flow_forward(fd, flow->number, flow->onward);
	if (!result && connect(flow->onward, destination, length))
		result = -errno;
	if (!result && send(flow->onward, data, size, 0) < 0)
		result = -errno;
	return result;
}

static void flow_reply(int fd, struct service_flow *flow, const void *data, size_t size)
{
	char control[CMSG_SPACE(sizeof(uint32_t))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
	struct msghdr message = { .msg_name = &flow->client,
				  .msg_namelen = flow->client_length,
				  .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *at = (void *)control;

	at->cmsg_level = SOL_WAYBILL;
	at->cmsg_type = WAYBILL_FLOW;
	at->cmsg_len = CMSG_LEN(sizeof(uint32_t));
	memcpy(CMSG_DATA(at), &flow->number, sizeof(uint32_t));
	if (waybill_sendmsg(fd, &message, 0) < 0)
		fprintf(stderr, "reply: %s\n", strerror(errno));
}

static void text_of(const struct sockaddr_storage *address, char text[64])
{
	const struct sockaddr_in6 *six = (const void *)address;
	const struct sockaddr_in *four = (const void *)address;

	if (address->ss_family == AF_INET)
		inet_ntop(AF_INET, &four->sin_addr, text, 64);
	else if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
		inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, text, 64);
	else
		inet_ntop(AF_INET6, &six->sin6_addr, text, 64);
}

/* A datagram of a client. */
static void from_client(int fd, int epoll, enum datagram_kind kind, struct seen *seen)
{
	char control[WAYBILL_CONTROL_MAX] __attribute__((aligned(8))), data[65536], answer[66000];
	struct sockaddr_storage client;
	struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr message = { .msg_name = &client,
				  .msg_namelen = sizeof(client),
				  .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	ssize_t size = waybill_recvmsg(fd, &message, MSG_DONTWAIT);
	struct service_flow *flow;
	const uint32_t *number;
	size_t length;
	int result;

	if (size < 0)
		return;
	number = message_find(&message, WAYBILL_FLOW, &length);
	if (!number) {
		seen->direct++;
		return;
	}
	flow = flow_at(*number, true);
	flow->client = client;
	flow->client_length = message.msg_namelen;
	seen->peer = client;
	if (message_find(&message, WAYBILL_REDIRECT_RECORDS, &length)) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = flow };

		seen->accepted++;
		if (flow->onward)
			close(flow->onward);
		flow->onward = 0;
		result = flow_open(fd, kind, flow, &message, data, size, seen);
		if (result) {
			seen->last_error = -result;
			seen->failed++;
		}
		if (flow->onward)
			epoll_ctl(epoll, EPOLL_CTL_ADD, flow->onward, &event);
		if (kind != DATAGRAMS_ANSWERS)
			return;
	}
	if (kind == DATAGRAMS_ANSWERS) {
		struct sockaddr_storage to;
		socklen_t to_length;
		char text[64];

		if (waybill_flow_original_destination_query(fd, *number, &to, &to_length))
			return;
		text_of(&to, text);
		length = snprintf(answer, sizeof(answer), "%s|%.*s", text, (int)size, data);
		flow_reply(fd, flow, answer, length);
	} else if (kind == DATAGRAMS_MESSAGES) {
		struct sockaddr_storage to;
		socklen_t to_length;

		if (flow->onward &&
		    !waybill_flow_original_destination_query(fd, *number, &to, &to_length))
			sendto(flow->onward, data, size, 0, (void *)&to, to_length);
	} else if (flow->onward && send(flow->onward, data, size, 0) < 0) {
		seen->failed++;
	}
}

static void serve(struct seen *seen, int port, enum datagram_kind kind)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), room = 8 << 20, count, result;
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct epoll_event event = { .events = EPOLLIN }, ready[64];
	char data[65536];
	ssize_t size;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	result = waybill_bind_datagrams(fd, port);
	if (result) {
		fprintf(stderr, "datagrams, port %d: %s\n", port, strerror(-result));
		_exit(1);
	}
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	seen->ready = 1;
	for (;;) {
		count = epoll_wait(epoll, ready, 64, -1);
		for (int i = 0; i < count; i++) {
			struct service_flow *flow = ready[i].data.ptr;

			if (!flow) {
				from_client(fd, epoll, kind, seen);
				continue;
			}
			size = recv(flow->onward, data, sizeof(data), MSG_DONTWAIT);
			if (size >= 0)
				flow_reply(fd, flow, data, size);
		}
	}
}

void datagram_service(struct world *world, int i, enum datagram_kind kind)
{
	if (world_service_fork(world, i))
		serve(&world->seen[i], SERVICE_PORT(i), kind);
	expect_count("service ready", &world->seen[i].ready, 1);
}

static void answer_forever(struct seen *seen)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1, room = 8 << 20;
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(SERVER_PORT) };
	char data[66000], text[64], control[256] __attribute__((aligned(8)));
	struct sockaddr_storage client;
	struct in6_pktinfo info;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one));
	EXPECT(!bind(fd, (void *)&any, sizeof(any)));
	seen->ready = 1;
	for (;;) {
		struct iovec iov = { .iov_base = data + 64, .iov_len = 65536 };
		struct msghdr message = { .msg_name = &client,
					  .msg_namelen = sizeof(client),
					  .msg_iov = &iov,
					  .msg_iovlen = 1,
					  .msg_control = control,
					  .msg_controllen = sizeof(control) };
		ssize_t size = recvmsg(fd, &message, 0);
		struct sockaddr_in6 to = { .sin6_family = AF_INET6 };
		struct cmsghdr *at = CMSG_FIRSTHDR(&message);
		size_t length;

		if (size < 0 || !at)
			continue;
		memcpy(&info, CMSG_DATA(at), sizeof(info));
		info.ipi6_ifindex = 0;
		memcpy(CMSG_DATA(at), &info, sizeof(info));
		to.sin6_addr = info.ipi6_addr;
		text_of((void *)&to, text);
		strcat(text, "|");
		length = strlen(text);
		memcpy(data + 64 - length, text, length);
		iov.iov_base = data + 64 - length;
		iov.iov_len = size + length;
		seen->accepted++;
		seen->peer = client;
		sendmsg(fd, &message, 0);
	}
}

void datagram_server(struct world *world)
{
	EXPECT(!system("ip -6 route add local fd66::/64 dev lo"));
	if (world_server_fork(world))
		answer_forever(SERVER_SEEN(world));
	expect_count("server ready", &SERVER_SEEN(world)->ready, 1);
}

void datagram_policy(struct world *world, int services, const char *limits)
{
	world_policy_for(world, "udp", services, limits, NULL);
}

void datagram_name(enum family family, unsigned int n, char text[64])
{
	struct sockaddr_storage address;

	datagram_address(family, n, &address);
	text_of(&address, text);
}

socklen_t datagram_address(enum family family, unsigned int n, struct sockaddr_storage *address)
{
	socklen_t length = address_of(family, SERVER_PORT, address);
	struct sockaddr_in6 *six = (void *)address;
	struct sockaddr_in *four = (void *)address;
	uint32_t low = htonl((family == V6 ? 0 : 0x7f420000) + 1 + n);

	if (family == V4)
		four->sin_addr.s_addr = low;
	else
		memcpy(six->sin6_addr.s6_addr + 12, &low, sizeof(low));
	return length;
}

int datagram_socket(enum family family)
{
	int fd = socket(family == V4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	EXPECT(fd >= 0);
	return fd;
}

bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	struct waybill_address x, y;

	return !waybill_address_from_sockaddr((void *)a, sizeof(*a), &x) &&
	       !waybill_address_from_sockaddr((void *)b, sizeof(*b), &y) &&
	       !memcmp(&x, &y, sizeof(x)) && a->ss_family == b->ss_family;
}

void datagram_wait(int descriptor)
{
	struct pollfd wait = { .fd = descriptor, .events = POLLIN };

	EXPECT(poll(&wait, 1, patience(2000)) == 1, "nothing came");
}

void datagram_expect(int descriptor, enum family family, unsigned int n, const char *text)
{
	struct sockaddr_storage from, wanted;
	socklen_t length = sizeof(from);
	char data[2048], name[64], all[2048];
	ssize_t size;

	datagram_wait(descriptor);
	size = recvfrom(descriptor, data, sizeof(data) - 1, 0, (void *)&from, &length);
	EXPECT(size >= 0, "%s", strerror(errno));
	data[size] = '\0';
	datagram_name(family, n, name);
	snprintf(all, sizeof(all), "%s|%s", name, text);
	EXPECT(!strcmp(data, all), "\"%s\", not \"%s\"", data, all);
	datagram_address(family, n, &wanted);
	text_of(&from, name);
	EXPECT(same_address(&from, &wanted), "%s", name);
}

void datagram_check(int descriptor, enum family family, unsigned int n, const char *text)
{
	struct sockaddr_storage to;
	socklen_t length = datagram_address(family, n, &to);

	EXPECT(sendto(descriptor, text, strlen(text), 0, (void *)&to, length) ==
		       (ssize_t)strlen(text),
	       "%s", strerror(errno));
	datagram_expect(descriptor, family, n, text);
}

enum family family_of(const char *text)
{
	return !strcmp(text, "v6") ? V6 : !strcmp(text, "mapped") ? MAPPED : V4;
}

void servers_listen(uint16_t first, uint16_t last)
{
	for (uint16_t port = first; port <= last; port++) {
		for (enum family family = V4; family <= V6; family++) {
			struct sockaddr_storage address;
			socklen_t length = address_of(family, port, &address);
			int stream = socket_of(family, 0), datagrams = datagram_socket(family);
			int one = 1, error = -1;

			setsockopt(stream, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
			/* The kernel finishes adding an IPv6 address a moment later. */
			for (int try = 0; error && try < patience(200); try++) {
				error = bind(stream, (void *)&address, length);
				if (error)
					usleep(10000);
			}
			EXPECT(!error && !listen(stream, 8), "%s", strerror(errno));
			EXPECT(!bind(datagrams, (void *)&address, length));
		}
	}
}
