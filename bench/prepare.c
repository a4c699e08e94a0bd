// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a place has before its turns begin, and until they end: a connection that has come through
 * two services, so that there are records for a third hop; connections that stay open.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define SOURCE_EACH 10000 /* connections from one address: a host has 28,232 ports for them */

/* Connects as a service, or as the application, in its cgroup. Returns its socket, or -errno. */
static int connect_from(struct place *place, const char *leaf)
{
	int error = place_move(place, leaf), client;

	if (!error)
		error = client_make(place, &client);
	if (!error && connect(client, (void *)&place->to, place->to_length))
		error = -errno;
	return error ? error : client;
}

/* Accepts one connection; its records are those that the next client sets. */
static int accept_records(struct place *place, int listener)
{
	place->bearer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return place->bearer < 0 ? -errno : place_records(place);
}

/* The sockets stay open, and the process stays where the second service is. */
static int chain_make(struct place *place)
{
	int status = connect_from(place, "app");

	if (status >= 0)
		status = accept_records(place, place->first);
	if (status >= 0)
		status = connect_from(place, "first");
	if (status >= 0)
		status = accept_records(place, place->second);
	return status < 0 ? status : place_move(place, "second");
}

int place_records(struct place *place)
{
	if (!place->bearer)
		return 0;
	place->records_length = sizeof(place->records);
	if (getsockopt(place->bearer, SOL_WAYBILL, WAYBILL_REDIRECT_RECORDS, place->records,
		       &place->records_length))
		return -errno;
	return 0;
}

/* What nobody redirects has more than one source only if its client binds them. */
static int source_bind(const struct place *place, int client, unsigned int number)
{
	struct sockaddr_in source = { .sin_family = AF_INET };
	int one = 1;

	if (place->recipe.kind != PLACE_PLAIN)
		return 0;
	source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number / SOURCE_EACH);
	if (setsockopt(client, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) ||
	    bind(client, (void *)&source, sizeof(source)))
		return -errno;
	return 0;
}

static int hold_one(const struct place *place, unsigned int number)
{
	struct linger reset = { .l_onoff = 1 };
	int client, accepted, error = client_make(place, &client);

	if (!error)
		error = source_bind(place, client, number);
	if (!error)
		error = client_connect(place, client, &accepted);
	if (!error && setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)))
		error = -errno;
	return error;
}

/* Room for so many descriptors; more than the hard limit takes a privilege. */
static int descriptors_make_room(rlim_t count)
{
	struct rlimit room;

	if (getrlimit(RLIMIT_NOFILE, &room))
		return -errno;
	if (room.rlim_cur >= count)
		return 0;
	room.rlim_cur = count;
	if (room.rlim_max < count)
		room.rlim_max = count;
	return setrlimit(RLIMIT_NOFILE, &room) ? -errno : 0;
}

/* Opens connections, says how that went, and waits for its end. */
static void hold(const struct place *place, unsigned int from, unsigned int to, int said)
{
	int error = descriptors_make_room(2 * (to - from) + 256);

	for (unsigned int i = from; !error && i < to; i++)
		error = hold_one(place, i);
	if (write(said, &error, sizeof(error)) != sizeof(error))
		_exit(1);
	for (;;)
		pause();
}

/* Starts a process that holds the connections [from, to). Returns when they are open. */
static int holder_start(struct place *place, pid_t *holder, unsigned int from, unsigned int to)
{
	pid_t parent = getpid();
	int said[2], error = 0;

	if (pipe2(said, O_CLOEXEC))
		return -errno;
	*holder = fork();
	if (!*holder) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		hold(place, from, to, said[1]);
	}
	close(said[1]);
	if (*holder < 0) {
		error = -errno;
		*holder = 0;
	} else if (read(said[0], &error, sizeof(error)) != sizeof(error)) {
		error = -EPIPE;
	}
	close(said[0]);
	return error;
}

static int holders_start(struct place *place)
{
	unsigned int open = place->recipe.open;
	unsigned int holders = open < 1000 ? 1 : HOLDERS;
	int error = 0;

	for (unsigned int i = 0; !error && i < holders; i++)
		error = holder_start(place, &place->holder[i], open / holders * i,
				     i + 1 < holders ? open / holders * (i + 1) : open);
	return error;
}

int place_prepare(struct place *place, char *error, size_t size)
{
	int status = 0;

	if (place->recipe.kind == PLACE_CHAIN)
		status = chain_make(place);
	if (status)
		snprintf(error, size, "a connection through two services: %s", strerror(-status));
	if (!status && place->recipe.open)
		status = holders_start(place);
	if (status && !error[0])
		snprintf(error, size, "%u open connections: %s", place->recipe.open,
			 strerror(-status));
	return status;
}

void place_release(struct place *place)
{
	for (size_t i = 0; i < HOLDERS; i++) {
		if (!place->holder[i])
			continue;
		kill(place->holder[i], SIGKILL);
		waitpid(place->holder[i], NULL, 0);
		place->holder[i] = 0;
	}
}
