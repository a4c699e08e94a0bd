// SPDX-License-Identifier: BSD-2-Clause
/*
 * short_address_scope: a connect to a link-local address of 24 bytes, as of before there were
 * scopes, has the scope of the device that the socket is bound to, or none; never what an earlier
 * call left where the scope would be.
 */
#include "records_tools.h"

#include <arpa/inet.h>
#include <net/if.h>

#define SHORT_ADDRESS 24

/* Connects through service a, and returns the scope that a is told. */
static uint32_t scope_told(struct world *world, int listener, uint32_t scope, socklen_t length,
			   const char *device)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6,
					.sin6_port = htons(SERVER_PORT),
					.sin6_scope_id = scope };
	struct waybill_info info;
	int client, accepted;

	inet_pton(AF_INET6, "fe80::66", &address.sin6_addr);
	as_application(world);
	client = socket_of(V6, 0);
	if (device)
		EXPECT(!setsockopt(client, SOL_SOCKET, SO_BINDTODEVICE, device, strlen(device)),
		       "%s", strerror(errno));
	EXPECT(!connect(client, (void *)&address, length), "%s", strerror(errno));
	as_service(world, 0);
	accepted = accept_from(listener);
	EXPECT_RESULT(waybill_info_query(accepted, &info), 0);
	EXPECT(!memcmp(info.original_destination.address, &address.sin6_addr, 16));
	close(accepted);
	close(client);
	return info.original_destination.scope_id;
}

int main(void)
{
	struct world world;
	uint32_t scope;
	int listener;

	world_begin(&world, "short_address_scope");
	world_up(&world);
	world_policy(&world, 1, NULL);
	listener = listener_of(&world, 0, V6, false);
	for (uint32_t i = 0; i < 20; i++) {
		/* Leaves its scope on the kernel's stack. */
		scope_told(&world, listener, 0xdeadbe00 + i, sizeof(struct sockaddr_in6), NULL);
		scope = scope_told(&world, listener, 0xdeadbf00 + i, SHORT_ADDRESS, NULL);
		EXPECT(scope == 0, "%#x", scope);
		scope_told(&world, listener, 0xdeadc000 + i, sizeof(struct sockaddr_in6), NULL);
		scope = scope_told(&world, listener, 0xdeadc100 + i, SHORT_ADDRESS, "lo");
		EXPECT(scope == if_nametoindex("lo"), "%#x", scope);
	}
	as_root(&world);
	world_end(&world);
}
