// SPDX-License-Identifier: BSD-2-Clause
/*
 * The programs for datagrams are loaded and attached by the first policy that redirects any, not by
 * `up`, and stay with a policy that redirects none. `up` renews them like the others: while
 * datagrams flow none gets past the service; and makes a link again that somebody removed.
 */
#include "datagram_tools.h"

#include <bpf/bpf.h>
#include <pthread.h>

#define PROGRAMS_OF_DATAGRAMS 7

static struct world world;
static atomic_int stop, sent, unanswered;

/* How many programs on sendmsg there are in the kernel that work on this instance's tables. */
static int loaded(void)
{
	struct bpf_map_info table = {};
	uint32_t size = sizeof(table), id = 0;
	int count = 0;

	EXPECT(!bpf_obj_get_info_by_fd(world.instance->map[MAP_FLOW_INDEX], &table, &size));
	while (!bpf_prog_get_next_id(id, &id)) {
		uint32_t maps[64];
		struct bpf_prog_info info = { .nr_map_ids = 64, .map_ids = (uintptr_t)maps };
		int program = bpf_prog_get_fd_by_id(id);

		size = sizeof(info);
		if (program < 0)
			continue;
		if (!bpf_obj_get_info_by_fd(program, &info, &size) &&
		    !strcmp(info.name, "waybill_sendmsg"))
			for (uint32_t i = 0; i < info.nr_map_ids && i < 64; i++)
				count += maps[i] == table.id;
		close(program);
	}
	return count;
}

/* The links of datagrams: how many, with which programs, and how many of them do not work. */
struct links {
	int count, wrong;
	uint32_t program[PROGRAMS_OF_DATAGRAMS];
};

static int on_link(void *data, const struct link_report *report)
{
	const struct kernel_program *program = kernel_program_of(report->name);
	struct links *links = data;

	if (program && program->family == PROGRAMS_DATAGRAMS) {
		EXPECT(links->count < PROGRAMS_OF_DATAGRAMS);
		links->program[links->count++] = report->program;
		links->wrong += report->state != LINK_EFFECTIVE;
	}
	return 0;
}

static struct links links(void)
{
	struct links links = {};
	struct message message = {};

	EXPECT(!instance_links(world.instance, on_link, &links, &message), "%s", message.text);
	return links;
}

/* A new socket for each datagram, so that every one of them is decided on. No server answers. */
static void *send_forever(void *unused)
{
	while (!stop) {
		enum family family = sent % 2 ? V6 : V4;
		int descriptor = datagram_socket(family);
		struct timeval patience = { .tv_sec = 2 };
		struct sockaddr_storage to;
		socklen_t length = datagram_address(family, 0, &to);
		char answer[128];

		setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (sendto(descriptor, "x", 1, 0, (void *)&to, length) != 1 ||
		    recv(descriptor, answer, sizeof(answer), 0) <= 0)
			unanswered++;
		sent++;
		close(descriptor);
		usleep(1000);
	}
	return NULL;
}

static void renew(void)
{
	struct message message = {};
	bool renewed;

	EXPECT(!instance_up(world.name, world.cgroup, 0, &renewed, &message) && renewed, "%s",
	       message.text);
}

int main(void)
{
	struct links before, after;
	char pin[256];
	pthread_t thread;

	world_begin(&world, "datagram_programs");
	world_up(&world);
	EXPECT(!loaded() && !links().count, "up loads them");
	world_policy(&world, 1, NULL);
	renew();
	EXPECT(!loaded() && !links().count, "a policy without datagrams loads them");
	datagram_policy(&world, 1, NULL);
	EXPECT(loaded() == 2, "%d", loaded());
	before = links();
	EXPECT(before.count == PROGRAMS_OF_DATAGRAMS && !before.wrong);

	/* Renewed, each of them, and without a gap. */
	datagram_service(&world, 0, DATAGRAMS_ANSWERS);
	pthread_create(&thread, NULL, send_forever, NULL);
	for (int round = 0; round < 3; round++)
		renew();
	stop = 1;
	pthread_join(thread, NULL);
	EXPECT(sent > 20 && !unanswered, "%d of %d", unanswered, sent);
	EXPECT(!world.seen[0].direct);
	after = links();
	EXPECT(after.count == PROGRAMS_OF_DATAGRAMS && !after.wrong);
	for (int i = 0; i < PROGRAMS_OF_DATAGRAMS; i++)
		EXPECT(after.program[i] != before.program[i], "link %d", i);

	/* They stay. One that is gone is missed, also where the others are, and made again. */
	world_policy(&world, 1, NULL);
	EXPECT(links().count == PROGRAMS_OF_DATAGRAMS && !links().wrong);
	snprintf(pin, sizeof(pin), "%s/links/sendmsg4", world.instance->directory);
	EXPECT(!unlink(pin));
	EXPECT(links().wrong == 1);
	renew();
	EXPECT(!links().wrong);
	EXPECT(!unlink(pin));
	datagram_policy(&world, 1, NULL);
	EXPECT(!links().wrong);
	world_end(&world);
}
