// SPDX-License-Identifier: BSD-2-Clause
/*
 * winsock_overlapped CASE: overlapped control codes, on real connections and flows: what completes
 * at once and what later, who is told and how, what aborts, and what is not allowed.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "winsock_tools.h"

static struct world world;
static unsigned char buffer[4096];

/* What a completion routine was told last. */
static struct {
	int calls;
	DWORD error, count;
	WSAOVERLAPPED *overlapped;
	pthread_t thread;
	int nested[3]; /* errors of control codes called in it */
	SOCKET s;
} told;

static void CALLBACK routine(DWORD error, DWORD count, LPWSAOVERLAPPED overlapped, DWORD flags)
{
	static const DWORD codes[3] = { RECORDS, CONTEXT, SET };
	DWORD size = 0;

	told.calls++;
	told.error = error;
	told.count = count;
	told.overlapped = overlapped;
	told.thread = pthread_self();
	/* Written before anybody is told. */
	EXPECT(HasOverlappedIoCompleted(overlapped));
	EXPECT(overlapped->InternalHigh == count);
	for (int i = 0; told.s && i < 3; i++)
		told.nested[i] = ERROR_OF(
			WSAIoctl(told.s, codes[i], buffer, 160, NULL, 0, &size, NULL, NULL));
	EXPECT(!told.s ||
	       !ERROR_OF(WSAIoctl(told.s, SIO_FLUSH, NULL, 0, NULL, 0, &size, NULL, NULL)));
}

static int begin(SOCKET s, DWORD code, WSAOVERLAPPED *overlapped,
		 LPWSAOVERLAPPED_COMPLETION_ROUTINE call, DWORD *count)
{
	return ERROR_OF(
		WSAIoctl(s, code, NULL, 0, buffer, sizeof(buffer), count, overlapped, call));
}

/* An accepted socket of service a, overlapped or not. */
static SOCKET accepted_of(bool overlapped, struct leg *leg)
{
	int listener = listener_of(&world, 0, V4, false);
	struct sockaddr_storage to;
	socklen_t length = address_of(V4, SERVER_PORT, &to);
	SOCKET as_windows, accepted;

	/* What makes a listener's sockets overlapped is that it is. */
	if (overlapped) {
		struct sockaddr_in here = { .sin_family = AF_INET,
					    .sin_port = htons(SERVICE_PORT(0)) };

		close(listener);
		here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		as_windows = winsock_socket(AF_INET, SOCK_STREAM, 0);
		EXPECT(!winsock_setsockopt(as_windows, SOL_SOCKET, SO_EXCLUSIVEADDRUSE,
					   (char *)&(BOOL){ TRUE }, sizeof(BOOL)));
		EXPECT(!winsock_bind(as_windows, (void *)&here, sizeof(here)));
		EXPECT(!winsock_listen(as_windows, 8));
	} else {
		as_windows = (SOCKET)listener;
	}
	as_application(&world);
	leg->client = socket_of(V4, 0);
	EXPECT(!connect(leg->client, (void *)&to, length), "%s", strerror(errno));
	as_service(&world, 0);
	accepted = winsock_accept(as_windows, NULL, NULL);
	EXPECT(accepted != INVALID_SOCKET);
	return accepted;
}

static void ignored(void)
{
	WSAOVERLAPPED overlapped = { .Internal = 7, .hEvent = (HANDLE)99 };
	struct leg leg;
	SOCKET s;
	DWORD count = 0;

	world_policy(&world, 1, NULL);
	s = accepted_of(false, &leg);
	/* Not overlapped: neither is looked at, also if they are nonsense. */
	EXPECT(begin(s, RECORDS, &overlapped, routine, &count) == 0 && count == 184);
	EXPECT(overlapped.Internal == 7 && SleepEx(50, TRUE) == 0 && !told.calls);
	EXPECT(begin(s, RECORDS, (WSAOVERLAPPED *)8, NULL, &count) == 0 && count == 184);
	closesocket(s);
}

