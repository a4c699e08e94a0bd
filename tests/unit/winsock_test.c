// SPDX-License-Identifier: BSD-2-Clause
/*
 * The Winsock part without any platform: sockets, waits, threads and lines of calls on loopback, as a
 * program from Windows relies on them.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WAYBILL_WINSOCK_NO_POSIX_NAMES
#include <waybill/winsock.h>

#define ERROR_OF(call) ((call) ? WSAGetLastError() : 0)

static SOCKET listener_make(struct sockaddr_in *here)
{
	SOCKET s = winsock_socket(AF_INET, SOCK_STREAM, 0);
	int length = sizeof(*here);

	*here = (struct sockaddr_in){ .sin_family = AF_INET };
	here->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(winsock_bind(s, (void *)here, sizeof(*here)), 0);
	assert_int_equal(winsock_listen(s, 16), 0);
	assert_int_equal(winsock_getsockname(s, (void *)here, &length), 0);
	return s;
}

/* Two ends of a stream. */
static void pair_make(SOCKET *client, SOCKET *accepted)
{
	struct sockaddr_in here;
	SOCKET listener = listener_make(&here);

	*client = winsock_socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(winsock_connect(*client, (void *)&here, sizeof(here)), 0);
	*accepted = winsock_accept(listener, NULL, NULL);
	assert_true(*accepted != INVALID_SOCKET);
	closesocket(listener);
}

static SOCKET datagrams_make(struct sockaddr_in *here)
{
	SOCKET s = winsock_socket(AF_INET, SOCK_DGRAM, 0);
	int length = sizeof(*here);

	*here = (struct sockaddr_in){ .sin_family = AF_INET };
	here->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(winsock_bind(s, (void *)here, sizeof(*here)), 0);
	assert_int_equal(winsock_getsockname(s, (void *)here, &length), 0);
	return s;
}

struct blocked {
	SOCKET s;
	int kind, error;
};

static DWORD WINAPI blocked_run(LPVOID data)
{
	struct blocked *blocked = data;
	char byte;

	if (blocked->kind == 0)
		blocked->error = winsock_accept(blocked->s, NULL, NULL) == INVALID_SOCKET ?
					 WSAGetLastError() :
					 0;
	else
		blocked->error = winsock_recv(blocked->s, &byte, 1, 0) < 0 ? WSAGetLastError() : 0;
	return 0;
}

/* A thread that blocks on a socket ends when the socket is closed, and the port is free. */
static void test_close_wakes(void **state)
{
	struct sockaddr_in here;
	(void)state;

	for (int kind = 0; kind < 2; kind++) {
		struct blocked blocked = { .kind = kind, .error = -1 };
		HANDLE thread;
		SOCKET again;

		blocked.s = kind ? datagrams_make(&here) : listener_make(&here);
		thread = CreateThread(NULL, 4096, blocked_run, &blocked, 0, NULL);
		assert_non_null(thread);
		Sleep(50);
		assert_int_equal(WaitForSingleObject(thread, 0), WAIT_TIMEOUT);
		assert_int_equal(closesocket(blocked.s), 0);
		assert_int_equal(WaitForSingleObject(thread, 2000), WAIT_OBJECT_0);
		assert_int_equal(blocked.error, WSAEINTR);
		CloseHandle(thread);
		again = winsock_socket(AF_INET, kind ? SOCK_DGRAM : SOCK_STREAM, 0);
		assert_int_equal(winsock_bind(again, (void *)&here, sizeof(here)), 0);
		closesocket(again);
	}
}

static DWORD WINAPI closer_run(LPVOID data)
{
	closesocket((SOCKET)data);
	return 0;
}

