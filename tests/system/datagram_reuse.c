// SPDX-License-Identifier: BSD-2-Clause
/*
 * A service asks for flows, on one CPU, while their client is connected elsewhere again and again
 * on another, so that each flow's memory is the next one's at once: whatever is asked for is
 * answered out of that flow, or not at all. Records never are of one flow in the header, and of
 * another in the hop.
 */
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "datagram_tools.h"
#include "../../record/records.h"

#define SECONDS 4

static struct shared {
	atomic_int stop, done;
	atomic_long flow, answers, others;
} * shared;

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void ask(struct world *world)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	static union {
		struct records_header header;
		unsigned char bytes[WAYBILL_RECORDS_MAX];
	} blob;
	const struct records_hop *hop = (const void *)(blob.bytes + RECORDS_HEADER_SIZE +
						       RECORDS_ORIGINATOR_SIZE);
	int fd = datagram_socket(V4);
	uint32_t number = 1, ahead = 0;

	if (bind(fd, (void *)&at, sizeof(at)))
		_exit(1);
	run_on(0);
	world->seen[0].ready = 1;
	while (!shared->stop) {
		socklen_t size = sizeof(blob);

		if (getsockopt(fd, SOL_WAYBILL, WAYBILL_OF_FLOW(WAYBILL_REDIRECT_RECORDS, number),
			       &blob, &size)) {
			ahead = (ahead + 1) % 4;
			number = (shared->flow + ahead) & WAYBILL_FLOW_MASK;
			continue;
		}
		shared->answers++;
		if (blob.header.flow != hop->flow || (hop->flow & WAYBILL_FLOW_MASK) != number)
			shared->others++;
	}
	shared->done = 1;
	_exit(0);
}

static void reconnect(void)
{
	int fd = datagram_socket(V4);
	struct sockaddr_storage to;

	run_on(1);
	for (long n = 0; !shared->stop; shared->flow = ++n)
		if (connect(fd, (void *)&to, datagram_address(V4, n & 1, &to)))
			_exit(1);
	_exit(0);
}

/* Wakes up on the CPU of who asks, so that he is interrupted anywhere. */
static void disturb(int pause)
{
	struct sched_param first = { .sched_priority = 1 };

	run_on(0);
	sched_setscheduler(0, SCHED_FIFO, &first);
	while (!shared->stop) {
		usleep(pause);
		for (volatile int i = 0; i < 20000; i++)
			;
	}
	_exit(0);
}

int main(void)
{
	struct world world;
	pid_t child[3];
	int status;

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	world_begin(&world, "datagram_reuse");
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		world_skip("needs two CPUs");
	world_up(&world);
	datagram_policy(&world, 1, NULL);
	if (world_service_fork(&world, 0))
		ask(&world);
	expect_count("ready", &world.seen[0].ready, 1);
	for (int i = 0; i < 3; i++) {
		child[i] = fork();
		EXPECT(child[i] >= 0);
		if (!child[i] && !i)
			reconnect();
		if (!child[i])
			disturb(20 + 13 * i);
	}
	sleep(SECONDS);
	shared->stop = 1;
	for (int i = 0; i < 3; i++)
		EXPECT(waitpid(child[i], &status, 0) == child[i] && !status, "child %d", i);
	EXPECT(shared->answers > 100, "%ld", shared->answers);
	EXPECT(!shared->others, "of %ld answers %ld were of another flow", shared->answers,
	       shared->others);
	world_end(&world);
}
