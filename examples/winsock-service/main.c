// SPDX-License-Identifier: BSD-2-Clause
/*
 * A redirect service for Windows and for Linux: it takes the TCP connections and the flows of
 * datagrams that are redirected to its port, and carries each on to where it was going, with its
 * records. What a real service adds happens in pump.c, where the bytes pass, and in datagram.c.
 *
 *	winsock-service PORT
 */
#include "service.h"

int main(int argc, char **argv)
{
	unsigned long port = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	SOCKET listener, datagrams;
	HANDLE thread;
	WSADATA data;
	int error;

	if (!port || port > 65535) {
		fprintf(stderr, "usage: winsock-service PORT\n");
		return 2;
	}
	error = WSAStartup(MAKEWORD(2, 2), &data);
	if (error) {
		fprintf(stderr, "winsock-service: WSAStartup: %d\n", error);
		return 1;
	}
	datagrams = datagram_open((unsigned short)port);
	if (datagrams == INVALID_SOCKET)
		goto failed;
	listener = stream_listen((unsigned short)port);
	if (listener == INVALID_SOCKET) {
		error = WSAGetLastError();
		closesocket(datagrams);
		WSASetLastError(error);
		goto failed;
	}
	thread = CreateThread(NULL, 0, datagram_serve, (LPVOID)datagrams, 0, NULL);
	if (!thread) {
		closesocket(datagrams);
		closesocket(listener);
		fprintf(stderr, "winsock-service: no thread\n");
		WSACleanup();
		return 1;
	}
	CloseHandle(thread);
	/* Returns when the listener failed. */
	stream_serve((LPVOID)listener);
	closesocket(listener);
	WSACleanup();
	return 1;

failed:
	fprintf(stderr, "winsock-service: port %lu: error %d\n", port, WSAGetLastError());
	WSACleanup();
	return 1;
}