/* A close that lingers holds up nobody else. */
static void test_close_lingers(void **state)
{
	struct linger linger = { 1, 3 };
	char *bytes = calloc(1, 1 << 20);
	SOCKET client, accepted;
	u_long on = 1;
	ULONGLONG before;
	HANDLE thread;
	(void)state;

	pair_make(&client, &accepted);
	assert_int_equal(ioctlsocket(client, FIONBIO, &on), 0);
	while (winsock_send(client, bytes, 1 << 20, 0) > 0)
		continue;
	assert_int_equal(
		winsock_setsockopt(client, SOL_SOCKET, SO_LINGER, (char *)&linger, sizeof(linger)),
		0);
	thread = CreateThread(NULL, 0, closer_run, (LPVOID)client, 0, NULL);
	Sleep(100);
	assert_int_equal(WaitForSingleObject(thread, 0), WAIT_TIMEOUT);
	before = GetTickCount64();
	WSACloseEvent(WSACreateEvent());
	assert_true(GetTickCount64() - before < 1000);
	closesocket(accepted);
	assert_int_equal(WaitForSingleObject(thread, 5000), WAIT_OBJECT_0);
	CloseHandle(thread);
	free(bytes);
}

struct waiting {
	WSAEVENT events[2];
	BOOL all;
	DWORD result;
};

static DWORD WINAPI waiting_run(LPVOID data)
{
	struct waiting *waiting = data;

	waiting->result = WSAWaitForMultipleEvents(2, waiting->events, waiting->all, 2000, FALSE);
	return 0;
}

/* Whoever waits when an event is set is released, even if it is reset at once. */
static void test_pulse(void **state)
{
	struct waiting waiting = { { WSACreateEvent(), WSACreateEvent() }, FALSE, 0 };
	(void)state;

	for (int round = 0; round < 50; round++) {
		HANDLE thread = CreateThread(NULL, 0, waiting_run, &waiting, 0, NULL);

		/* It may take its time to begin to wait; what is set before that is not for it. */
		do {
			WSASetEvent(waiting.events[1]);
			WSAResetEvent(waiting.events[1]);
		} while (WaitForSingleObject(thread, 5) == WSA_WAIT_TIMEOUT);
		assert_int_equal(waiting.result, WSA_WAIT_EVENT_0 + 1);
		CloseHandle(thread);
	}
	/* All at once, and not one after the other. */
	waiting.all = TRUE;
	WSASetEvent(waiting.events[0]);
	for (int round = 0; round < 2; round++) {
		HANDLE thread = CreateThread(NULL, 0, waiting_run, &waiting, 0, NULL);

		Sleep(20);
		if (round)
			WSAResetEvent(waiting.events[0]);
		WSASetEvent(waiting.events[1]);
		WSAResetEvent(waiting.events[1]);
		assert_int_equal(WaitForSingleObject(thread, 5000), WAIT_OBJECT_0);
		assert_int_equal(waiting.result, round ? WSA_WAIT_TIMEOUT : WSA_WAIT_EVENT_0);
		CloseHandle(thread);
	}
	WSACloseEvent(waiting.events[0]);
	WSACloseEvent(waiting.events[1]);
}

static int routine_calls;

static void CALLBACK count_routine(DWORD error, DWORD count, LPWSAOVERLAPPED overlapped,
				   DWORD flags)
{
	(void)error, (void)count, (void)overlapped, (void)flags;
	routine_calls++;
}

/* What is signalled already ends a wait before routines run. */
static void test_signalled_first(void **state)
{
	WSAEVENT event = WSACreateEvent();
	WSAOVERLAPPED overlapped = { 0 };
	SOCKET client, accepted;
	char byte;
	WSABUF buffer = { 1, &byte };
	DWORD flags = 0;
	(void)state;

	routine_calls = 0;
	pair_make(&client, &accepted);
	assert_int_equal(winsock_send(accepted, "x", 1, 0), 1);
	Sleep(20);
	assert_int_equal(WSARecv(client, &buffer, 1, NULL, &flags, &overlapped, count_routine), 0);
	WSASetEvent(event);
	assert_int_equal(WSAWaitForMultipleEvents(1, &event, FALSE, 1000, TRUE), WSA_WAIT_EVENT_0);
	assert_int_equal(routine_calls, 0);
	WSAResetEvent(event);
	assert_int_equal(WSAWaitForMultipleEvents(1, &event, FALSE, 1000, TRUE),
			 WSA_WAIT_IO_COMPLETION);
	assert_int_equal(routine_calls, 1);
	WSACloseEvent(event);
	closesocket(client);
	closesocket(accepted);
}

