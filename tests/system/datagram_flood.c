// SPDX-License-Identifier: BSD-2-Clause
/*
 * A user who opens flows without end gets as many as his share, and nobody else notices. When his
 * are idle, he gets others.
 */
#include <sys/wait.h>

#include "datagram_tools.h"

#define FLOODER 61001
#define ROUNDS 4

struct result {
	unsigned int sent, refused, other;
	atomic_int rounds; /* of the one that behaves */
};

/* Many destinations from many sockets, as fast as it goes, until the other had a few turns. */
static int flood(void *data)
{
	struct result *result = data;
	struct sockaddr_storage to;

	for (unsigned int n = 0; n < 40000 || (n < 20000000 && result->rounds < ROUNDS); n++) {
		static int fd[64];
		int *one = &fd[n % 64];
		socklen_t length = datagram_address(V4, n % 60000, &to);

		if (!*one)
			*one = datagram_socket(V4);
		if (sendto(*one, "", 0, 0, (void *)&to, length) == 0)
			result->sent++;
		else if (errno == ENOBUFS)
			result->refused++;
		else
			result->other++;
	}
	return 0;
}

static int behave(void *data)
{
	struct seen *shared = data;
	struct result *result = (void *)shared->records;
	int fd = datagram_socket(V4);

	do {
		int fresh = datagram_socket(V4);

		datagram_check(fresh, V4, result->rounds % 100, "new");
		datagram_check(fd, V4, result->rounds % 100, "old");
		close(fresh);
		result->rounds++;
	} while (shared->go);
	return result->rounds < ROUNDS;
}

int main(void)
{
	struct world world;
	struct result *result;
	pid_t good;
	int status;

	world_begin(&world, "datagram_flood");
	world_up(&world);
	datagram_server(&world);
	datagram_policy(&world, 1, "limits: { datagram_idle: 2s }\n");
	datagram_service(&world, 0, DATAGRAMS_ANSWERS);
	/* Shared with the children. */
	result = (void *)world.seen[SERVICES_MAX - 1].records;
	world.seen[SERVICES_MAX - 1].go = 1;
	good = fork();
	EXPECT(good >= 0);
	if (!good)
		_exit(world_as(&world, "app", APPLICATION_UID, behave,
			       &world.seen[SERVICES_MAX - 1]));
	EXPECT(!world_as(&world, "app", FLOODER, flood, result));
	world.seen[SERVICES_MAX - 1].go = 0;
	EXPECT(waitpid(good, &status, 0) == good && WIFEXITED(status) && !WEXITSTATUS(status),
	       "the one that behaves has noticed");
	EXPECT(!result->other, "%u refused otherwise", result->other);
	EXPECT(result->refused > 0 && result->sent >= FLOW_SHARE, "%u sent, %u refused",
	       result->sent, result->refused);
	EXPECT(counter(&world, COUNT_FLOW_FULL) >= result->refused);
	/* His sockets are closed, and so are his flows. */
	EXPECT(map_entries(&world, "flows") == 0, "%d", map_entries(&world, "flows"));
	world_end(&world);
}