static void at_once(void)
{
	WSAOVERLAPPED overlapped = { .hEvent = WSACreateEvent() };
	struct leg leg;
	SOCKET s, onward;
	DWORD count = 0;

	world_policy(&world, 1, NULL);
	s = accepted_of(true, &leg);
	/* Both NULL: an ordinary call. */
	EXPECT(begin(s, RECORDS, NULL, NULL, &count) == 0 && count == 184);
	/* Completed at once: the count, the event, the structure. */
	count = 0;
	EXPECT(begin(s, RECORDS, &overlapped, NULL, &count) == 0 && count == 184);
	EXPECT(is_signalled(overlapped.hEvent) && HasOverlappedIoCompleted(&overlapped));
	count = 0;
	EXPECT(result_of(s, &overlapped, &count) == 0 && count == 184);
	/* lpcbBytesReturned may be NULL then. */
	EXPECT(begin(s, CONTEXT, &overlapped, NULL, NULL) == 0 && overlapped.InternalHigh == 5);
	/* A routine runs later all the same, and the event is the caller's. */
	WSAResetEvent(overlapped.hEvent);
	EXPECT(begin(s, RECORDS, &overlapped, routine, &count) == 0 && count == 184);
	EXPECT(!told.calls && SleepEx(0, FALSE) == 0 && !told.calls);
	EXPECT(SleepEx(1000, TRUE) == WAIT_IO_COMPLETION && told.calls == 1);
	EXPECT(!told.error && told.count == 184 && told.overlapped == &overlapped);
	EXPECT(!is_signalled(overlapped.hEvent));
	/* An error at once is returned, and nobody is told. */
	EXPECT(ERROR_OF(WSAIoctl(s, RECORDS, NULL, 0, buffer, 8, &count, &overlapped, NULL)) ==
	       ERROR_INSUFFICIENT_BUFFER);
	EXPECT(count == 184 && !is_signalled(overlapped.hEvent));
	/* A set never waits: the kernel knows at once. */
	EXPECT(begin(s, RECORDS, NULL, NULL, &count) == 0);
	onward = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
	EXPECT(!ERROR_OF(WSAIoctl(onward, SET, buffer, count, NULL, 0, &count, &overlapped, NULL)));
	EXPECT(is_signalled(overlapped.hEvent) && count == 0);
	WSAResetEvent(overlapped.hEvent);
	buffer[40] ^= 1;
	EXPECT(ERROR_OF(WSAIoctl(onward, SET, buffer, 160, NULL, 0, &count, &overlapped, NULL)) ==
	       WSAEINVAL);
	EXPECT(!is_signalled(overlapped.hEvent));
	EXPECT(begin(s, SIO_FLUSH, &overlapped, NULL, &count) == 0);
	EXPECT(is_signalled(overlapped.hEvent));
	closesocket(s);
	closesocket(onward);
}

