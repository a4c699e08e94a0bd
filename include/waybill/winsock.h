/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control codes of a Windows redirect service, under their Windows names: what a program asks
 * by WSAIoctl there, it asks by WSAIoctl here, with the same codes, sizes and errors.
 *
 *     #ifdef _WIN32
 *     #include <winsock2.h>
 *     #else
 *     #include <waybill/winsock.h>
 *     #endif
 *
 * Types have the widths, and structures the layout, of 64-bit Windows; constants have its values.
 * A SOCKET is a file descriptor: socket(2), accept(2) and connect(2) make them. They are sockets
 * without WSA_FLAG_OVERLAPPED, so lpOverlapped and the completion routine are ignored, as Windows
 * does with such sockets, and every call ends before it returns. Sources: the reference pages of
 * WSAIoctl and of the three SIO_..._WFP_CONNECTION_REDIRECT_... codes; the names, values and
 * layouts are compared with those of mingw-w64 by the test winsock_headers.
 *
 * All functions are thread-safe; the last error is each thread's own.
 */
#ifndef WAYBILL_WINSOCK_H
#define WAYBILL_WINSOCK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* "unsigned long" has 32 bits on Windows: print a DWORD with %u. */
typedef uint8_t BYTE;
typedef uint16_t WORD;
typedef uint32_t DWORD, ULONG;
typedef int INT, BOOL;
typedef unsigned int UINT;
typedef char CHAR;
typedef void *PVOID, *LPVOID, *HANDLE;
typedef uintptr_t ULONG_PTR, DWORD_PTR, UINT_PTR;
typedef size_t SIZE_T;
typedef DWORD *LPDWORD;
typedef INT *LPINT;

#ifndef FALSE
#define FALSE 0
#define TRUE 1
#endif
#define WSAAPI
#define CALLBACK

typedef UINT_PTR SOCKET;
#define INVALID_SOCKET ((SOCKET)~0)
#define SOCKET_ERROR (-1)

typedef HANDLE WSAEVENT;

typedef struct _OVERLAPPED {
	ULONG_PTR Internal;
	ULONG_PTR InternalHigh;
	union {
		struct {
			DWORD Offset;
			DWORD OffsetHigh;
		};
		PVOID Pointer;
	};
	HANDLE hEvent;
} OVERLAPPED, *LPOVERLAPPED, WSAOVERLAPPED, *LPWSAOVERLAPPED;

typedef void(CALLBACK *LPWSAOVERLAPPED_COMPLETION_ROUTINE)(DWORD dwError, DWORD cbTransferred,
							   LPWSAOVERLAPPED lpOverlapped,
							   DWORD dwFlags);

typedef struct _WSATHREADID {
	HANDLE ThreadHandle;
	DWORD_PTR Reserved;
} WSATHREADID, *LPWSATHREADID;

#define WSADESCRIPTION_LEN 256
#define WSASYS_STATUS_LEN 128

typedef struct WSAData {
	WORD wVersion;
	WORD wHighVersion;
	unsigned short iMaxSockets;
	unsigned short iMaxUdpDg;
	char *lpVendorInfo;
	char szDescription[WSADESCRIPTION_LEN + 1];
	char szSystemStatus[WSASYS_STATUS_LEN + 1];
} WSADATA, *LPWSADATA;

#define MAKEWORD(low, high) ((WORD)(((DWORD)(low)&0xff) | ((DWORD)(high)&0xff) << 8))
#define LOBYTE(word) ((BYTE)((DWORD_PTR)(word)&0xff))
#define HIBYTE(word) ((BYTE)((DWORD_PTR)(word) >> 8 & 0xff))

/* Control codes. */
#define IOC_VOID 0x20000000
#define IOC_OUT 0x40000000
#define IOC_IN 0x80000000
#define IOC_INOUT (IOC_IN | IOC_OUT)
#define IOC_WS2 0x08000000
#define IOC_VENDOR 0x18000000
#define _WSAIO(x, y) (IOC_VOID | (x) | (y))
#define _WSAIOR(x, y) (IOC_OUT | (x) | (y))
#define _WSAIOW(x, y) (IOC_IN | (x) | (y))
#define _WSAIORW(x, y) (IOC_INOUT | (x) | (y))

#define SIO_FLUSH _WSAIO(IOC_WS2, 4)
#define SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS _WSAIOW(IOC_VENDOR, 220)
#define SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT _WSAIOW(IOC_VENDOR, 221)
#define SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS _WSAIOW(IOC_VENDOR, 222)

