// SPDX-License-Identifier: BSD-2-Clause
/*
 * Ten thousand overlapped queries at once, from many threads, with closes, flushes, cancels and
 * ends of threads in between: each completes once, rightly, and whoever is to be told is. Built with
 * the sanitizers of threads and of addresses.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "winsock_tools.h"

#define THREADS 8
#define EACH 1250
#define SOCKETS 64 /* the first receives; nothing ever comes to the others */
#define STORMS 4000

static struct world world;
static _Atomic SOCKET sockets[SOCKETS];
static pthread_barrier_t barrier;
static atomic_int pended, completed_by_routine, expected_by_routine;
static atomic_bool over;

struct query {
	WSAOVERLAPPED overlapped; /* the first: a routine has no more than this */
	unsigned char bytes[256];
	DWORD size;
	int socket;
	int calls;
	DWORD error;
};

static struct query *queries[THREADS];

static void CALLBACK completed(DWORD error, DWORD count, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	struct query *query = (struct query *)overlapped;

	query->calls++;
	query->error = error;
	atomic_fetch_add(&completed_by_routine, 1);
}

/* Every third is told by a routine, every third by the thread's event, and every third not. */
static void issue(struct query *query, int i, WSAEVENT event)
{
	LPWSAOVERLAPPED_COMPLETION_ROUTINE routine = i % 3 == 0 ? completed : NULL;
	int error;

	query->socket = i % SOCKETS;
	query->overlapped.hEvent = i % 3 == 1 ? event : NULL;
	error = ERROR_OF(WSAIoctl(atomic_load(&sockets[query->socket]), i % 2 ? RECORDS : CONTEXT,
				  NULL, 0, query->bytes, sizeof(query->bytes), &query->size,
				  &query->overlapped, routine));
	EXPECT(error == WSA_IO_PENDING, "%d", error);
	atomic_fetch_add(&pended, 1);
}

static int routines_of(int from)
{
	int count = 0;

	for (int i = from; i < EACH; i++)
		count += i % 3 == 0;
	return count;
}

/* The last two end at once; the others wait until all of theirs are over. */
static void *thread_run(void *data)
{
	int number = (int)(intptr_t)data, done;
	struct query *mine = queries[number];
	WSAEVENT event = WSACreateEvent();

	for (int i = 0; i < EACH; i++)
		issue(&mine[i], i + number, event);
	if (number < THREADS - 2)
		atomic_fetch_add(&expected_by_routine, routines_of(0));
	pthread_barrier_wait(&barrier);
	/* All pend at this moment. */
	pthread_barrier_wait(&barrier);
	if (number >= THREADS - 2)
		return NULL;
	do {
		WSAWaitForMultipleEvents(1, &event, FALSE, 5, TRUE);
		done = 0;
		for (int i = 0; i < EACH; i++)
			done += HasOverlappedIoCompleted(&mine[i].overlapped);
	} while (done < EACH);
	while (SleepEx(0, TRUE) == WAIT_IO_COMPLETION)
		continue;
	EXPECT(WSACloseEvent(event));
	return NULL;
}

static SOCKET quiet_socket(void)
{
	SOCKET s = WSASocketW(AF_INET, SOCK_DGRAM, IPPROTO_UDP, NULL, 0, WSA_FLAG_OVERLAPPED);

	EXPECT(s != INVALID_SOCKET);
	return s;
}

static void check_query(struct query *query, int i, bool told)
{
	DWORD count = 0, flags = 0;
	int error;

	EXPECT(HasOverlappedIoCompleted(&query->overlapped));
	error = WSAGetOverlappedResult(atomic_load(&sockets[0]), &query->overlapped, &count, FALSE,
				       &flags) ?
			0 :
			WSAGetLastError();
	if (query->socket == 0 && told) {
		EXPECT(!error && count == (i % 2 ? 160 : 5), "%d, %u", error, count);
		EXPECT(!memcmp(query->bytes, i % 2 ? "WYBL" : "for ", 4));
	} else {
		EXPECT(error == WSA_OPERATION_ABORTED || !error, "%d", error);
		EXPECT(error == WSA_OPERATION_ABORTED || query->socket == 0);
	}
	EXPECT(query->calls == (told && i % 3 == 0), "%d", query->calls);
	EXPECT(!query->calls || (int)query->error == error);
}