/* A datagram socket before its first redirected datagram. */
static void later(void)
{
	WSAOVERLAPPED first = { .hEvent = WSACreateEvent() };
	WSAOVERLAPPED second = { .hEvent = WSACreateEvent() }, third = {};
	unsigned char records[2048], context[64], none[4];
	DWORD count = 77, flags;
	SOCKET s;

	s = receiver_of(&world, 0, WSA_FLAG_OVERLAPPED);
	WSASetEvent(first.hEvent);
	EXPECT(ERROR_OF(WSAIoctl(s, RECORDS, NULL, 0, records, sizeof(records), &count, &first,
				 NULL)) == WSA_IO_PENDING);
	EXPECT((count == 77 || count == 0) && !HasOverlappedIoCompleted(&first));
	EXPECT(!is_signalled(first.hEvent));
	EXPECT(result_of(s, &first, &count) == WSA_IO_INCOMPLETE);
	EXPECT(ERROR_OF(WSAIoctl(s, CONTEXT, NULL, 0, context, sizeof(context), NULL, &second,
				 NULL)) == WSA_IO_PENDING);
	/* One that will be too small is told so, and the size. */
	EXPECT(ERROR_OF(WSAIoctl(s, RECORDS, NULL, 0, none, sizeof(none), NULL, &third, routine)) ==
	       WSA_IO_PENDING);
	EXPECT(!WSAGetOverlappedResult(s, &third, &count, TRUE, &flags) &&
	       WSAGetLastError() == WSA_INVALID_PARAMETER);
	/* A stray one, sent to the service itself, changes nothing. */
	{
		struct sockaddr_in to = { .sin_family = AF_INET,
					  .sin_port = htons(SERVICE_PORT(0)) };
		int stray = datagram_socket(V4);

		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		EXPECT(sendto(stray, "x", 1, 0, (void *)&to, sizeof(to)) == 1);
		usleep(50000);
		EXPECT(!HasOverlappedIoCompleted(&first) && !HasOverlappedIoCompleted(&second));
		EXPECT(winsock_recv(s, (char *)none, 1, 0) == 1 && none[0] == 'x');
		close(stray);
	}
	application_sends(&world, -1, V6, 1, "hello");
	expect_signal(first.hEvent);
	expect_signal(second.hEvent);
	EXPECT(result_of(s, &first, &count) == 0 && count == 184 && !memcmp(records, "WYBL", 4));
	EXPECT(WSAGetOverlappedResult(s, &second, &count, TRUE, &flags) && count == 5);
	EXPECT(!memcmp(context, "for a", 5));
	EXPECT(!told.calls && SleepEx(2000, TRUE) == WAIT_IO_COMPLETION && told.calls == 1);
	EXPECT(told.error == ERROR_INSUFFICIENT_BUFFER && told.count == 184);
	EXPECT(result_of(s, &third, &count) == ERROR_INSUFFICIENT_BUFFER && count == 184);
	/* It waits to be received still. */
	EXPECT(winsock_recv(s, (char *)buffer, sizeof(buffer), 0) == 5);
	closesocket(s);
}

/* A TCP socket that is still connecting: what it will be is not known. */
static void connecting(void)
{
	struct sockaddr_in here = { .sin_family = AF_INET };
	WSAOVERLAPPED overlapped = { .hEvent = WSACreateEvent() };
	socklen_t length = sizeof(here);
	int listener, fill[2];
	u_long on = 1;
	DWORD count = 0;
	SOCKET s;

	as_service(&world, 0);
	listener = socket_of(V4, 0);
	/* Its backlog is full, so the handshake waits for an accept, and the next attempt. */
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT(!bind(listener, (void *)&here, sizeof(here)) && !listen(listener, 0));
	EXPECT(!getsockname(listener, (void *)&here, &length));
	for (int i = 0; i < 2; i++) {
		fill[i] = socket_of(V4, SOCK_NONBLOCK);
		connect(fill[i], (void *)&here, length);
	}
	usleep(50000);
	s = winsock_socket(AF_INET, SOCK_STREAM, 0);
	EXPECT(!ioctlsocket(s, FIONBIO, &on));
	EXPECT(ERROR_OF(winsock_connect(s, (void *)&here, sizeof(here))) == WSAEWOULDBLOCK);
	/* Neither overlapped nor blocking. */
	EXPECT(begin(s, RECORDS, NULL, NULL, &count) == WSAENOTCONN, "%d", WSAGetLastError());
	EXPECT(begin(s, RECORDS, &overlapped, NULL, &count) == WSA_IO_PENDING);
	EXPECT(!is_signalled(overlapped.hEvent));
	for (int i = 0; i < 2; i++)
		close(accept_from(listener));
	EXPECT(WSAWaitForMultipleEvents(1, &overlapped.hEvent, TRUE, 8000, FALSE) ==
	       WSA_WAIT_EVENT_0);
	EXPECT(result_of(s, &overlapped, &count) == FWP_E_NOT_FOUND);
	closesocket(s);
	/* One that is not connecting, and one that is refused. */
	s = winsock_socket(AF_INET, SOCK_STREAM, 0);
	EXPECT(begin(s, RECORDS, &overlapped, NULL, &count) == WSAENOTCONN);
	close(listener);
	EXPECT(winsock_connect(s, (void *)&here, sizeof(here)) == SOCKET_ERROR &&
	       WSAGetLastError() == WSAECONNREFUSED);
	EXPECT(begin(s, RECORDS, &overlapped, NULL, &count) == WSAENOTCONN);
	closesocket(s);
}

