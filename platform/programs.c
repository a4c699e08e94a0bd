// SPDX-License-Identifier: BSD-2-Clause
/*
 * The table of the programs of kernel/waybill.bpf.c: which hook each is for, when it is needed, and
 * in which order they are attached. What loads, pins, attaches, renews or examines goes by it.
 */
#include "instance.h"

#include <stdio.h>

/*
 * Within a family in the order of attaching: what a redirect needs comes before it. The last one is
 * the mark that all of the family were attached: of connections that `up` was complete.
 */
static const struct kernel_program table[] = {
	{ "peername4", PROGRAMS_CONNECTIONS, BPF_CGROUP_INET4_GETPEERNAME, "getpeername4" },
	{ "peername6", PROGRAMS_CONNECTIONS, BPF_CGROUP_INET6_GETPEERNAME, "getpeername6" },
	{ "bind4", PROGRAMS_CONNECTIONS, BPF_CGROUP_INET4_BIND, "bind4" },
	{ "bind6", PROGRAMS_CONNECTIONS, BPF_CGROUP_INET6_BIND, "bind6" },
	{ "bound4", PROGRAMS_CONNECTIONS, BPF_CGROUP_INET4_POST_BIND, "post_bind4" },
	{ "bound6", PROGRAMS_CONNECTIONS, BPF_CGROUP_INET6_POST_BIND, "post_bind6" },
	{ "connect6", PROGRAMS_CONNECTIONS, BPF_CGROUP_INET6_CONNECT, "connect6" },
	{ "connect4", PROGRAMS_CONNECTIONS, BPF_CGROUP_INET4_CONNECT, "connect4" },

	/* Before a flow can be made there is what ends it. */
	{ "release", PROGRAMS_DATAGRAMS, BPF_CGROUP_INET_SOCK_RELEASE, "sock_release" },
	{ "recvmsg6", PROGRAMS_DATAGRAMS, BPF_CGROUP_UDP6_RECVMSG, "recvmsg6" },
	{ "recvmsg4", PROGRAMS_DATAGRAMS, BPF_CGROUP_UDP4_RECVMSG, "recvmsg4" },
	{ "sendmsg6", PROGRAMS_DATAGRAMS, BPF_CGROUP_UDP6_SENDMSG, "sendmsg6" },
	{ "sendmsg4", PROGRAMS_DATAGRAMS, BPF_CGROUP_UDP4_SENDMSG, "sendmsg4" },
	{ "datagram6", PROGRAMS_DATAGRAMS, BPF_CGROUP_INET6_CONNECT, "connect6" },
	{ "datagram4", PROGRAMS_DATAGRAMS, BPF_CGROUP_INET4_CONNECT, "connect4" },

	{ "claim", PROGRAMS_OPTIONS, BPF_CGROUP_SOCK_OPS, "sockops" },
	{ "get", PROGRAMS_OPTIONS, BPF_CGROUP_GETSOCKOPT, "getsockopt" },
	{ "set", PROGRAMS_OPTIONS, BPF_CGROUP_SETSOCKOPT, "setsockopt" },

	{ "flows", PROGRAMS_ASKED, BPF_TRACE_ITER, NULL },
};

#define COUNT (sizeof(table) / sizeof(*table))

const struct kernel_program *kernel_program_next(const struct kernel_program *before,
						 unsigned int families)
{
	for (const struct kernel_program *at = before ? before + 1 : table; at < table + COUNT;
	     at++)
		if (at->family & families)
			return at;
	return NULL;
}

const struct kernel_program *kernel_program_of(const char *link)
{
	/* An option hook's link is named after its cgroup: get-123. */
	size_t length = strcspn(link, "-");

	for (size_t i = 0; i < COUNT; i++)
		if (strlen(table[i].name) == length && !strncmp(table[i].name, link, length))
			return &table[i];
	return NULL;
}

const struct kernel_program *kernel_program_last(unsigned int families)
{
	for (size_t i = COUNT; i--;)
		if (table[i].family & families)
			return &table[i];
	return NULL;
}

struct bpf_program *object_program(const struct bpf_object *object,
				   const struct kernel_program *program)
{
	char name[64];

	snprintf(name, sizeof(name), PROGRAM_PREFIX "%s", program->name);
	return bpf_object__find_program_by_name(object, name);
}
