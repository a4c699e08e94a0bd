// SPDX-License-Identifier: BSD-2-Clause
/*
 * Full cone: what another address of the peer answers reaches the client as from there, and what
 * the client then says to it goes to the service by the same flow.
 */
#include "datagram_tools.h"

static struct world world;

static void answer(int fd, uint32_t flow, const struct sockaddr_storage *client, socklen_t length,
		   const char *text)
{
	char control[CMSG_SPACE(sizeof(flow))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { .iov_base = (void *)text, .iov_len = strlen(text) };
	struct msghdr message = { .msg_name = (void *)client,
				  .msg_namelen = length,
				  .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *at = (void *)control;
	ssize_t size;

	at->cmsg_level = SOL_WAYBILL;
	at->cmsg_type = WAYBILL_FLOW;
	at->cmsg_len = CMSG_LEN(sizeof(flow));
	memcpy(CMSG_DATA(at), &flow, sizeof(flow));
	size = waybill_sendmsg(fd, &message, 0);
	EXPECT(size == (ssize_t)strlen(text), "%s", strerror(-size));
}

static uint32_t receive(int fd, struct sockaddr_storage *client, socklen_t *length, bool *first)
{
	char control[WAYBILL_CONTROL_MAX] __attribute__((aligned(8))), data[64];
	struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr message = { .msg_name = client,
				  .msg_namelen = sizeof(*client),
				  .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	uint32_t flow = 0;

	datagram_wait(fd);
	EXPECT(waybill_recvmsg(fd, &message, 0) >= 0);
	*length = message.msg_namelen;
	*first = false;
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at)) {
		if (at->cmsg_level == SOL_WAYBILL && at->cmsg_type == WAYBILL_FLOW)
			memcpy(&flow, CMSG_DATA(at), sizeof(flow));
		if (at->cmsg_level == SOL_WAYBILL && at->cmsg_type == WAYBILL_REDIRECT_RECORDS)
			*first = true;
	}
	EXPECT(flow);
	return flow;
}

static void full_cone(enum family family, int service)
{
	enum family plain = family == MAPPED ? V4 : family;
	struct sockaddr_storage to, client, peer, original;
	socklen_t length = datagram_address(family, 0, &to), client_length, peer_length;
	uint32_t flow, other, again;
	struct waybill_info info;
	int fd = datagram_socket(family);
	bool first;

	EXPECT(sendto(fd, "x", 1, 0, (void *)&to, length) == 1);
	flow = receive(service, &client, &client_length, &first);
	EXPECT(first);
	peer_length = datagram_address(plain, 5, &peer);
	((struct sockaddr_in *)&peer)->sin_port = htons(5555);
	EXPECT(!waybill_flow_peer(service, flow, (void *)&peer, peer_length, &other));
	EXPECT(other != flow);
	EXPECT(!waybill_flow_peer(service, flow, (void *)&peer, peer_length, &again));
	EXPECT(again == other, "%u, %u", again, other);
	EXPECT(!waybill_flow_original_destination_query(service, other, &original, &length));
	EXPECT(same_address(&original, &peer));
	EXPECT(!waybill_flow_info_query(service, other, &info));
	EXPECT(info.originator.pid == (uint32_t)getpid() && info.hop_count == 1);

	answer(service, other, &client, client_length, "from the other");
	datagram_wait(fd);
	length = sizeof(original);
	{
		char data[64];
		struct sockaddr_storage wanted;

		EXPECT(recvfrom(fd, data, sizeof(data), 0, (void *)&original, &length) == 14);
		datagram_address(family, 5, &wanted);
		((struct sockaddr_in *)&wanted)->sin_port = htons(5555);
		EXPECT(same_address(&original, &wanted));
	}
	/* Port 5555 is not redirected; but this is a flow that there is. */
	EXPECT(sendto(fd, "x", 1, 0, (void *)&original, length) == 1);
	EXPECT(receive(service, &client, &client_length, &first) == other);
	EXPECT(!first);

	/* Of the other family, of nobody, of a flow that there is not, of a connected socket. */
	peer_length = datagram_address(plain == V4 ? V6 : V4, 5, &peer);
	EXPECT(waybill_flow_peer(service, flow, (void *)&peer, peer_length, &again) == -EINVAL);
	peer_length = datagram_address(plain, 5, &peer);
	((struct sockaddr_in *)&peer)->sin_port = 0;
	EXPECT(waybill_flow_peer(service, flow, (void *)&peer, peer_length, &again) == -EINVAL);
	((struct sockaddr_in *)&peer)->sin_port = htons(1);
	EXPECT(waybill_flow_peer(service, (flow + 777) & WAYBILL_FLOW_MASK, (void *)&peer,
				 peer_length, &again) == -ENOENT);
	EXPECT(waybill_flow_peer(service, 0, (void *)&peer, peer_length, &again) == -ENOENT);
	length = datagram_address(family, 7, &to);
	EXPECT(!connect(fd, (void *)&to, length));
	EXPECT(send(fd, "x", 1, 0) == 1);
	flow = receive(service, &client, &client_length, &first);
	EXPECT(waybill_flow_peer(service, flow, (void *)&peer, peer_length, &again) == -EINVAL);
	close(fd);
}

int main(void)
{
	int service;

	world_begin(&world, "datagram_peer");
	world_up(&world);
	datagram_policy(&world, 1, NULL);
	world_enter(&world, "s0");
	service = datagram_socket(V6);
	EXPECT(!waybill_bind_datagrams(service, SERVICE_PORT(0)));
	world_enter(&world, "app");
	full_cone(V4, service);
	full_cone(V6, service);
	full_cone(MAPPED, service);
	world_end(&world);
}