static void *thread_that_ends(void *data)
{
	struct {
		SOCKET s;
		WSAOVERLAPPED *overlapped;
	} *mine = data;

	EXPECT(begin(mine->s, RECORDS, mine->overlapped, NULL, NULL) == WSA_IO_PENDING);
	return NULL;
}

static void aborted(void)
{
	WSAOVERLAPPED a = { .hEvent = WSACreateEvent() }, b = { .hEvent = WSACreateEvent() },
		      c = {};
	SOCKET s = receiver_of(&world, 0, WSA_FLAG_OVERLAPPED);
	struct {
		SOCKET s;
		WSAOVERLAPPED *overlapped;
	} mine = { s, &b };
	DWORD count = 0;
	pthread_t thread;

	/* SIO_FLUSH */
	EXPECT(begin(s, RECORDS, &a, NULL, NULL) == WSA_IO_PENDING);
	EXPECT(begin(s, CONTEXT, &c, routine, NULL) == WSA_IO_PENDING);
	EXPECT(begin(s, SIO_FLUSH, NULL, NULL, &count) == 0);
	EXPECT(is_signalled(a.hEvent) && result_of(s, &a, &count) == WSA_OPERATION_ABORTED);
	EXPECT(!told.calls && SleepEx(0, TRUE) == WAIT_IO_COMPLETION && told.calls == 1);
	EXPECT(told.error == WSA_OPERATION_ABORTED);
	/* CancelIoEx: the one, and all. */
	EXPECT(begin(s, RECORDS, &a, NULL, NULL) == WSA_IO_PENDING);
	EXPECT(begin(s, RECORDS, &b, NULL, NULL) == WSA_IO_PENDING);
	EXPECT(CancelIoEx((HANDLE)s, &b));
	EXPECT(!is_signalled(a.hEvent) && is_signalled(b.hEvent));
	EXPECT(!CancelIoEx((HANDLE)s, &b) && WSAGetLastError() == ERROR_NOT_FOUND);
	/* What is being tried just now, since the other went, ends when that has. */
	EXPECT(CancelIoEx((HANDLE)s, NULL));
	expect_signal(a.hEvent);
	EXPECT(result_of(s, &a, &count) == WSA_OPERATION_ABORTED);
	EXPECT(!CancelIoEx((HANDLE)INVALID_SOCKET, NULL) &&
	       WSAGetLastError() == WSA_INVALID_HANDLE);
	/* The end of the thread: its own, and no other's. */
	EXPECT(begin(s, RECORDS, &a, NULL, NULL) == WSA_IO_PENDING);
	EXPECT(!pthread_create(&thread, NULL, thread_that_ends, &mine));
	EXPECT(!pthread_join(thread, NULL));
	expect_signal(b.hEvent);
	EXPECT(result_of(s, &b, &count) == WSA_OPERATION_ABORTED && !is_signalled(a.hEvent));
	/* closesocket */
	EXPECT(begin(s, CONTEXT, &c, routine, NULL) == WSA_IO_PENDING);
	EXPECT(!closesocket(s));
	EXPECT(is_signalled(a.hEvent) && result_of(s, &a, &count) == WSA_OPERATION_ABORTED);
	EXPECT(SleepEx(0, TRUE) == WAIT_IO_COMPLETION && told.calls == 2);
	EXPECT(told.error == WSA_OPERATION_ABORTED && told.overlapped == &c);
	EXPECT(begin(s, RECORDS, &a, NULL, &count) == WSAENOTSOCK);
	EXPECT(ERROR_OF(closesocket(s)) == WSAENOTSOCK);
	/* A descriptor that was closed by POSIX' call, and is now another socket's. */
	s = receiver_of(&world, 0, WSA_FLAG_OVERLAPPED);
	EXPECT(begin(s, RECORDS, &a, NULL, NULL) == WSA_IO_PENDING);
	close((int)s);
	EXPECT((SOCKET)socket_of(V4, 0) == s);
	EXPECT(begin(s, RECORDS, &b, NULL, &count) == WSAENOTCONN);
	EXPECT(is_signalled(a.hEvent) && a.Internal == 0xc0000120);
	closesocket(s);
}

