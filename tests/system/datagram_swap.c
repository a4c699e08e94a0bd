// SPDX-License-Identifier: BSD-2-Clause
/*
 * While the policy is swapped as fast as it goes, a service sets the records of a flow to where no
 * filter sends it: none is lost, so that the flow's next datagram would come as from nowhere.
 */
#include <arpa/inet.h>
#include <sys/mman.h>

#include "datagram_tools.h"
#include "../patience.h"

#define SECONDS 5

static struct shared {
	atomic_int stop, done;
	atomic_long set, lost, refused;
} * shared;

static struct {
	struct waybill_address to;
	unsigned char records[WAYBILL_RECORDS_MAX];
} given;

/* The records of the one flow that there is. */
static socklen_t records_take(int fd)
{
	for (uint32_t number = 1;; number = number % 100 + 1) {
		socklen_t size = sizeof(given.records);

		if (!getsockopt(fd, SOL_WAYBILL, WAYBILL_OF_FLOW(WAYBILL_REDIRECT_RECORDS, number),
				given.records, &size))
			return size;
	}
}

static int flow_set(int fd, socklen_t size)
{
	return setsockopt(fd, SOL_WAYBILL, WAYBILL_FLOW_RECORDS, &given, sizeof(given.to) + size);
}

static void serve(struct world *world)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(7000) };
	int fd = datagram_socket(V4);
	socklen_t size;

	if (bind(fd, (void *)&at, sizeof(at)))
		_exit(1);
	world->seen[0].ready = 1;
	size = records_take(fd);
	inet_pton(AF_INET, "127.66.0.1", &to.sin_addr);
	given.to.family = AF_INET;
	given.to.port = to.sin_port;
	given.to.address[10] = given.to.address[11] = 0xff;
	memcpy(given.to.address + 12, &to.sin_addr, 4);
	while (!shared->stop) {
		int onward = datagram_socket(V4);

		if (flow_set(onward, size)) {
			shared->refused++;
		} else {
			sendto(onward, "x", 1, 0, (void *)&to, sizeof(to));
			shared->set++;
			/* The flow is there, and is as it is; or it was thrown away. */
			if (!flow_set(onward, size) || errno != EISCONN)
				shared->lost++;
		}
		close(onward);
	}
	shared->done = 1;
	_exit(0);
}

int main(void)
{
	struct sockaddr_storage to;
	struct world world;
	time_t end;
	int fd;

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	world_begin(&world, "datagram_swap");
	world_up(&world);
	datagram_policy(&world, 1, NULL);
	if (world_service_fork(&world, 0))
		serve(&world);
	expect_count("ready", &world.seen[0].ready, 1);
	fd = datagram_socket(V4);
	EXPECT(!connect(fd, (void *)&to, datagram_address(V4, 0, &to)), "%s", strerror(errno));
	for (int i = 0; i < patience(200) && !shared->set; i++)
		usleep(10000);
	for (end = time(NULL) + SECONDS; time(NULL) < end;)
		datagram_policy(&world, 1, NULL);
	shared->stop = 1;
	for (int i = 0; i < patience(200) && !shared->done; i++)
		usleep(10000);
	EXPECT(shared->set > 100, "%ld", shared->set);
	EXPECT(!shared->lost && !shared->refused, "of %ld records %ld were lost, %ld refused",
	       shared->set, shared->lost, shared->refused);
	EXPECT(counter(&world, COUNT_RECORDS_FOREIGN) == 0);
	world_end(&world);
}
