// SPDX-License-Identifier: BSD-2-Clause
/* Turns: what is timed. Client and listener are one process, so no switch of tasks is in it. */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>

#define SO_ORIGINAL_DST 80 /* and IP6T_SO_ORIGINAL_DST */
#define RUNS 10
#define WARM 20 /* one part of so many before a turn of connections, not timed */

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static int ask(const struct place *place, int descriptor, enum query query)
{
	union {
		struct sockaddr_storage address;
		struct waybill_info info;
		unsigned char records[WAYBILL_RECORDS_MAX];
	} answer;
	socklen_t size = sizeof(answer);

	switch (query) {
	case QUERY_NAME:
		return getsockname(descriptor, (void *)&answer.address, &size);
	case QUERY_ORIGINAL:
		size = place->to_length;
		return getsockopt(descriptor, place->recipe.by_ipv6 ? SOL_IPV6 : SOL_IP,
				  SO_ORIGINAL_DST, &answer, &size);
	case QUERY_RECORDS:
		return getsockopt(descriptor, SOL_WAYBILL, WAYBILL_REDIRECT_RECORDS, &answer,
				  &size);
	case QUERY_INFO:
		size = sizeof(answer.info);
		return getsockopt(descriptor, SOL_WAYBILL, WAYBILL_REDIRECT_INFO, &answer, &size);
	default:
		return 0;
	}
}

int client_make(const struct place *place, int *client)
{
	*client = socket(place->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*client < 0 ||
	    (place->records_length && setsockopt(*client, SOL_WAYBILL, WAYBILL_REDIRECT_RECORDS,
						 place->records, place->records_length)))
		return -errno;
	return 0;
}

int client_connect(const struct place *place, int client, int *accepted)
{
	if (connect(client, (void *)&place->to, place->to_length))
		return -errno;
	*accepted = accept4(place->listener, NULL, NULL, SOCK_CLOEXEC);
	return *accepted < 0 ? -errno : 0;
}

/* One connection, up to where both ends have a socket and the listener's side has asked. */
static int connect_one(const struct place *place, enum query query, int *client, int *accepted)
{
	int error = client_make(place, client);

	*accepted = -1;
	if (!error)
		error = client_connect(place, *client, accepted);
	if (!error && ask(place, *accepted, query))
		error = -errno;
	return error;
}

static int connect_some(const struct place *place, const struct turn *turn, unsigned int count)
{
	struct linger reset = { .l_onoff = 1 };
	int client, accepted, error = 0;

	for (unsigned int i = 0; !error && i < count; i++) {
		error = connect_one(place, turn->query, &client, &accepted);
		if (!turn->ordinary)
			setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(client);
		if (accepted >= 0)
			close(accepted);
	}
	return error;
}

/* The first few find the caches full of the turn before, and its memory not yet given back. */
static int turn_connect(const struct place *place, const struct turn *turn, double *nanoseconds)
{
	int error = connect_some(place, turn, turn->count / WARM + 1);
	double begin = now();

	if (!error)
		error = connect_some(place, turn, turn->count);
	*nanoseconds = (now() - begin) / turn->count;
	return error;
}

/*
 * Calls that never wait: what makes one slower than another is somebody else on the CPU, so the
 * fastest of a few runs counts.
 */
static int calls(int (*call)(const struct place *, const struct turn *, int),
		 const struct place *place, const struct turn *turn, int descriptor,
		 double *nanoseconds)
{
	unsigned int count = turn->count / RUNS + 1;
	int error = 0;

	*nanoseconds = 0;
	for (int run = 0; !error && run < RUNS; run++) {
		double begin = now(), each;

		for (unsigned int i = 0; !error && i < count; i++)
			if (call(place, turn, descriptor))
				error = -errno;
		each = (now() - begin) / count;
		if (!run || each < *nanoseconds)
			*nanoseconds = each;
	}
	return error;
}

static int call_query(const struct place *place, const struct turn *turn, int descriptor)
{
	return ask(place, descriptor, turn->query);
}

static int call_records(const struct place *place, const struct turn *turn, int descriptor)
{
	return setsockopt(descriptor, SOL_WAYBILL, WAYBILL_REDIRECT_RECORDS, place->records,
			  place->records_length);
}

static int call_option(const struct place *place, const struct turn *turn, int descriptor)
{
	int value = 1;
	socklen_t size = sizeof(value);

	if (turn->kind == TURN_GET)
		return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &value, &size);
	return setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &value, size);
}

static int send_one(const struct place *place, const struct sockaddr_in *to, int receiver)
{
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	char byte = 'x';

	if (sendto(place->sender, &byte, 1, 0, (void *)to, sizeof(*to)) != 1 ||
	    recvfrom(receiver, &byte, 1, MSG_DONTWAIT, (void *)&from, &length) != 1)
		return -errno;
	return 0;
}

static int turn_send(struct place *place, const struct turn *turn, double *nanoseconds)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(SERVER_PORT) };
	int receiver = turn->inside ? place->service : place->server, error = 0;
	double begin;

	inet_pton(AF_INET, SERVER_ADDRESS, &to.sin_addr);
	begin = now();
	for (unsigned int i = 0; !error && i < turn->count; i++)
		error = send_one(place, &to, receiver);
	*nanoseconds = (now() - begin) / turn->count;
	return error;
}

static int turn_query(struct place *place, const struct turn *turn, double *nanoseconds)
{
	struct linger reset = { .l_onoff = 1 };
	int client, accepted, error;

	error = connect_one(place, turn->query, &client, &accepted);
	if (!error)
		error = calls(call_query, place, turn, accepted, nanoseconds);
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client);
	if (accepted >= 0)
		close(accepted);
	return error;
}

static int turn_records(const struct place *place, const struct turn *turn, double *nanoseconds)
{
	int client, error = client_make(place, &client);

	if (!error)
		error = calls(call_records, place, turn, client, nanoseconds);
	if (client >= 0)
		close(client);
	return error;
}

void turn_take(struct place *place, const struct turn *turn, struct turn_result *result)
{
	int error = 0;

	*result = (struct turn_result){};
	error = place_records(place);
	if (error) {
		snprintf(result->error, sizeof(result->error), "records: %s", strerror(-error));
		return;
	}
	switch (turn->kind) {
	case TURN_CONNECT:
		error = turn_connect(place, turn, &result->nanoseconds);
		break;
	case TURN_QUERY:
		error = turn_query(place, turn, &result->nanoseconds);
		break;
	case TURN_RECORDS:
		error = turn_records(place, turn, &result->nanoseconds);
		break;
	case TURN_GET:
	case TURN_SET:
		error = calls(call_option, place, turn,
			      turn->inside ? place->inside : place->outside, &result->nanoseconds);
		break;
	case TURN_SEND:
		error = turn_send(place, turn, &result->nanoseconds);
		break;
	case TURN_ATTACH:
		error = place_attach(place, result->error, sizeof(result->error));
		break;
	case TURN_DETACH:
		place_detach(place);
		break;
	case TURN_END:
		break;
	default:
		error = command_take(place, turn->kind, &result->nanoseconds, result->error,
				     sizeof(result->error));
		break;
	}
	if (error && !result->error[0])
		snprintf(result->error, sizeof(result->error), "%s", strerror(-error));
}