/* Routines run in alertable waits of the thread that made the call, and nowhere else. */
static void routines(void)
{
	WSAOVERLAPPED overlapped = { .hEvent = (HANDLE)4711 };
	WSAEVENT event = WSACreateEvent(), set = WSACreateEvent();
	SOCKET s = receiver_of(&world, 0, WSA_FLAG_OVERLAPPED);
	DWORD count = 0;

	WSASetEvent(set);
	EXPECT(begin(s, RECORDS, &overlapped, routine, NULL) == WSA_IO_PENDING);
	told.s = s;
	application_sends(&world, -1, V4, 1, "hello");
	for (int i = 0; i < patience(200) && !HasOverlappedIoCompleted(&overlapped); i++)
		usleep(10000);
	EXPECT(HasOverlappedIoCompleted(&overlapped) && overlapped.hEvent == (HANDLE)4711);
	EXPECT(SleepEx(20, FALSE) == 0 && !told.calls);
	EXPECT(WSAWaitForMultipleEvents(1, &event, FALSE, 20, FALSE) == WSA_WAIT_TIMEOUT);
	EXPECT(!told.calls);
	EXPECT(WSAWaitForMultipleEvents(1, &event, FALSE, 2000, TRUE) == WSA_WAIT_IO_COMPLETION);
	EXPECT(told.calls == 1 && !told.error && told.count == 184);
	EXPECT(pthread_equal(told.thread, pthread_self()));
	/* The codes of redirection are not for routines. */
	for (int i = 0; i < 3; i++)
		EXPECT(told.nested[i] == WSAEINPROGRESS, "%d", told.nested[i]);
	EXPECT(begin(s, RECORDS, NULL, NULL, &count) == 0);
	told.s = 0;
	/* Once is once. */
	EXPECT(WSAWaitForMultipleEvents(1, &set, FALSE, 0, TRUE) == WSA_WAIT_EVENT_0);
	EXPECT(SleepEx(0, TRUE) == 0 && told.calls == 1);
	closesocket(s);
}

struct other {
	WSATHREADID id;
	WSAEVENT ready, go;
	pthread_t thread;
	int calls;
};

static void CALLBACK user_routine(DWORD_PTR context)
{
	(*(int *)context)++;
}

static void *other_thread(void *data)
{
	struct other *other = data;

	EXPECT(!WPUOpenCurrentThread(&other->id, NULL));
	WSASetEvent(other->ready);
	while (WSAWaitForMultipleEvents(1, &other->go, FALSE, INFINITE, TRUE) ==
	       WSA_WAIT_IO_COMPLETION)
		continue;
	return NULL;
}

