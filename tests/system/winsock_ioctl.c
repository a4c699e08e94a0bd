// SPDX-License-Identifier: BSD-2-Clause
/*
 * WSAIoctl on real redirected connections, as a Windows redirect service calls it: each row of the
 * tables of sizes and errors, and the habits that services have with sizes.
 */
#include <sys/mman.h>

#include "records_tools.h"

#define WAYBILL_WINSOCK_NO_POSIX_NAMES
#include <waybill/winsock.h>

#define RECORDS SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS
#define CONTEXT SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT
#define SET SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS

static struct world world;
static struct leg leg;
static unsigned char buffer[8192];

/* 0, or the error; and the count in *count. */
static int ask(SOCKET s, DWORD code, void *out, DWORD size, DWORD *count)
{
	WSASetLastError(-1);
	if (!WSAIoctl(s, code, NULL, 0, out, size, count, NULL, NULL)) {
		EXPECT(WSAGetLastError() == -1);
		return 0;
	}
	return WSAGetLastError();
}

static int set(SOCKET s, void *in, DWORD size)
{
	DWORD count = 77;
	int error = WSAIoctl(s, SET, in, size, NULL, 0, &count, NULL, NULL) ? WSAGetLastError() : 0;

	EXPECT(count == 0 || error == WSAENOTSOCK, "%u", count);
	return error;
}

static void sizes(DWORD code, DWORD exact)
{
	SOCKET s = leg.accepted;
	DWORD count = 77;

	EXPECT(ask(s, code, NULL, 0, &count) == ERROR_INSUFFICIENT_BUFFER && count == exact);
	EXPECT(ask(s, code, buffer, 0, &count) == ERROR_INSUFFICIENT_BUFFER && count == exact);
	for (DWORD size = 1; size < 4; size++) {
		count = 77;
		EXPECT(ask(s, code, buffer, size, &count) == WSAEINVAL && count == 0);
	}
	for (DWORD size = 4; size < exact; size++) {
		memset(buffer, 0xa5, sizeof(buffer));
		EXPECT(ask(s, code, buffer, size, &count) == ERROR_INSUFFICIENT_BUFFER);
		EXPECT(count == exact, "%u", count);
		for (DWORD i = 0; i < exact; i++)
			EXPECT(buffer[i] == 0xa5, "something was copied");
	}
	for (DWORD size = exact; size < exact + 10; size++)
		EXPECT(!ask(s, code, buffer, size, &count) && count == exact);
}

/* Fixed; asked for first; doubled. */
static void habits(DWORD code, DWORD exact)
{
	static const DWORD fixed[] = { 1024, 2048, 8192 };
	SOCKET s = leg.accepted;
	DWORD count, size;
	int error;

	for (size_t i = 0; i < 3; i++)
		EXPECT(!ask(s, code, buffer, fixed[i], &count) && count == exact);
	EXPECT(ask(s, code, NULL, 0, &size) == ERROR_INSUFFICIENT_BUFFER);
	EXPECT(!ask(s, code, buffer, size, &count) && count == size && count == exact);
	for (size = 256; (error = ask(s, code, buffer, size, &count)); size *= 2)
		EXPECT(error == WSAEFAULT || error == WSAENOBUFS ||
		       error == ERROR_INSUFFICIENT_BUFFER);
	EXPECT(count == exact);
}

static void bad_pointers(void)
{
	char *gone = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *fixed = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *bad[] = { NULL, gone, fixed, (void *)8, (void *)-4096L };
	SOCKET s = leg.accepted, onward = socket_of(V4, 0);
	DWORD count;

	EXPECT(gone != MAP_FAILED && fixed != MAP_FAILED && !munmap(gone, 8192));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (int code = 0; code < 2; code++) {
			DWORD which = code ? CONTEXT : RECORDS;

			EXPECT(ask(s, which, bad[i], 2048, &count) == WSAEFAULT, "out %zu: %d", i,
			       WSAGetLastError());
			EXPECT(ask(s, which, buffer, sizeof(buffer), bad[i]) == WSAEFAULT,
			       "count %zu: %d", i, WSAGetLastError());
		}
		/* What is read may be read only. */
		if (bad[i] != fixed)
			EXPECT(set(onward, bad[i], 160) == WSAEFAULT, "in %zu: %d", i,
			       WSAGetLastError());
		EXPECT(WSAIoctl(onward, SET, buffer, 160, NULL, 0, bad[i], NULL, NULL) &&
		       WSAGetLastError() == WSAEFAULT);
	}
	close(onward);
}

