// SPDX-License-Identifier: BSD-2-Clause
/*
 * others_programs: another sockops program, above ours and below, that sets what events a socket
 * tells of as it likes, takes nothing from us: no connection is without its record, and what is
 * aborted is over when it is.
 */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/tcp.h>

#include "world.h"


/* bpf_sock_ops_cb_flags_set(ctx, 0); return 0 */
static int forgetful(void)
{
	struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_sock_ops_cb_flags_set },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int program = bpf_prog_load(BPF_PROG_TYPE_SOCK_OPS, "forgetful", "GPL", code, 4, NULL);

	EXPECT(program >= 0, "%s", strerror(errno));
	return program;
}

static void attach(struct world *world, const char *leaf)
{
	char path[512];
	int cgroup;

	snprintf(path, sizeof(path), "%s%s/%s", world->mount, world->cgroup, leaf);
	cgroup = open(path, O_RDONLY | O_DIRECTORY);
	EXPECT(cgroup >= 0, "%s: %s", path, strerror(errno));
	EXPECT(bpf_link_create(forgetful(), cgroup, BPF_CGROUP_SOCK_OPS, NULL) >= 0, "%s",
	       strerror(errno));
	close(cgroup);
}

int main(void)
{
	struct linger reset = { .l_onoff = 1 };
	struct world world;

	world_begin(&world, "others_programs");
	attach(&world, "app");
	attach(&world, "s0");
	world.connections = 1024;
	world_up(&world);
	world_server(&world);
	world_service(&world, 0, SERVICE_RECORDS);
	world_policy(&world, 1, NULL);
	attach(&world, "");
	for (int i = 0; i < 6000; i++) {
		struct sockaddr_storage to;
		socklen_t length = address_of(i % FAMILIES, SERVER_PORT, &to);
		int descriptor = socket_of(i % FAMILIES, i % 4 ? SOCK_NONBLOCK : 0);

		EXPECT(!connect(descriptor, (void *)&to, length) || errno == EINPROGRESS,
		       "connection %d: %s", i, strerror(errno));
		if (i % 4 == 0)
			echo_check(descriptor, "x");
		else if (i % 4 == 1)
			setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(descriptor);
	}
	EXPECT(world.seen[0].direct == 0, "%d", world.seen[0].direct);
	EXPECT(counter(&world, COUNT_UNCLAIMED) == 0);
	EXPECT(connections_counted(&world) < 512, "%d", connections_counted(&world));
	world_end(&world);
}
