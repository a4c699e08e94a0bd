// SPDX-License-Identifier: BSD-2-Clause
/*
 * Who listens at an address. The kernel's sock_diag is asked for that one socket, which it looks up
 * as bpf_sk_lookup_tcp and bpf_sk_lookup_udp do in the hooks; and it tells what the hooks read of
 * it, the user who made it and the cgroup.
 */
#include "diag.h"
#include "explain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

struct sharing {
	const struct inet_diag_msg *listener;
	bool udp, shared;
	uint64_t cgroup;
};

static int look_beside(void *data, const struct nlmsghdr *answer)
{
	struct sharing *sharing = data;

	if (is_beside(NLMSG_DATA(answer), sharing->listener, sharing->udp))
		sharing->shared = sharing->shared || diag_cgroup(answer) != sharing->cgroup;
	return 0;
}

/* As is_shared_with_strangers in kernel/identity.h. */
static bool is_shared(int descriptor, const struct inet_diag_msg *listener, bool udp,
		      uint64_t cgroup)
{
	struct diag_question ask = diag_question(listener->idiag_family, udp, NLM_F_DUMP);
	struct sharing sharing = { .listener = listener, .udp = udp, .cgroup = cgroup };

	ask.request.id.idiag_sport = listener->id.idiag_sport;
	return !diag_dump(descriptor, &ask.header, look_beside, &sharing) && sharing.shared;
}

static void take(int descriptor, const struct nlmsghdr *header, bool udp, struct listener *listener)
{
	const struct inet_diag_msg *found = NLMSG_DATA(header);

	*listener = (struct listener){
		.uid = found->idiag_uid,
		.inode = found->idiag_inode,
		.cgroup = diag_cgroup(header),
	};
	listener->shared = is_shared(descriptor, found, udp, listener->cgroup);
}

int listener_look_up(const struct waybill_address *endpoint, bool udp, struct listener *listener)
{
	struct diag_question ask = diag_question(endpoint->family, udp, 0);
	/* Of datagram sockets it takes source and destination the other way round. */
	__be32 *address = udp ? ask.request.id.idiag_dst : ask.request.id.idiag_src;
	int descriptor = diag_open();
	union {
		struct nlmsghdr header;
		char bytes[4096];
	} answer;
	ssize_t length;
	int error = 0;

	if (descriptor < 0)
		return descriptor;
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
