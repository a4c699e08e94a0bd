// SPDX-License-Identifier: BSD-2-Clause
/*
 * A user who opens flows without end gets as many as his share, and nobody else notices. When his
 * are idle, he gets others.
 */
#include <poll.h>
#include <sys/wait.h>

#include "../patience.h"
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

/*
 * Whether an answer comes, to one of so many tries as the machine is slow: a service that cannot
 * keep up with a flood loses what finds its queue full, whoever sent it.
 */
static void ask(int fd, unsigned int n, const char *text)
{
	struct sockaddr_storage to;
	socklen_t length = datagram_address(V4, n, &to);
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	char name[64], wanted[128], data[128];
	ssize_t size;

	datagram_name(V4, n, name);
	snprintf(wanted, sizeof(wanted), "%s|%s", name, text);
	for (int try = 0; try < patience(1); try++) {
		EXPECT(sendto(fd, text, strlen(text), 0, (void *)&to, length) > 0, "%s",
		       strerror(errno));
		while (poll(&wait, 1, 2000) == 1) {
			size = recv(fd, data, sizeof(data) - 1, 0);
			EXPECT(size >= 0, "%s", strerror(errno));
			data[size] = '\0';
			/* Of an earlier try there may be a late one. */
			if (!strcmp(data, wanted))
				return;
			EXPECT(patience(1) > 1, "\"%s\", not \"%s\"", data, wanted);
		}
	}
	EXPECT(false, "nothing came");
}

static int behave(void *data)
{
	struct seen *shared = data;
	struct result *result = (void *)shared->records;
	int fd = datagram_socket(V4);

	do {
		int fresh = datagram_socket(V4);

		ask(fresh, result->rounds % 100, "new");
		ask(fd, result->rounds % 100, "old");
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
