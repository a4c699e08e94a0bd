// SPDX-License-Identifier: BSD-2-Clause
/*
 * Who holds an address that is to be a number's, from before there was an instance. sock_diag is
 * asked in each network namespace, and leaves out in the kernel what is bound elsewhere. (Linux
 * before 6.8 does not tell of a TCP socket that is bound and neither listens nor is connected.)
 */
#include <arpa/inet.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "explain.h"
#include "instance.h"

/* What is local to a socket that is wanted: a program for inet_diag, of one step. */
struct prefix_question {
	struct diag_question ask;
	struct nlattr attribute;
	struct inet_diag_bc_op step;
	struct inet_diag_hostcond condition;
	__be32 address[4];
};

/* The ranges of IPv4 are asked for as one. */
#define RANGES4 WAYBILL_FLOW_ADDRESS4
#define RANGES4_LENGTH 11
_Static_assert((WAYBILL_FLOW_ADDRESS4 ^ CONNECTION_ADDRESS4) == 1U << (32 - RANGES4_LENGTH - 1) &&
		       WAYBILL_FLOW_MASK == CONNECTION_MASK &&
		       WAYBILL_FLOW_MASK == (1U << (32 - RANGES4_LENGTH - 1)) - 1,
	       "they are the halves of one prefix");

struct search {
	struct instance *instance;
	int (*each)(void *data, const struct address_holder *holder);
	void *data;
	struct policy_image image; /* lines 0: no policy is in force */
	struct explanation explanation;
	struct socket_holders holders;
	bool holders_read;
	bool udp; /* what is asked for now */
};

/*
 * Clients that were redirected are connected from such addresses within this host: by this
 * instance, by one that was there before, or used again since. One that has bound it himself is not
 * to be told from them, and in nobody's way as long as he is connected.
 */
static bool is_client(const struct inet_diag_msg *socket, const struct waybill_address *local)
{
	struct waybill_address remote = diag_address(socket, true);
	uint32_t address;

	memcpy(&address, local->address + 12, sizeof(address));
	return local->family == AF_INET &&
	       (ntohl(address) & ~CONNECTION_MASK) == CONNECTION_ADDRESS4 &&
	       remote.address[12] == 127;
}

/* One that was accepted has the address that it was dialled at; its listener may be on all. */
static bool is_accepted(const struct waybill_address *local)
{
	struct listener who;

	return !listener_look_up(local, false, &who);
}

/* A service may bind a flow's address to answer from it. */
static bool is_service(struct search *search, const struct inet_diag_msg *socket,
		       const struct waybill_address *local, const char *cgroup)
{
	const struct policy_header *header = (const void *)search->image.line;
	const struct policy_service *service;
	uint64_t who;

	if (!search->image.lines || !cgroup)
		return false;
	who = explain_identity(&search->explanation, socket->idiag_uid, cgroup, true);
	for (uint32_t slot = 0; slot < header->services && slot < POLICY_SERVICES_MAX; slot++) {
		service = policy_service(&search->image, header, slot);
		if (service && service->udp_port == local->port && who >> slot & 1)
			return true;
	}
	return false;
}

static unsigned int process_of(struct search *search, unsigned long inode)
{
	if (!search->holders_read && socket_holders_read(&search->holders))
		return 0;
	search->holders_read = true;
	return socket_holder_find(&search->holders, inode);
}

static int look_at(void *data, const struct nlmsghdr *answer)
{
	const struct inet_diag_msg *socket = NLMSG_DATA(answer);
	struct search *search = data;
	struct address_holder holder = {
		.address = diag_address(socket, false),
		.udp = search->udp,
		.uid = socket->idiag_uid,
	};
	char room[PATH_MAX], *cgroup = room;

	/* What nobody has open is only the end of a connection. */
	if (!socket->idiag_inode)
		return 0;
	if (!search->udp && socket->id.idiag_dport &&
	    (is_client(socket, &holder.address) || is_accepted(&holder.address)))
		return 0;
	holder.pid = process_of(search, socket->idiag_inode);
	/* Of a cgroup that is gone it is not known what it was below. */
	if (cgroup_path(diag_cgroup(answer), room, sizeof(room)) &&
	    (!holder.pid || cgroup_of_process(holder.pid, room, sizeof(room))))
		cgroup = NULL;
	if (cgroup && !cgroup_is_below(cgroup, search->instance->control.cgroup_path))
		return 0;
	if (search->udp && is_service(search, socket, &holder.address, cgroup))
		return 0;
	return search->each(search->data, &holder);
}

/* prefix: of so many bits, in that family, which need not be the sockets'. */
static int ask(struct search *search, int descriptor, uint8_t sockets, uint8_t family,
	       const void *prefix, uint8_t bits)
{
	size_t size = family == AF_INET ? 4 : 16;
	size_t length = sizeof(struct inet_diag_bc_op) + sizeof(struct inet_diag_hostcond) + size;
	struct prefix_question question = {
		.ask = diag_question(sockets, search->udp, NLM_F_DUMP),
		.attribute = { .nla_len = NLA_HDRLEN + length, .nla_type = INET_DIAG_REQ_BYTECODE },
		/* Behind its end is yes; further behind is no. */
		.step = { .code = INET_DIAG_BC_S_COND, .yes = length, .no = length + 4 },
		.condition = { .family = family, .prefix_len = bits, .port = -1 },
	};

	memcpy(question.address, prefix, size);
	question.ask.header.nlmsg_len += NLA_HDRLEN + length;
	return diag_dump(descriptor, &question.ask.header, look_at, search);
}

/* In the network namespace of the calling thread. */
static int ask_here(void *data, struct message *message)
{
	static const uint8_t ranges6[] = WAYBILL_FLOW_PREFIX6;
	uint8_t prefix6[16] = { 0 };
	uint32_t ranges4 = htonl(RANGES4);
	struct search *search = data;
	int descriptor = diag_open(), error = 0;

	if (descriptor < 0)
		return fail(message, descriptor, "sock_diag: %s", strerror(-descriptor));
	memcpy(prefix6, ranges6, sizeof(ranges6));
	for (int udp = 0; !error && udp < 2; udp++) {
		search->udp = udp;
		error = ask(search, descriptor, AF_INET, AF_INET, &ranges4, RANGES4_LENGTH);
		if (!error)
			error = ask(search, descriptor, AF_INET6, AF_INET, &ranges4,
				    RANGES4_LENGTH);
		if (!error)
			error = ask(search, descriptor, AF_INET6, AF_INET6, prefix6,
				    8 * sizeof(ranges6));
	}
	close(descriptor);
	return error < 0 ? fail(message, error, "the kernel does not tell of its sockets: %s",
				strerror(-error)) :
			   error;
}

int instance_address_holders(struct instance *instance,
			     int (*each)(void *data, const struct address_holder *holder),
			     void *data, struct message *message)
{
	struct search *search = calloc(1, sizeof(*search));
	int error;

	if (!search)
		return fail(message, -ENOMEM, "out of memory");
	search->instance = instance;
	search->each = each;
	search->data = data;
	error = instance_policy(instance, &search->image, message);
	if (!error)
		error = explain_begin(&search->explanation, &search->image, &instance->control,
				      message);
	if (error == -ENOENT && !search->image.lines)
		error = 0;
	if (!error)
		error = netns_each(ask_here, search, message);
	free(search->image.line);
	socket_holders_free(&search->holders);
	free(search);
	return error;
}
