// SPDX-License-Identifier: BSD-2-Clause
/*
 * options_garbage: every option at every level near ours, asked and set by a service with sizes from
 * none to far too much, at any alignment, with memory that is not there, on every kind of socket.
 * Nothing is taken, nothing is written but the answer, and within its size; and afterwards the
 * connection's records are what they were, and good.
 */
#include "records_tools.h"

#include <limits.h>
#include <sys/mman.h>

#define ROOM 70000
#define CANARY 64
#define UNTOUCHED 0xa5

static struct world world;
static unsigned char memory[CANARY + 8 + ROOM + CANARY], genuine[WAYBILL_RECORDS_MAX];
static size_t genuine_size;
static unsigned int random_state = 1, answers, refusals;

static unsigned int random_below(unsigned int most)
{
	random_state = random_state * 1103515245 + 12345;
	return (random_state >> 8) % most;
}

static const socklen_t sizes[] = { 0,   1,   3,   4,   8,    16,   40,   63,   64,   128,  159,
				   160, 161, 255, 512, 1023, 1024, 1025, 4095, 4096, 4097, 65536 };
#define SIZES (sizeof(sizes) / sizeof(*sizes))

/* Ours, those that are asked of flows, their neighbours, and others. */
static int option_at(unsigned int i)
{
	static const int named[] = { WAYBILL_FLOW_RECORDS, WAYBILL_FLOW_PEER, -1, INT_MIN,
				     INT_MAX };
	const unsigned int names = sizeof(named) / sizeof(*named);

	if (i < 8)
		return i;
	if (i < 8 + names)
		return named[i - 8];
	return (int)(1 + random_below(8)) << WAYBILL_FLOW_BITS | random_below(4);
}

#define OPTIONS 24

static bool is_untouched(const unsigned char *from, size_t size)
{
	return !size || (from[0] == UNTOUCHED && !memcmp(from, from + 1, size - 1));
}

static void ask(int descriptor, int level, int option, socklen_t room, unsigned int shift)
{
	unsigned char *value = memory + CANARY + shift;
	socklen_t size = room;
	int error;

	memset(memory, UNTOUCHED, sizeof(memory));
	error = getsockopt(descriptor, level, option, value, &size) ? errno : 0;
	if (error)
		refusals++;
	else
		answers++;
	/* Of a refusal nothing is to be seen, of an answer nothing around it. */
	EXPECT(error || size <= room, "option %d: %u bytes in %u", option, size, room);
	size = error ? 0 : size;
	EXPECT(is_untouched(memory, value - memory) &&
		       is_untouched(value + size, memory + sizeof(memory) - value - size),
	       "option %d, %u bytes", option, room);
}

/* Random bytes, or genuine records of which one bit is turned. */
static void set(int descriptor, int level, int option, socklen_t size, unsigned int shift)
{
	unsigned char *value = memory + CANARY + shift;

	for (size_t i = 0; i < size; i++)
		value[i] = random_below(256);
	if (size >= genuine_size && random_below(4)) {
		memcpy(value, genuine, genuine_size);
		value[random_below(genuine_size)] ^= 1 << random_below(8);
	}
	EXPECT(setsockopt(descriptor, level, option, value, size) < 0, "option %d, %u bytes",
	       option, size);
	refusals++;
}

static void bad_memory(int descriptor, int option)
{
	void *hole = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *const places[] = { NULL, (void *)1, hole + 4096, hole + 4096 - 8, (void *)-4096L };
	socklen_t size;

	EXPECT(hole != MAP_FAILED && !munmap(hole + 4096, 4096));
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		for (size_t j = 1; j < SIZES; j++) {
			size = sizes[j];
			getsockopt(descriptor, SOL_WAYBILL, option, places[i], &size);
			EXPECT(setsockopt(descriptor, SOL_WAYBILL, option, places[i], size) < 0);
		}
	for (int i = 0; i < 2; i++) {
		size = i ? INT_MAX : -1;
		getsockopt(descriptor, SOL_WAYBILL, option, memory, &size);
		EXPECT(setsockopt(descriptor, SOL_WAYBILL, option, memory, i ? INT_MAX : -1) < 0);
	}
	getsockopt(descriptor, SOL_WAYBILL, option, memory, NULL);
	munmap(hole, 4096);
}

static void torment(int descriptor)
{
	static const int levels[] = { SOL_WAYBILL, SOL_WAYBILL - 1, SOL_WAYBILL | 1 << 16,
				      -SOL_WAYBILL };

	for (unsigned int i = 0; i < 100; i++)
		set(descriptor, SOL_WAYBILL, WAYBILL_REDIRECT_RECORDS, genuine_size, i % 8);
	for (unsigned int i = 0; i < OPTIONS; i++) {
		int option = option_at(i);

		for (size_t j = 0; j < SIZES; j++)
			for (size_t level = 0; level < sizeof(levels) / sizeof(*levels); level++) {
				ask(descriptor, levels[level], option, sizes[j], random_below(8));
				set(descriptor, levels[level], option, sizes[j], random_below(8));
			}
		bad_memory(descriptor, option);
	}
}

int main(void)
{
	int listener, sockets[6], onward;
	unsigned char after[WAYBILL_RECORDS_MAX];
	struct leg leg;

	world_begin(&world, "options_garbage");
	world_up(&world);
	world_server(&world);
	EXPECT(!world_apply(
		&world,
		"version: 1\nservices:\n"
		"  - { name: a, weight: 1, endpoint: { tcp: 9001, udp: 9001 }, identity: { cgroup: "
		"%C/s0 } }\n"
		"filters:\n"
		"  - { name: all, service: a, match: { remote_port: 8080 }, action: redirect, "
		"context: some }\n"));
	listener = listener_of(&world, 0, V4, false);
	redirect_application(&world, 0, listener, V4, &leg);
	genuine_size = records_of(leg.accepted, genuine);
	onward = onward_of(&world, 0, leg.accepted);
	sockets[0] = leg.accepted;
	sockets[1] = onward;
	sockets[2] = listener;
	sockets[3] = socket_of(V4, 0);
	sockets[4] = socket(AF_INET6, SOCK_DGRAM, 0);
	sockets[5] = socket(AF_INET, SOCK_DGRAM, 0);
	EXPECT_RESULT(waybill_bind_datagrams(sockets[5], SERVICE_PORT(0)), 0);
	for (size_t i = 0; i < sizeof(sockets) / sizeof(*sockets); i++)
		torment(sockets[i]);
	EXPECT(answers > 50 && refusals > 1000, "%u, %u", answers, refusals);

	EXPECT(records_of(leg.accepted, after) == genuine_size);
	EXPECT(!memcmp(after, genuine, genuine_size));
	EXPECT_RESULT(state_of(leg.accepted), WAYBILL_REDIRECTED_BY_SELF);
	EXPECT(counted(&world, COUNT_RECORDS_SET) == 1);
	EXPECT_RESULT(connect_socket(onward, V4, SERVER_PORT), 0);
	echo_check(onward, "unharmed\n");
	EXPECT(counted(&world, COUNT_REDIRECTED) == 1);
	as_root(&world);
	world_end(&world);
}