/* WSPIoctl: the error in its place, and the routine in the thread that is named. */
static void provider(void)
{
	struct other other = { .ready = WSACreateEvent(), .go = WSACreateEvent() };
	SOCKET s = receiver_of(&world, 0, WSA_FLAG_OVERLAPPED);
	WSATHREADID copy, wrong = { .ThreadHandle = other.go };
	WSAOVERLAPPED overlapped = {};
	int error = 0;

	EXPECT(!pthread_create(&other.thread, NULL, other_thread, &other));
	expect_signal(other.ready);
	WSASetLastError(5);
	copy = other.id;
	EXPECT(WSPIoctl(s, RECORDS, NULL, 0, buffer, sizeof(buffer), NULL, &overlapped, routine,
			&copy, &error) == SOCKET_ERROR);
	EXPECT(error == WSA_IO_PENDING && WSAGetLastError() == 5);
	/* The structure was kept, and not the pointer. */
	memset(&copy, 0xa5, sizeof(copy));
	application_sends(&world, -1, V4, 1, "hello");
	for (int i = 0; i < patience(200) && !__atomic_load_n(&told.calls, __ATOMIC_SEQ_CST); i++)
		usleep(10000);
	EXPECT(told.calls == 1 && pthread_equal(told.thread, other.thread));
	/* One that is none. */
	EXPECT(WSPIoctl(s, RECORDS, NULL, 0, buffer, sizeof(buffer), NULL, &overlapped, routine,
			&copy, &error) == SOCKET_ERROR &&
	       error == WSA_INVALID_HANDLE);
	EXPECT(WSPIoctl(s, RECORDS, NULL, 0, buffer, sizeof(buffer), NULL, &overlapped, routine,
			&wrong, &error) == SOCKET_ERROR &&
	       error == WSA_INVALID_HANDLE);
	EXPECT(WSPIoctl(s, RECORDS, NULL, 0, buffer, sizeof(buffer), NULL, &overlapped, routine,
			(WSATHREADID *)8, &error) == SOCKET_ERROR &&
	       error == WSAEFAULT);
	/* And what a provider queues itself. */
	EXPECT(!WPUQueueApc(&other.id, user_routine, (DWORD_PTR)&other.calls, &error));
	for (int i = 0; i < patience(200) && !__atomic_load_n(&other.calls, __ATOMIC_SEQ_CST); i++)
		usleep(10000);
	EXPECT(other.calls == 1);
	WSASetEvent(other.go);
	EXPECT(!pthread_join(other.thread, NULL));
	EXPECT(WPUQueueApc(&other.id, user_routine, (DWORD_PTR)&other.calls, &error) ==
		       SOCKET_ERROR &&
	       error == WSA_INVALID_HANDLE);
	EXPECT(!WPUCloseThread(&other.id, &error));
	EXPECT(WPUCloseThread(&other.id, &error) == SOCKET_ERROR && error == WSA_INVALID_HANDLE);
	closesocket(s);
}

static void on_signal(int number)
{
}

static void *interrupter(void *data)
{
	usleep(100000);
	pthread_kill(*(pthread_t *)data, SIGUSR1);
	return NULL;
}

/* Blocking, it waits for the answer, until a signal handler runs. */
static void interrupted(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	SOCKET s = receiver_of(&world, 0, 0);
	pthread_t self = pthread_self(), thread;
	u_long on = 1;
	DWORD count = 0;

	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < 2; i++) {
		DWORD code = i ? CONTEXT : RECORDS;

		EXPECT(!pthread_create(&thread, NULL, interrupter, &self));
		EXPECT(begin(s, code, NULL, NULL, &count) == WSAEINTR, "%d", WSAGetLastError());
		EXPECT(!pthread_join(thread, NULL));
	}
	EXPECT(!ioctlsocket(s, FIONBIO, &on));
	EXPECT(begin(s, RECORDS, NULL, NULL, &count) == WSAENOTCONN);
	on = 0;
	EXPECT(!ioctlsocket(s, FIONBIO, &on));
	application_sends(&world, -1, V4, 1, "hello");
	EXPECT(begin(s, RECORDS, NULL, NULL, &count) == 0 && count == 184);
	closesocket(s);
}