/* A child that closes its copy, or forks while the lock is taken, harms nobody. */
static void test_fork(void **state)
{
	WSAOVERLAPPED overlapped = { .hEvent = WSACreateEvent() };
	SOCKET client, accepted;
	char byte;
	WSABUF buffer = { 1, &byte };
	DWORD flags = 0;
	int status;
	pid_t child;
	(void)state;

	pair_make(&client, &accepted);
	assert_int_equal(ERROR_OF(WSARecv(client, &buffer, 1, NULL, &flags, &overlapped, NULL)),
			 WSA_IO_PENDING);
	child = fork();
	if (!child) {
		WSAEVENT event = WSACreateEvent();
		WSAOVERLAPPED own = { .hEvent = event };
		SOCKET a, b;

		closesocket(client);
		/* And its own calls complete. */
		pair_make(&a, &b);
		if (ERROR_OF(WSARecv(a, &buffer, 1, NULL, &flags, &own, NULL)) != WSA_IO_PENDING)
			_exit(1);
		winsock_send(b, "y", 1, 0);
		_exit(WSAWaitForMultipleEvents(1, &event, FALSE, 2000, FALSE) != WSA_WAIT_EVENT_0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(winsock_send(accepted, "x", 1, 0), 1);
	assert_int_equal(WaitForSingleObject(overlapped.hEvent, 2000), WAIT_OBJECT_0);
	WSACloseEvent(overlapped.hEvent);
	closesocket(client);
	closesocket(accepted);
}

/* The one behind a call that is cancelled goes on. */
static void test_cancel_first(void **state)
{
	WSAOVERLAPPED first = { .hEvent = WSACreateEvent() };
	WSAOVERLAPPED second = { .hEvent = WSACreateEvent() };
	struct sockaddr_in here, there;
	char bytes[8];
	WSABUF buffer = { sizeof(bytes), bytes };
	SOCKET s = datagrams_make(&here), from = datagrams_make(&there);
	DWORD flags = MSG_ERRQUEUE, count = 0;
	(void)state;

	assert_int_equal(ERROR_OF(WSARecv(s, &buffer, 1, NULL, &flags, &first, NULL)),
			 WSA_IO_PENDING);
	flags = 0;
	assert_int_equal(ERROR_OF(WSARecv(s, &buffer, 1, NULL, &flags, &second, NULL)),
			 WSA_IO_PENDING);
	assert_int_equal(winsock_sendto(from, "abcd", 4, 0, (void *)&here, sizeof(here)), 4);
	assert_int_equal(WaitForSingleObject(second.hEvent, 100), WAIT_TIMEOUT);
	assert_true(CancelIoEx((HANDLE)s, &first));
	assert_int_equal(WaitForSingleObject(second.hEvent, 2000), WAIT_OBJECT_0);
	assert_true(WSAGetOverlappedResult(s, &second, &count, FALSE, &flags));
	assert_int_equal(count, 4);
	WSACloseEvent(first.hEvent);
	WSACloseEvent(second.hEvent);
	closesocket(s);
	closesocket(from);
}

/* What an overlapped send sends is not torn apart by another; nor what a receive receives. */
static void test_in_line(void **state)
{
	enum { SIZE = 8 << 20 };
	WSAOVERLAPPED overlapped = { .hEvent = WSACreateEvent() };
	char *bytes = malloc(SIZE), *got = malloc(SIZE);
	WSABUF buffer = { SIZE, bytes };
	SOCKET client, accepted;
	u_long on = 1;
	int sum = 0, count;
	(void)state;

	memset(bytes, 'A', SIZE);
	pair_make(&client, &accepted);
	assert_int_equal(ERROR_OF(WSASend(client, &buffer, 1, NULL, 0, &overlapped, NULL)),
			 WSA_IO_PENDING);
	assert_int_equal(ioctlsocket(client, FIONBIO, &on), 0);
	assert_int_equal(winsock_send(client, "B", 1, 0), SOCKET_ERROR);
	assert_int_equal(WSAGetLastError(), WSAEWOULDBLOCK);
	while (sum < SIZE && (count = winsock_recv(accepted, got, SIZE, 0)) > 0) {
		assert_null(memchr(got, 'B', (size_t)count));
		sum += count;
	}
	assert_int_equal(sum, SIZE);
	assert_int_equal(WaitForSingleObject(overlapped.hEvent, 2000), WAIT_OBJECT_0);
	assert_int_equal(winsock_send(client, "B", 1, 0), 1);
	assert_int_equal(winsock_recv(accepted, got, SIZE, 0), 1);
	assert_int_equal(got[0], 'B');
	/* All that was asked for, and what there is at the end. */
	{
		WSABUF part = { 8, got };
		DWORD flags = MSG_WAITALL, done = 0;

		assert_int_equal(
			ERROR_OF(WSARecv(client, &part, 1, NULL, &flags, &overlapped, NULL)),
			WSA_IO_PENDING);
		assert_int_equal(winsock_send(accepted, "ab", 2, 0), 2);
		assert_int_equal(WaitForSingleObject(overlapped.hEvent, 50), WAIT_TIMEOUT);
		assert_int_equal(winsock_send(accepted, "cdefgh", 6, 0), 6);
		assert_int_equal(WaitForSingleObject(overlapped.hEvent, 2000), WAIT_OBJECT_0);
		assert_true(WSAGetOverlappedResult(client, &overlapped, &done, FALSE, &flags));
		assert_int_equal(done, 8);
		assert_memory_equal(got, "abcdefgh", 8);
	}
	WSACloseEvent(overlapped.hEvent);
	closesocket(client);
	closesocket(accepted);
	free(bytes);
	free(got);
}

static void test_errors(void **state)
{
	struct sockaddr_in here;
	SOCKET client, accepted, fresh = winsock_socket(AF_INET, SOCK_STREAM, 0);
	SOCKET datagrams = winsock_socket(AF_INET, SOCK_DGRAM, 0);
	DWORD time = 50, got = 0;
	int length = sizeof(got);
	char byte;
	(void)state;

	assert_int_equal(winsock_send(fresh, "x", 1, 0), SOCKET_ERROR);
	assert_int_equal(WSAGetLastError(), WSAENOTCONN);
	assert_int_equal(winsock_send(datagrams, "x", 1, 0), SOCKET_ERROR);
	assert_int_equal(WSAGetLastError(), WSAENOTCONN);
	pair_make(&client, &accepted);
	assert_int_equal(
		winsock_setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, (char *)&time, sizeof(time)),
		0);
	assert_int_equal(winsock_getsockopt(client, SOL_SOCKET, SO_RCVTIMEO, (char *)&got, &length),
			 0);
	assert_true(got >= 50 && got < 80);
	assert_int_equal(winsock_recv(client, &byte, 1, 0), SOCKET_ERROR);
	assert_int_equal(WSAGetLastError(), WSAETIMEDOUT);
	assert_int_equal(winsock_shutdown(client, SD_SEND), 0);
	assert_int_equal(winsock_send(client, "x", 1, 0), SOCKET_ERROR);
	assert_int_equal(WSAGetLastError(), WSAESHUTDOWN);
	closesocket(client);
	closesocket(accepted);
	/* A datagram socket's port is its own. */
	closesocket(datagrams);
	datagrams = datagrams_make(&here);
	{
		SOCKET other = winsock_socket(AF_INET, SOCK_DGRAM, 0), own;
		BOOL on = TRUE;

		own = winsock_socket(AF_INET, SOCK_DGRAM, 0);
		closesocket(datagrams);
		assert_int_equal(winsock_setsockopt(own, SOL_SOCKET, SO_EXCLUSIVEADDRUSE,
						    (char *)&on, sizeof(on)),
				 0);
		assert_int_equal(winsock_bind(own, (void *)&here, sizeof(here)), 0);
		assert_int_equal(winsock_setsockopt(other, SOL_SOCKET, SO_REUSEADDR, (char *)&on,
						    sizeof(on)),
				 0);
		assert_int_equal(ERROR_OF(winsock_bind(other, (void *)&here, sizeof(here))),
				 WSAEADDRINUSE);
		closesocket(other);
		closesocket(own);
	}
	/* IPv6's sockets are for IPv6 alone, so both families can have the port. */
	{
		struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
		SOCKET four = listener_make(&here), both = winsock_socket(AF_INET6, SOCK_STREAM, 0);

		six.sin6_port = here.sin_port;
		assert_int_equal(winsock_bind(both, (void *)&six, sizeof(six)), 0);
		closesocket(four);
		closesocket(both);
	}
	closesocket(fresh);
}

static void test_bad_pointers(void **state)
{
	struct sockaddr_in here;
	struct sockaddr_storage from;
	SOCKET listener = listener_make(&here), s = datagrams_make(&here);
	fd_set set;
	char byte;
	(void)state;

	assert_int_equal(winsock_accept(listener, (void *)&from, (int *)8), INVALID_SOCKET);
	assert_int_equal(WSAGetLastError(), WSAEFAULT);
	assert_int_equal(winsock_recvfrom(s, &byte, 1, 0, (void *)&from, (int *)8), SOCKET_ERROR);
	assert_int_equal(WSAGetLastError(), WSAEFAULT);
	FD_ZERO(&set);
	winsock_fd_set(s, &set, 1);
	assert_true(winsock_fd_isset(s, &set));
	winsock_fd_set(FD_SETSIZE + 5, &set, 1);
	assert_false(winsock_fd_isset(FD_SETSIZE + 5, &set));
	assert_int_equal(winsock_select(0, &set, NULL, NULL, (void *)8), SOCKET_ERROR);
	assert_int_equal(WSAGetLastError(), WSAEFAULT);
	assert_int_equal(WSAStartup(MAKEWORD(2, 2), (void *)8), WSAEFAULT);
	/* A descriptor is no handle. */
	for (uintptr_t number = 0; number < 64; number++)
		assert_false(CloseHandle((HANDLE)number));
	closesocket(listener);
	closesocket(s);
}

/* All descriptors but the standard ones, as daemons do; what comes after that works. */
static void test_closed_behind(void **state)
{
	WSAOVERLAPPED overlapped = { .hEvent = WSACreateEvent() };
	SOCKET client, accepted;
	char byte;
	WSABUF buffer = { 1, &byte };
	DWORD flags = 0;
	pid_t child;
	int status;
	(void)state;

	child = fork();
	if (!child) {
		struct timespec used;

		pair_make(&client, &accepted);
		WSARecv(client, &buffer, 1, NULL, &flags, &overlapped, NULL);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		usleep(300000);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
		if (used.tv_sec || used.tv_nsec > 150000000)
			_exit(1);
		overlapped.hEvent = WSACreateEvent();
		pair_make(&client, &accepted);
		if (ERROR_OF(WSARecv(client, &buffer, 1, NULL, &flags, &overlapped, NULL)) !=
		    WSA_IO_PENDING)
			_exit(2);
		winsock_send(accepted, "x", 1, 0);
		_exit(WaitForSingleObject(overlapped.hEvent, 2000) == WAIT_OBJECT_0 ? 0 : 3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	WSACloseEvent(overlapped.hEvent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close_wakes),  cmocka_unit_test(test_close_lingers),
		cmocka_unit_test(test_pulse),        cmocka_unit_test(test_signalled_first),
		cmocka_unit_test(test_fork),         cmocka_unit_test(test_cancel_first),
		cmocka_unit_test(test_in_line),      cmocka_unit_test(test_errors),
		cmocka_unit_test(test_bad_pointers), cmocka_unit_test(test_closed_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