/* Errors. */
#define ERROR_INSUFFICIENT_BUFFER 122
#define WSA_INVALID_HANDLE 6
#define WSA_NOT_ENOUGH_MEMORY 8
#define WSA_INVALID_PARAMETER 87
#define WSA_OPERATION_ABORTED 995
#define WSA_IO_INCOMPLETE 996
#define WSA_IO_PENDING 997
#define WSAEINTR 10004
#define WSAEBADF 10009
#define WSAEACCES 10013
#define WSAEFAULT 10014
#define WSAEINVAL 10022
#define WSAEMFILE 10024
#define WSAEWOULDBLOCK 10035
#define WSAEINPROGRESS 10036
#define WSAEALREADY 10037
#define WSAENOTSOCK 10038
#define WSAEDESTADDRREQ 10039
#define WSAEMSGSIZE 10040
#define WSAENOPROTOOPT 10042
#define WSAEOPNOTSUPP 10045
#define WSAEAFNOSUPPORT 10047
#define WSAEADDRINUSE 10048
#define WSAEADDRNOTAVAIL 10049
#define WSAENETDOWN 10050
#define WSAENETUNREACH 10051
#define WSAECONNABORTED 10053
#define WSAECONNRESET 10054
#define WSAENOBUFS 10055
#define WSAEISCONN 10056
#define WSAENOTCONN 10057
#define WSAETIMEDOUT 10060
#define WSAECONNREFUSED 10061
#define WSAEHOSTUNREACH 10065
#define WSAVERNOTSUPPORTED 10092
#define WSANOTINITIALISED 10093
/* Of the filtering platform: nobody redirected the connection; or it has no context. */
#define FWP_E_NOT_FOUND ((INT)0x80320008)

/*
 * Version 2.2 is there; another 2.x, or a higher one, is answered with that. Returns 0,
 * WSAVERNOTSUPPORTED (below 2), or WSAEFAULT. Nothing has to be started: a program that forgets it
 * works as well, and WSACleanup returns 0.
 */
int WSAAPI WSAStartup(WORD wVersionRequested, LPWSADATA lpWSAData);
int WSAAPI WSACleanup(void);

int WSAAPI WSAGetLastError(void);
void WSAAPI WSASetLastError(int iError);

/*
 * Returns 0, or SOCKET_ERROR with the reason from WSAGetLastError. What the codes give and take:
 *
 *   SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS  out: the records of the accepted socket s
 *   SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT  out: the bytes that the service's filter attached
 *   SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS    in: records, for s that is not connected yet
 *   SIO_FLUSH                                  nothing: there is nothing that could be aborted
 *
 * Of a query, *lpcbBytesReturned is the size of the answer; cbOutBuffer 0 asks for it:
 *
 *   0 (the buffer may be NULL)   ERROR_INSUFFICIENT_BUFFER, and the size needed
 *   1 to 3                       WSAEINVAL, and 0
 *   4 or more, but too few       ERROR_INSUFFICIENT_BUFFER, and the size needed; nothing is copied
 *   enough                       success, and the exact size, never 0
 *
 * WSAEACCES        set: the caller is not the service that the records were issued to. Query of
 *                  the context: no filter of the caller's service redirected the connection
 * WSAEFAULT        a pointer that cannot be read, or written, as it has to be; nothing crashes
 * WSAEINVAL        unknown code; a size that cannot be; records that are malformed, forged or too
 *                  old; a socket that is none of AF_INET or AF_INET6; output of a set
 * WSAENOPROTOOPT   query: not a TCP or UDP socket. (Set: WSAEINVAL.)
 * WSAENOTCONN      query: listening, or not connected
 * WSAEISCONN       set: connect was already called
 * WSAENOTSOCK      s is not a socket
 * WSAEOPNOTSUPP    Waybill is not up for this socket
 * WSAENOBUFS       set: no memory
 * FWP_E_NOT_FOUND  query: nobody redirected the connection; or the filter attached no context
 */
int WSAAPI WSAIoctl(SOCKET s, DWORD dwIoControlCode, LPVOID lpvInBuffer, DWORD cbInBuffer,
		    LPVOID lpvOutBuffer, DWORD cbOutBuffer, LPDWORD lpcbBytesReturned,
		    LPWSAOVERLAPPED lpOverlapped,
		    LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);

/* The same, but that the reason is in *lpErrno. The thread is not needed for anything. */
int WSAAPI WSPIoctl(SOCKET s, DWORD dwIoControlCode, LPVOID lpvInBuffer, DWORD cbInBuffer,
		    LPVOID lpvOutBuffer, DWORD cbOutBuffer, LPDWORD lpcbBytesReturned,
		    LPWSAOVERLAPPED lpOverlapped,
		    LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine,
		    LPWSATHREADID lpThreadId, LPINT lpErrno);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