/* Every pointer that an overlapped call has. */
static void bad_pointers(void)
{
	char *gone = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *fixed = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *bad[] = { (void *)8, (void *)-4096L, gone, fixed };
	WSAOVERLAPPED overlapped = {};
	DWORD count = 0, flags = 0;
	struct leg leg;
	SOCKET s;

	EXPECT(gone != MAP_FAILED && fixed != MAP_FAILED && !munmap(gone, 8192));
	world_policy(&world, 1, NULL);
	s = accepted_of(true, &leg);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		static const DWORD codes[] = { RECORDS, CONTEXT, SET, SIO_FLUSH };

		for (size_t k = 0; k < sizeof(codes) / sizeof(codes[0]); k++) {
			EXPECT(begin(s, codes[k], bad[i], NULL, &count) == WSAEFAULT, "%zu", i);
			EXPECT(begin(s, codes[k], &overlapped, NULL, bad[i]) == WSAEFAULT);
			if (bad[i] != fixed)
				EXPECT(begin(s, codes[k], &overlapped, bad[i], &count) ==
				       WSAEFAULT);
		}
		EXPECT(ERROR_OF(WSAIoctl(s, RECORDS, NULL, 0, bad[i], 2048, &count, &overlapped,
					 NULL)) == WSAEFAULT);
		/* What is only read may be read only. */
		if (bad[i] != fixed)
			EXPECT(!WSAGetOverlappedResult(s, bad[i], &count, FALSE, &flags) &&
			       WSAGetLastError() == WSAEFAULT);
		EXPECT(!WSAGetOverlappedResult(s, &overlapped, bad[i], FALSE, &flags) &&
		       WSAGetLastError() == WSAEFAULT);
		EXPECT(!WSAGetOverlappedResult(s, &overlapped, &count, FALSE, bad[i]) &&
		       WSAGetLastError() == WSAEFAULT);
		EXPECT(WSAWaitForMultipleEvents(2, bad[i], FALSE, 0, FALSE) == WSA_WAIT_FAILED);
	}
	/* With a routine and no structure there is nothing to complete. */
	EXPECT(begin(s, RECORDS, NULL, routine, &count) == WSAEFAULT);
	overlapped.hEvent = (HANDLE)0x12345678;
	EXPECT(begin(s, RECORDS, &overlapped, NULL, &count) == WSA_INVALID_HANDLE);
	closesocket(s);
}

/* The platform goes, on a socket that it had answered on: not the same as never having been up. */
static void gone(void)
{
	struct message message = {};
	struct leg leg;
	bool found;
	DWORD count = 0;
	SOCKET s, fresh, onward;

	world_policy(&world, 1, NULL);
	s = accepted_of(true, &leg);
	EXPECT(begin(s, RECORDS, NULL, NULL, &count) == 0);
	onward = winsock_socket(AF_INET, SOCK_STREAM, 0);
	EXPECT(!ERROR_OF(WSAIoctl(onward, SET, buffer, count, NULL, 0, &count, NULL, NULL)));
	as_root(&world);
	EXPECT(!instance_down(world.name, &found, &message) && found, "%s", message.text);
	as_service(&world, 0);
	/* The kernel detaches programs a moment later. */
	for (int try = 0; !begin(s, RECORDS, NULL, NULL, &count) && try < patience(200); try++)
		usleep(10000);
	EXPECT(begin(s, RECORDS, NULL, NULL, &count) == WSAENETDOWN);
	EXPECT(begin(s, CONTEXT, NULL, NULL, &count) == WSAENETDOWN);
	EXPECT(ERROR_OF(WSAIoctl(onward, SET, buffer, 160, NULL, 0, &count, NULL, NULL)) ==
	       WSAENETDOWN);
	fresh = winsock_socket(AF_INET, SOCK_STREAM, 0);
	EXPECT(begin(fresh, RECORDS, NULL, NULL, &count) == WSAEOPNOTSUPP);
	closesocket(s);
	closesocket(fresh);
	closesocket(onward);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} cases[] = {
		{ "ignored", ignored },
		{ "at_once", at_once },
		{ "later", later },
		{ "connecting", connecting },
		{ "aborted", aborted },
		{ "routines", routines },
		{ "provider", provider },
		{ "interrupted", interrupted },
		{ "bad_pointers", bad_pointers },
		{ "gone", gone },
	};

	EXPECT(argc == 2);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (strcmp(cases[i].name, argv[1]))
			continue;
		world_begin(&world, "winsock_overlapped");
		world_up(&world);
		datagram_policy(&world, 1, NULL);
		datagram_server(&world);
		cases[i].run();
		as_root(&world);
		world_end(&world);
	}
	EXPECT(false, "no case %s", argv[1]);
}
