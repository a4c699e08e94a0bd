// SPDX-License-Identifier: BSD-2-Clause
/*
 * handoff_share: one user has no more than its share of the handoffs, also if it asks for all of
 * its connections before the first SYN leaves (TCP_FASTOPEN_CONNECT) and completes no handshake;
 * another user's connection meanwhile has its records. All is given back when the sockets close.
 */
#include "records_tools.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#define CONNECTIONS (HANDOFFS_MAX + 500)
#define OTHER_USER (APPLICATION_UID + 1)

static const char policy[] = WORLD_TWO_SERVICES
	"filters:\n"
	"  - { name: a, service: a, action: redirect, match: { remote_port: 8080 } }\n"
	"  - { name: b, service: b, action: redirect, match: { remote_port: 8081 } }\n";

static int greedy[CONNECTIONS];

static void become_other(struct world *world)
{
	as_application(world);
	EXPECT(!setresuid(0, 0, 0) && !setresgid(OTHER_USER, OTHER_USER, 0) &&
	       !setresuid(OTHER_USER, OTHER_USER, 0));
}

/* A program for sockets to which nothing is to come. One for all: each would be compiled. */
static int filter_all(void)
{
	struct bpf_insn drop[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K }, /* r0 = 0 */
				   { .code = BPF_JMP | BPF_EXIT } };
	int program = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "drop", "BSD", drop, 2, NULL);

	EXPECT(program >= 0, "%s", strerror(errno));
	return program;
}

/* A connect of which nothing leaves before the first byte is sent, and that is never answered. */
static int deferred_connect(int filter)
{
	int descriptor = socket_of(V4, SOCK_NONBLOCK), one = 1;

	EXPECT(!setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof(filter)), "%s",
	       strerror(errno));
	if (setsockopt(descriptor, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)) ||
	    setsockopt(descriptor, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &one, sizeof(one)))
		world_skip("no TCP fast open here");
	EXPECT_RESULT(connect_socket(descriptor, V4, SERVER_PORT), 0);
	return descriptor;
}

static void shares_are_zero(struct world *world)
{
	for (uint32_t i = 0, value = 0; i < SHARES_MAX; i++) {
		EXPECT(!bpf_map_lookup_elem(world->instance->map[MAP_SHARES], &i, &value));
		EXPECT(!value, "share %u is %d", i, (int)value);
	}
}

/* A connection through service b, with records. */
static void expect_records(struct world *world, int listener, uid_t user)
{
	struct waybill_info info;
	int client = socket_of(V4, 0), accepted;

	EXPECT_RESULT(connect_socket(client, V4, SERVER_PORT + 1), 0);
	as_service(world, 1);
	accepted = accept_from(listener);
	EXPECT_RESULT(waybill_info_query(accepted, &info), 0);
	EXPECT(info.state == WAYBILL_REDIRECTED_BY_SELF && info.client.uid == user, "user %u",
	       info.client.uid);
	close(accepted);
	close(client);
}

int main(void)
{
	struct rlimit files = { .rlim_cur = CONNECTIONS + 100, .rlim_max = CONNECTIONS + 100 };
	struct world world;
	int listener, entries, client, filter;
	uint64_t lost;

	world_begin(&world, "handoff_share");
	if (setrlimit(RLIMIT_NOFILE, &files))
		world_skip("not enough descriptors");
	world_up(&world);
	EXPECT(!world_apply(&world, policy));
	listener_of(&world, 0, V4, false);
	listener = listener_of(&world, 1, V4, false);

	as_root(&world);
	filter = filter_all();
	as_application(&world);
	for (int i = 0; i < CONNECTIONS; i++)
		greedy[i] = deferred_connect(filter);
	as_root(&world);
	EXPECT(counter(&world, COUNT_REDIRECTED) == CONNECTIONS);
	EXPECT(map_entries(&world, "handoffs") == 0);
	as_application(&world);
	for (int i = 0; i < CONNECTIONS; i++)
		EXPECT(send(greedy[i], "x", 1, MSG_NOSIGNAL) == 1 || errno == EINPROGRESS, "%s",
		       strerror(errno));
	as_root(&world);
	entries = map_entries(&world, "handoffs");
	EXPECT(entries > 0 && entries <= HANDOFF_SHARE, "%d", entries);
	lost = counter(&world, COUNT_HANDOFF_LOST);
	EXPECT(lost == (uint64_t)(CONNECTIONS - entries), "%lu", (unsigned long)lost);
	/* One that asks now is told. */
	as_application(&world);
	client = socket_of(V4, 0);
	EXPECT_RESULT(connect_socket(client, V4, SERVER_PORT + 1), -EAGAIN);
	EXPECT(counted(&world, COUNT_HANDOFF_FULL) == 1);

	become_other(&world);
	expect_records(&world, listener, OTHER_USER);
	EXPECT(counted(&world, COUNT_HANDOFF_LOST) == lost);

	for (int i = 0; i < CONNECTIONS; i++)
		close(greedy[i]);
	as_root(&world);
	for (int i = 0; i < patience(200) && map_entries(&world, "handoffs"); i++)
		usleep(10000);
	EXPECT(map_entries(&world, "handoffs") == 0, "%d", map_entries(&world, "handoffs"));
	shares_are_zero(&world);
	as_application(&world);
	expect_records(&world, listener, APPLICATION_UID);
	as_root(&world);
	world_end(&world);
}