static void errors(DWORD exact)
{
	SOCKET s = leg.accepted, plain = socket_of(V4, 0), onward = socket_of(V4, 0), listener;
	SOCKET unix_socket = socket(AF_UNIX, SOCK_STREAM, 0), raw;
	DWORD count;
	int error, pair[2];

	/* Codes and sizes that cannot be. */
	EXPECT(ask(s, 0x98000001, buffer, sizeof(buffer), &count) == WSAEINVAL && count == 0);
	EXPECT(!ask(s, SIO_FLUSH, NULL, 0, &count));
	EXPECT(!ask(s, RECORDS, buffer, sizeof(buffer), &count) && count == exact);
	EXPECT(set(onward, buffer, 0) == WSAEINVAL);
	EXPECT(WSAIoctl(onward, SET, buffer, exact, buffer, 8, &count, NULL, NULL) &&
	       WSAGetLastError() == WSAEINVAL);
	/* Not a socket; not of this kind. */
	EXPECT(!pipe(pair));
	EXPECT(ask(pair[0], RECORDS, buffer, sizeof(buffer), &count) == WSAENOTSOCK);
	EXPECT(ask(INVALID_SOCKET, RECORDS, buffer, sizeof(buffer), &count) == WSAENOTSOCK);
	EXPECT(ask((SOCKET)s | 1ULL << 40, RECORDS, buffer, sizeof(buffer), &count) == WSAENOTSOCK);
	EXPECT(set(9999, buffer, exact) == WSAENOTSOCK);
	EXPECT(ask(unix_socket, RECORDS, buffer, sizeof(buffer), &count) == WSAEINVAL);
	raw = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
	if (raw != INVALID_SOCKET) {
		EXPECT(ask(raw, RECORDS, buffer, sizeof(buffer), &count) == WSAENOPROTOOPT);
		EXPECT(set(raw, buffer, exact) == WSAEINVAL);
	}
	/* Not connected, listening, not redirected. */
	EXPECT(ask(plain, RECORDS, buffer, sizeof(buffer), &count) == WSAENOTCONN);
	EXPECT(ask(plain, CONTEXT, buffer, sizeof(buffer), &count) == WSAENOTCONN);
	listener = listener_of(&world, 1, V4, false);
	EXPECT(ask(listener, RECORDS, buffer, sizeof(buffer), &count) == WSAENOTCONN);
	as_service(&world, 0);
	/* Set: genuine, forged, cut, and on a connected socket. */
	EXPECT(!ask(s, RECORDS, buffer, sizeof(buffer), &count));
	EXPECT(!set(onward, buffer, count), "%d", WSAGetLastError());
	buffer[40] ^= 1;
	error = set(onward, buffer, count);
	EXPECT(error == WSAEINVAL, "%d", error);
	buffer[40] ^= 1;
	EXPECT(set(onward, buffer, count - 8) == WSAEINVAL);
	EXPECT(set(onward, buffer, sizeof(buffer)) == WSAEINVAL);
	EXPECT(set(s, buffer, count) == WSAEISCONN);
	/* The last error is each function's own business. */
	WSASetLastError(5);
	error = 0;
	EXPECT(WSPIoctl(plain, RECORDS, NULL, 0, buffer, sizeof(buffer), &count, NULL, NULL, NULL,
			&error) == SOCKET_ERROR);
	EXPECT(error == WSAENOTCONN && WSAGetLastError() == 5);
	EXPECT(!WSPIoctl(s, RECORDS, NULL, 0, buffer, sizeof(buffer), &count, NULL, NULL, NULL,
			 &error) &&
	       count == exact);
	/* Not redirected: the service was dialled. */
	as_root(&world);
	{
		struct sockaddr_storage to;
		socklen_t length = sizeof(to);
		int direct = socket_of(V4, 0), accepted;

		EXPECT(!getsockname(listener, (void *)&to, &length));
		EXPECT(!connect(direct, (void *)&to, length));
		accepted = accept_from(listener);
		as_service(&world, 1);
		EXPECT(ask(accepted, RECORDS, buffer, sizeof(buffer), &count) == FWP_E_NOT_FOUND);
		EXPECT(ask(accepted, CONTEXT, buffer, sizeof(buffer), &count) == FWP_E_NOT_FOUND);
		/* Records of another service's. */
		EXPECT(ask(s, RECORDS, buffer, sizeof(buffer), &count) == 0);
		EXPECT(set(socket_of(V4, 0), buffer, count) == WSAEACCES);
		close(accepted);
		close(direct);
	}
}

/* Redirected, by a filter that attaches nothing. */
static void no_context(int listener)
{
	DWORD count;

	as_root(&world);
	policy_limited(&world, 2, "hops: 8");
	redirect_application(&world, 0, listener, V4, &leg);
	EXPECT(ask(leg.accepted, CONTEXT, NULL, 0, &count) == FWP_E_NOT_FOUND && count == 0);
	EXPECT(ask(leg.accepted, CONTEXT, buffer, 2048, &count) == FWP_E_NOT_FOUND && count == 0);
	EXPECT(!ask(leg.accepted, RECORDS, buffer, 2048, &count) && count == 184);
}

static void not_up(void)
{
	SOCKET s = socket_of(V4, 0);
	DWORD count;

	EXPECT(ask(s, RECORDS, buffer, sizeof(buffer), &count) == WSAEOPNOTSUPP);
	EXPECT(ask(s, CONTEXT, buffer, sizeof(buffer), &count) == WSAEOPNOTSUPP);
	EXPECT(set(s, buffer, 160) == WSAEOPNOTSUPP);
	close(s);
}

int main(void)
{
	WSADATA data;
	DWORD count;
	int listener;

	EXPECT(!WSAStartup(MAKEWORD(2, 2), &data) && data.wVersion == MAKEWORD(2, 2));
	EXPECT(WSAStartup(MAKEWORD(1, 1), &data) == WSAVERNOTSUPPORTED);
	EXPECT(WSAStartup(MAKEWORD(2, 2), NULL) == WSAEFAULT);
	world_begin(&world, "winsock_ioctl");
	not_up();
	world_up(&world);
	world_policy(&world, 2, NULL);
	listener = listener_of(&world, 0, V4, false);
	redirect_application(&world, 0, listener, V4, &leg);
	EXPECT(ask(leg.accepted, RECORDS, NULL, 0, &count) == ERROR_INSUFFICIENT_BUFFER);
	EXPECT(count == 184, "%u", count);
	sizes(RECORDS, count);
	habits(RECORDS, count);
	sizes(CONTEXT, 5);
	habits(CONTEXT, 5);
	bad_pointers();
	errors(count);
	no_context(listener);
	EXPECT(!WSACleanup());
	as_root(&world);
	world_end(&world);
}