/* All at once, and then everything that ends them. */
static void all_at_once(void)
{
	pthread_t threads[THREADS];
	DWORD count;

	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++) {
		queries[i] = calloc(EACH, sizeof(*queries[i]));
		EXPECT(!pthread_create(&threads[i], NULL, thread_run, (void *)(intptr_t)i));
	}
	pthread_barrier_wait(&barrier);
	EXPECT(atomic_load(&pended) == THREADS * EACH, "%d", atomic_load(&pended));
	for (int i = 0; i < THREADS; i++)
		for (int k = 0; k < EACH; k++)
			EXPECT(!HasOverlappedIoCompleted(&queries[i][k].overlapped));
	pthread_barrier_wait(&barrier);
	application_sends(&world, -1, V4, 1, "hello");
	for (int i = 1; i < SOCKETS; i++) {
		SOCKET s = atomic_load(&sockets[i]);

		if (i % 3 == 0)
			EXPECT(!WSAIoctl(s, SIO_FLUSH, NULL, 0, NULL, 0, &count, NULL, NULL));
		else if (i % 3 == 1)
			CancelIoEx((HANDLE)s, NULL);
		else
			EXPECT(!closesocket(s));
		if (i % 3 == 2)
			atomic_store(&sockets[i], quiet_socket());
	}
	for (int i = 0; i < THREADS; i++)
		EXPECT(!pthread_join(threads[i], NULL));
	for (int i = 0; i < THREADS; i++)
		for (int k = 0; k < EACH; k++)
			check_query(&queries[i][k], k + i, i < THREADS - 2);
}

/* Begins, waits and forgets, while others close, flush and cancel. */
static void *storm_run(void *data)
{
	unsigned int seed = (unsigned int)(intptr_t)data;
	struct query *mine = queries[seed];
	int allowed[] = { 0, WSA_IO_PENDING, WSAENOTSOCK, WSA_OPERATION_ABORTED };

	for (int i = 0; i < STORMS; i++) {
		struct query *query = &mine[i % EACH];
		SOCKET s = atomic_load(&sockets[1 + rand_r(&seed) % (SOCKETS - 1)]);
		int error, k;

		/* The one before on this place ends first. */
		while (i >= EACH && !HasOverlappedIoCompleted(&query->overlapped))
			SleepEx(1, TRUE);
		query->overlapped = (WSAOVERLAPPED){ .Internal = 0 };
		error = ERROR_OF(WSAIoctl(s, RECORDS, NULL, 0, query->bytes, sizeof(query->bytes),
					  NULL, &query->overlapped, i % 2 ? completed : NULL));
		for (k = 0; k < 4 && allowed[k] != error; k++)
			continue;
		EXPECT(k < 4, "%d", error);
		if (i % 64 == 0)
			SleepEx(0, TRUE);
	}
	while (SleepEx(1, TRUE) == WAIT_IO_COMPLETION)
		continue;
	return NULL;
}

static void *storm_end(void *data)
{
	unsigned int seed = 99;
	DWORD count;

	while (!atomic_load(&over)) {
		int i = 1 + rand_r(&seed) % (SOCKETS - 1);
		SOCKET s = atomic_load(&sockets[i]);

		switch (rand_r(&seed) % 3) {
		case 0:
			WSAIoctl(s, SIO_FLUSH, NULL, 0, NULL, 0, &count, NULL, NULL);
			break;
		case 1:
			CancelIoEx((HANDLE)s, NULL);
			break;
		case 2:
			EXPECT(!closesocket(s));
			atomic_store(&sockets[i], quiet_socket());
		}
		sched_yield();
	}
	return NULL;
}

static void storm(void)
{
	pthread_t threads[THREADS], ender;

	EXPECT(!pthread_create(&ender, NULL, storm_end, NULL));
	for (int i = 0; i < THREADS; i++)
		EXPECT(!pthread_create(&threads[i], NULL, storm_run, (void *)(intptr_t)i));
	for (int i = 0; i < THREADS; i++)
		EXPECT(!pthread_join(threads[i], NULL));
	atomic_store(&over, true);
	EXPECT(!pthread_join(ender, NULL));
	for (int i = 0; i < SOCKETS; i++)
		EXPECT(!closesocket(atomic_load(&sockets[i])));
	for (int i = 0; i < THREADS; i++) {
		for (int k = 0; k < EACH; k++)
			EXPECT(HasOverlappedIoCompleted(&queries[i][k].overlapped));
		free(queries[i]);
	}
}

int main(void)
{
	world_begin(&world, "winsock_stress");
	world_up(&world);
	datagram_policy(&world, 1, NULL);
	atomic_store(&sockets[0], receiver_of(&world, 0, WSA_FLAG_OVERLAPPED));
	for (int i = 1; i < SOCKETS; i++)
		atomic_store(&sockets[i], quiet_socket());
	all_at_once();
	storm();
	as_root(&world);
	world_end(&world);
}
