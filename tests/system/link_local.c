// SPDX-License-Identifier: BSD-2-Clause
/*
 * link_local: an IPv6 link-local destination keeps its interface on the way through a service,
 * which otherwise could not connect to it.
 */
#include "world.h"

#include <arpa/inet.h>
#include <bpf/btf.h>
#include <net/if.h>

/* The context of a connect hook tells how long the address is, and so whether there is a scope. */
static bool kernel_tells_scopes(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *type = NULL;
	int id = btf ? btf__find_by_name_kind(btf, "bpf_sock_addr_kern", BTF_KIND_STRUCT) : -1;
	bool tells = false;

	if (id > 0)
		type = btf__type_by_id(btf, id);
	for (int i = 0; type && i < btf_vlen(type); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_members(type)[i].name_off), "uaddrlen"))
			tells = true;
	btf__free(btf);
	return tells;
}

int main(void)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(8090) };
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);
	struct world world;
	int listener, descriptor;

	world_begin(&world, "link_local");
	if (!kernel_tells_scopes())
		world_skip("a hook is not told the scope of an address before Linux 6.7");
	if (system("ip -6 address add fe80::66/64 dev lo 2>/dev/null"))
		world_skip("no link-local address on lo (iproute2)");
	world_up(&world);
	world_service(&world, 0, SERVICE_RECORDS);
	world_policy(&world, 1, NULL);
	inet_pton(AF_INET6, "fe80::66", &address.sin6_addr);
	address.sin6_scope_id = if_nametoindex("lo");
	listener = socket_of(V6, 0);
	EXPECT(!bind(listener, (void *)&address, sizeof(address)), "%s", strerror(errno));
	EXPECT(!listen(listener, 8));
	descriptor = socket_of(V6, 0);
	EXPECT(!connect(descriptor, (void *)&address, sizeof(address)), "%s", strerror(errno));
	EXPECT(!getpeername(descriptor, (void *)&peer, &size));
	EXPECT(!memcmp(&((struct sockaddr_in6 *)&peer)->sin6_addr, &address.sin6_addr, 16));
	EXPECT(accept(listener, NULL, NULL) >= 0);
	expect_count("service", &world.seen[0].accepted, 1);
	EXPECT(world.seen[0].info.original_destination.scope_id == address.sin6_scope_id);
	world_end(&world);
}
