/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a Windows redirect service calls, under its Windows names, so that its code compiles here
 * unchanged:
 *
 *     #ifdef _WIN32
 *     #include <winsock2.h>
 *     #else
 *     #include <waybill/winsock.h>
 *     #endif
 *
 * Types have the widths, and structures the layout, of 64-bit Windows; constants have its values,
 * as the test winsock_headers compares with mingw-w64's headers. What POSIX has under the same name
 * (AF_INET6, SOL_SOCKET, struct sockaddr, IPV6_V6ONLY, MSG_PEEK, POLLIN, u_long) is the
 * system's own, with the system's values. docs/winsock.md tells what is not here, and why.
 *
 * A SOCKET is a file descriptor. Sockets of WSASocket with WSA_FLAG_OVERLAPPED, of socket(), and
 * those accepted from one of them, are overlapped; all others, descriptors made by POSIX calls
 * among them, are not, and lpOverlapped and lpCompletionRoutine are ignored with those. A SOCKET
 * is closed by closesocket(), which ends what pends on it.
 *
 * An overlapped call is tried at once; what has to wait is tried again when the socket is ready, by
 * one thread of the library that starts with the first such call and serves all sockets. In a child
 * of fork() what its parent began does not complete; its own calls do. Structures and buffers of an overlapped
 * call have to stay valid until it has completed; arrays of WSABUF need not. A call that blocks when
 * its socket is closed ends with WSAEINTR.
 *
 * All functions are thread-safe; the last error is each thread's own. Pointers are checked by the
 * kernel: one that is NULL, unmapped, or read-only where it is written, gives WSAEFAULT.
 */
#ifndef WAYBILL_WINSOCK_H
#define WAYBILL_WINSOCK_H

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* "unsigned long" has 32 bits on Windows: print a DWORD with %u. */
typedef uint8_t BYTE, UCHAR;
typedef uint16_t WORD, USHORT;
typedef int16_t SHORT;
typedef uint32_t DWORD, ULONG;
typedef int32_t LONG;
typedef uint64_t ULONGLONG;
typedef int64_t LONGLONG;
typedef int INT, BOOL;
typedef unsigned int UINT;
typedef char CHAR;
typedef void *PVOID, *LPVOID, *HANDLE;
typedef uintptr_t ULONG_PTR, DWORD_PTR, UINT_PTR;
typedef size_t SIZE_T;
typedef DWORD *LPDWORD;
typedef INT *LPINT;
typedef HANDLE *LPHANDLE;

#ifndef FALSE
#define FALSE 0
#define TRUE 1
#endif
#define WINAPI
#define WSAAPI
#define WSPAPI
#define CALLBACK
#define INFINITE 0xffffffffU

typedef UINT_PTR SOCKET;
#define INVALID_SOCKET ((SOCKET)~0)
#define SOCKET_ERROR (-1)

typedef HANDLE WSAEVENT, *LPWSAEVENT;
#define WSA_INVALID_EVENT ((WSAEVENT)NULL)

/*
 * While the call pends, Internal is STATUS_PENDING; then InternalHigh is the count, and Internal,
 * written last, the status. Offset and OffsetHigh are the library's.
 */
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

#define STATUS_PENDING 0x103
#define HasOverlappedIoCompleted(overlapped)                                                       \
	((DWORD)__atomic_load_n(&(overlapped)->Internal, __ATOMIC_ACQUIRE) != STATUS_PENDING)

typedef void(CALLBACK *LPWSAOVERLAPPED_COMPLETION_ROUTINE)(DWORD dwError, DWORD cbTransferred,
							   LPWSAOVERLAPPED lpOverlapped,
							   DWORD dwFlags);

typedef struct _WSATHREADID {
	HANDLE ThreadHandle;
	DWORD_PTR Reserved;
} WSATHREADID, *LPWSATHREADID;

typedef void(CALLBACK *LPWSAUSERAPC)(DWORD_PTR dwContext);

typedef struct _GUID {
	DWORD Data1;
	WORD Data2;
	WORD Data3;
	BYTE Data4[8];
} GUID;

typedef struct _WSABUF {
	ULONG len;
	CHAR *buf;
} WSABUF, *LPWSABUF;

typedef struct sockaddr SOCKADDR, *PSOCKADDR, *LPSOCKADDR;
typedef struct sockaddr_in SOCKADDR_IN;
typedef struct sockaddr_in6 SOCKADDR_IN6;
typedef struct sockaddr_storage SOCKADDR_STORAGE;
typedef struct in_addr IN_ADDR;
typedef struct in6_addr IN6_ADDR;
typedef struct pollfd WSAPOLLFD, *LPWSAPOLLFD;

/* name, Control and lpBuffers are read when the call begins; namelen, Control.len and dwFlags are
 * written when a receive completes. */
typedef struct _WSAMSG {
	LPSOCKADDR name;
	INT namelen;
	LPWSABUF lpBuffers;
	ULONG dwBufferCount;
	WSABUF Control;
	ULONG dwFlags;
} WSAMSG, *PWSAMSG, *LPWSAMSG;

typedef struct _WSACMSGHDR {
	SIZE_T cmsg_len;
	INT cmsg_level;
	INT cmsg_type;
	/* followed by the content */
} WSACMSGHDR, *PWSACMSGHDR, *LPWSACMSGHDR;

#define WSA_CMSG_ALIGN_(length) (((length) + sizeof(SIZE_T) - 1) & ~(sizeof(SIZE_T) - 1))
#define WSA_CMSGHDR_ALIGN(length) WSA_CMSG_ALIGN_(length)
#define WSA_CMSGDATA_ALIGN(length) WSA_CMSG_ALIGN_(length)
#define WSA_CMSG_FIRSTHDR(msg)                                                                     \
	((msg)->Control.len >= sizeof(WSACMSGHDR) ? (LPWSACMSGHDR)(void *)(msg)->Control.buf :     \
						    (LPWSACMSGHDR)NULL)
#define WSA_CMSG_NXTHDR(msg, cmsg) winsock_cmsg_next(msg, cmsg)
#define WSA_CMSG_DATA(cmsg) ((u_char *)(cmsg) + WSA_CMSGDATA_ALIGN(sizeof(WSACMSGHDR)))
#define WSA_CMSG_SPACE(length) (WSA_CMSGDATA_ALIGN(sizeof(WSACMSGHDR) + WSA_CMSGHDR_ALIGN(length)))
#define WSA_CMSG_LEN(length) (WSA_CMSGDATA_ALIGN(sizeof(WSACMSGHDR)) + (length))

/* As Windows' macro; but a length that is not true ends the walk instead of leaving the buffer. */
static inline LPWSACMSGHDR winsock_cmsg_next(const WSAMSG *msg, LPWSACMSGHDR cmsg)
{
	SIZE_T left, size;

	if (!cmsg)
		return WSA_CMSG_FIRSTHDR(msg);
	left = (SIZE_T)(msg->Control.buf + msg->Control.len - (CHAR *)cmsg);
	size = WSA_CMSGHDR_ALIGN(cmsg->cmsg_len);
	if (cmsg->cmsg_len < sizeof(*cmsg) || cmsg->cmsg_len > left || size > left ||
	    left - size < sizeof(*cmsg))
		return NULL;
	return (LPWSACMSGHDR)(void *)((CHAR *)cmsg + size);
}

/* With IP_PKTINFO and IPV6_PKTINFO: where a datagram was sent to; echoed, where a reply leaves. */
typedef struct winsock_in_pktinfo {
	IN_ADDR ipi_addr;
	ULONG ipi_ifindex;
} IN_PKTINFO, *PIN_PKTINFO;
typedef struct winsock_in6_pktinfo {
	IN6_ADDR ipi6_addr;
	ULONG ipi6_ifindex;
} IN6_PKTINFO, *PIN6_PKTINFO;

typedef INT(WSAAPI *LPFN_WSARECVMSG)(SOCKET s, LPWSAMSG lpMsg, LPDWORD lpdwNumberOfBytesRecvd,
				     LPWSAOVERLAPPED lpOverlapped,
				     LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);
typedef INT(WSAAPI *LPFN_WSASENDMSG)(SOCKET s, LPWSAMSG lpMsg, DWORD dwFlags,
				     LPDWORD lpNumberOfBytesSent, LPWSAOVERLAPPED lpOverlapped,
				     LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);

#define WSAID_WSARECVMSG                                                                           \
	{                                                                                          \
		0xf689d7c8, 0x6f1f, 0x436b,                                                        \
		{                                                                                  \
			0x8a, 0x53, 0xe5, 0x4f, 0xe3, 0x51, 0xc3, 0x22                             \
		}                                                                                  \
	}
#define WSAID_WSASENDMSG                                                                           \
	{                                                                                          \
		0xa441e712, 0x754f, 0x43ca,                                                        \
		{                                                                                  \
			0x84, 0xa7, 0x0d, 0xee, 0x44, 0xcf, 0x60, 0x6d                             \
		}                                                                                  \
	}

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

/*
 * Control codes. Some of these names are in <sys/ioctl.h> with other values; the codes below do not
 * depend on which of the two is included last.
 */
#undef IOC_VOID
#undef IOC_OUT
#undef IOC_IN
#undef IOC_INOUT
#define IOC_VOID 0x20000000
#define IOC_OUT 0x40000000
#define IOC_IN 0x80000000
#define IOC_INOUT (IOC_IN | IOC_OUT)
#define IOC_WS2 0x08000000
#define IOC_VENDOR 0x18000000
#define _WSAIO(x, y) (0x20000000U | (x) | (y))
#define _WSAIOR(x, y) (0x40000000U | (x) | (y))
#define _WSAIOW(x, y) (0x80000000U | (x) | (y))
#define _WSAIORW(x, y) (0xc0000000U | (x) | (y))

/* For ioctlsocket; it takes the system's numbers as well. */
#undef FIONBIO
#undef FIONREAD
#define FIONBIO 0x8004667e
#define FIONREAD 0x4004667f

#define SIO_FLUSH _WSAIO(IOC_WS2, 4)
#define SIO_GET_EXTENSION_FUNCTION_POINTER _WSAIORW(IOC_WS2, 6)
#define SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS _WSAIOW(IOC_VENDOR, 220)
#define SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT _WSAIOW(IOC_VENDOR, 221)
#define SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS _WSAIOW(IOC_VENDOR, 222)

/*
 * Options of sockets, as BOOL. On a datagram socket they deliver records, and a context, with the
 * datagram that begins a flow, as control messages of that level and number: IPPROTO_IP for flows
 * of IPv4, IPPROTO_IPV6 for those of IPv6, so a dual-stack socket sets both.
 */
#define IP_WFP_REDIRECT_RECORDS 60
#define IP_WFP_REDIRECT_CONTEXT 70
#define IPV6_WFP_REDIRECT_RECORDS 60
#define IPV6_WFP_REDIRECT_CONTEXT 70
/* At SOL_SOCKET, only got: where the client wanted to go, sockaddr_in or sockaddr_in6. */
#undef SO_ORIGINAL_DST
#define SO_ORIGINAL_DST 0x300F
/* Nobody else gets the port, as is so anyway; of a listener, what old connections left behind of it
 * is no obstacle. The value is Windows' expression over the system's number. */
#define SO_EXCLUSIVEADDRUSE ((int)(~SO_REUSEADDR))

#define WSA_FLAG_OVERLAPPED 0x01
#define SD_RECEIVE 0
#define SD_SEND 1
#define SD_BOTH 2

/* What waits return. */
#define WAIT_OBJECT_0 0
#define WAIT_IO_COMPLETION 0xC0
#define WAIT_TIMEOUT 258
#define WAIT_FAILED 0xffffffffU
#define MAXIMUM_WAIT_OBJECTS 64
#define WSA_MAXIMUM_WAIT_EVENTS MAXIMUM_WAIT_OBJECTS
#define WSA_WAIT_EVENT_0 WAIT_OBJECT_0
#define WSA_WAIT_IO_COMPLETION WAIT_IO_COMPLETION
#define WSA_WAIT_TIMEOUT WAIT_TIMEOUT
#define WSA_WAIT_FAILED WAIT_FAILED
#define WSA_INFINITE INFINITE

/* Errors. */
#define ERROR_INSUFFICIENT_BUFFER 122
#define ERROR_NOT_FOUND 1168
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
#define WSAEPROTOTYPE 10041
#define WSAENOPROTOOPT 10042
#define WSAEPROTONOSUPPORT 10043
#define WSAESOCKTNOSUPPORT 10044
#define WSAEOPNOTSUPP 10045
#define WSAEAFNOSUPPORT 10047
#define WSAEADDRINUSE 10048
#define WSAEADDRNOTAVAIL 10049
#define WSAENETDOWN 10050
#define WSAENETUNREACH 10051
#define WSAENETRESET 10052
#define WSAECONNABORTED 10053
#define WSAECONNRESET 10054
#define WSAENOBUFS 10055
#define WSAEISCONN 10056
#define WSAENOTCONN 10057
#define WSAESHUTDOWN 10058
#define WSAETIMEDOUT 10060
#define WSAECONNREFUSED 10061
#define WSAELOOP 10062
#define WSAEHOSTDOWN 10064
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
 *   SIO_FLUSH                                  nothing: aborts all that pends on s
 *   SIO_GET_EXTENSION_FUNCTION_POINTER         in: WSAID_WSARECVMSG or WSAID_WSASENDMSG;
 *                                              out: the pointer to that function
 *
 * On a datagram socket the queries are about the flow of the datagram that the calling thread
 * received last on s (from another thread: that any thread did), or that waits to be received.
 *
 * Of a query, *lpcbBytesReturned is the size of the answer; cbOutBuffer 0 asks for it:
 *
 *   0 (the buffer may be NULL)   ERROR_INSUFFICIENT_BUFFER, and the size needed
 *   1 to 3                       WSAEINVAL, and 0
 *   4 or more, but too few       ERROR_INSUFFICIENT_BUFFER, and the size needed; nothing is copied
 *   enough                       success, and the exact size, never 0
 *
 * Overlapped (see below), a query pends while its answer cannot be known: a TCP socket is still
 * connecting; a datagram socket has no redirected datagram yet. Not overlapped, it blocks as long,
 * or on a nonblocking socket gives WSAENOTCONN. A set never waits.
 *
 * WSA_IO_PENDING   overlapped: it completes later
 * WSA_OPERATION_ABORTED  it pended, and s was closed or flushed, or its thread ended
 * WSAEACCES        set: the caller is not the service that the records were issued to. Query of
 *                  the context: no filter of the caller's service redirected the connection
 * WSAEFAULT        a pointer that cannot be read, or written, as it has to be; nothing crashes
 * WSAEINPROGRESS   the three codes, called from a completion routine
 * WSAEINTR         it blocked, and a signal handler ran
 * WSAEINVAL        unknown code; a size that cannot be; records that are malformed, forged or too
 *                  old; a socket that is none of AF_INET or AF_INET6; output of a set
 * WSAENETDOWN      Waybill answered on s before, and is gone
 * WSAENOPROTOOPT   query: not a TCP or UDP socket. (Set: WSAEINVAL.)
 * WSAENOTCONN      query: listening, or not connected
 * WSAEISCONN       set: connect was already called
 * WSAENOTSOCK      s is not a socket
 * WSAEOPNOTSUPP    Waybill is not up for this socket
 * WSAENOBUFS       no memory
 * FWP_E_NOT_FOUND  query: nobody redirected the connection; or the filter attached no context
 */
int WSAAPI WSAIoctl(SOCKET s, DWORD dwIoControlCode, LPVOID lpvInBuffer, DWORD cbInBuffer,
		    LPVOID lpvOutBuffer, DWORD cbOutBuffer, LPDWORD lpcbBytesReturned,
		    LPWSAOVERLAPPED lpOverlapped,
		    LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);

/*
 * The same, but that the reason is in *lpErrno; and a completion routine runs in the thread of
 * *lpThreadId, of which a copy is made before this returns. NULL: in the calling thread.
 */
int WSPAPI WSPIoctl(SOCKET s, DWORD dwIoControlCode, LPVOID lpvInBuffer, DWORD cbInBuffer,
		    LPVOID lpvOutBuffer, DWORD cbOutBuffer, LPDWORD lpcbBytesReturned,
		    LPWSAOVERLAPPED lpOverlapped,
		    LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine,
		    LPWSATHREADID lpThreadId, LPINT lpErrno);

/*
 * Fills *lpThreadId in with the calling thread, which other threads may then name until it is
 * closed; and queues a function to run in a thread's next alertable wait. 0, or SOCKET_ERROR with
 * the reason in *lpErrno: WSAEFAULT, WSA_INVALID_HANDLE (not open, or the thread has ended),
 * WSAENOBUFS.
 */
int WSPAPI WPUOpenCurrentThread(LPWSATHREADID lpThreadId, LPINT lpErrno);
int WSPAPI WPUCloseThread(LPWSATHREADID lpThreadId, LPINT lpErrno);
int WSPAPI WPUQueueApc(LPWSATHREADID lpThreadId, LPWSAUSERAPC lpfnUserApc, DWORD_PTR dwContext,
		       LPINT lpErrno);

/*
 * Overlapped calls: those on an overlapped socket with an lpOverlapped. The call returns at once.
 *
 *   0               it has completed: the count is there, the event is signalled or the routine
 *                   queued
 *   SOCKET_ERROR    WSA_IO_PENDING: it completes later. Any other: it failed and is over; no event
 *                   is signalled, and no routine is called
 *
 * Without a routine, hEvent (if not NULL) is reset when the call begins and signalled when it has
 * completed. With one, hEvent is the caller's to use; the routine runs in the thread that made the
 * call, in one of its alertable waits, and gets the error, the count, lpOverlapped and flags.
 * Routines run in no order that one could rely on. In a routine all calls may be made, but the
 * three control codes of redirection.
 *
 * What pends is aborted, and completes with WSA_OPERATION_ABORTED: by closesocket, SIO_FLUSH,
 * CancelIoEx, and by the end of the thread that made the call (of WSPIoctl: of the one whose routine
 * it is), which runs no routine.
 *
 * WSAGetOverlappedResult: TRUE if the call has completed with success. Else FALSE, with its error,
 * or WSA_IO_INCOMPLETE while it pends and fWait is FALSE. *lpcbTransfer is the count; of a query
 * that completes with ERROR_INSUFFICIENT_BUFFER, the size needed. fWait waits; for a call with a
 * routine that gives WSA_INVALID_PARAMETER. WSAEFAULT, WSAENOTSOCK.
 *
 * CancelIoEx: aborts the call of this lpOverlapped, or with NULL all on the socket. TRUE, or FALSE
 * with ERROR_NOT_FOUND: none pended.
 */
BOOL WSAAPI WSAGetOverlappedResult(SOCKET s, LPWSAOVERLAPPED lpOverlapped, LPDWORD lpcbTransfer,
				   BOOL fWait, LPDWORD lpdwFlags);
BOOL WINAPI CancelIoEx(HANDLE hFile, LPOVERLAPPED lpOverlapped);

/*
 * Sends and receives; 0 or SOCKET_ERROR. Overlapped, they pend until there is something, or room:
 * a send on a stream until all is sent. A datagram larger than the buffers is cut, and the error is
 * WSAEMSGSIZE. Control messages of WSARecvMsg:
 *
 *   IPPROTO_IP, IP_PKTINFO        IN_PKTINFO, where the datagram was sent to, if the option is on
 *   IPPROTO_IPV6, IPV6_PKTINFO    IN6_PKTINFO likewise
 *   IP_WFP_REDIRECT_RECORDS, IP_WFP_REDIRECT_CONTEXT, IPV6_...
 *                                 with the first datagram of a flow, if the option is on
 *   others                        as recvmsg(2) gives them
 *
 * What has no room is left out, whole, and MSG_CTRUNC set in dwFlags: SIO_QUERY_... tells it still.
 * WSASendMsg takes records with the first datagram to a destination, and only there, and IP_PKTINFO
 * or IPV6_PKTINFO with a reply. Besides the errors of sockets:
 *
 * WSAEOPNOTSUPP  WSARecvMsg and WSASendMsg: not a datagram socket
 * WSAEINVAL      a malformed control message; records that are malformed, forged or too old
 * WSAEACCES      records of another service
 */
int WSAAPI WSARecvMsg(SOCKET s, LPWSAMSG lpMsg, LPDWORD lpdwNumberOfBytesRecvd,
		      LPWSAOVERLAPPED lpOverlapped,
		      LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);
int WSAAPI WSASendMsg(SOCKET s, LPWSAMSG lpMsg, DWORD dwFlags, LPDWORD lpNumberOfBytesSent,
		      LPWSAOVERLAPPED lpOverlapped,
		      LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);
int WSAAPI WSARecv(SOCKET s, LPWSABUF lpBuffers, DWORD dwBufferCount, LPDWORD lpNumberOfBytesRecvd,
		   LPDWORD lpFlags, LPWSAOVERLAPPED lpOverlapped,
		   LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);
int WSAAPI WSARecvFrom(SOCKET s, LPWSABUF lpBuffers, DWORD dwBufferCount,
		       LPDWORD lpNumberOfBytesRecvd, LPDWORD lpFlags, struct sockaddr *lpFrom,
		       LPINT lpFromlen, LPWSAOVERLAPPED lpOverlapped,
		       LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);
int WSAAPI WSASend(SOCKET s, LPWSABUF lpBuffers, DWORD dwBufferCount, LPDWORD lpNumberOfBytesSent,
		   DWORD dwFlags, LPWSAOVERLAPPED lpOverlapped,
		   LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);
int WSAAPI WSASendTo(SOCKET s, LPWSABUF lpBuffers, DWORD dwBufferCount, LPDWORD lpNumberOfBytesSent,
		     DWORD dwFlags, const struct sockaddr *lpTo, int iTolen,
		     LPWSAOVERLAPPED lpOverlapped,
		     LPWSAOVERLAPPED_COMPLETION_ROUTINE lpCompletionRoutine);

/*
 * INVALID_SOCKET, with WSAEINVAL if lpProtocolInfo is not NULL. Closed on exec; and a socket of
 * AF_INET6 has IPV6_V6ONLY, as on Windows.
 */
typedef struct _WSAPROTOCOL_INFOA *LPWSAPROTOCOL_INFOA;
typedef struct _WSAPROTOCOL_INFOW *LPWSAPROTOCOL_INFOW;
typedef unsigned int GROUP;
SOCKET WSAAPI WSASocketA(int af, int type, int protocol, LPWSAPROTOCOL_INFOA lpProtocolInfo,
			 GROUP g, DWORD dwFlags);
SOCKET WSAAPI WSASocketW(int af, int type, int protocol, LPWSAPROTOCOL_INFOW lpProtocolInfo,
			 GROUP g, DWORD dwFlags);
#ifdef UNICODE
#define WSASocket WSASocketW
#else
#define WSASocket WSASocketA
#endif
int WSAAPI closesocket(SOCKET s);
/* FIONBIO and FIONREAD. */
int WSAAPI ioctlsocket(SOCKET s, int cmd, u_long *argp);
int WSAAPI WSAPoll(LPWSAPOLLFD fdArray, ULONG fds, INT timeout);

/*
 * Events and waits. Handles are numbers, not pointers: a wrong one gives WSA_INVALID_HANDLE. An
 * event of WSACreateEvent is reset by hand. A wait ends with the index of the first signalled
 * handle, with WSA_WAIT_EVENT_0 if fWaitAll and all are, with WSA_WAIT_TIMEOUT (milliseconds), or,
 * if it is alertable, after routines have run, with WSA_WAIT_IO_COMPLETION: SleepEx then with
 * WAIT_IO_COMPLETION, else with 0. WSA_WAIT_FAILED: WSA_INVALID_HANDLE, WSA_INVALID_PARAMETER
 * (no handle, or more than WSA_MAXIMUM_WAIT_EVENTS), WSAEFAULT, WSA_NOT_ENOUGH_MEMORY.
 */
WSAEVENT WSAAPI WSACreateEvent(void);
BOOL WSAAPI WSACloseEvent(WSAEVENT hEvent);
BOOL WSAAPI WSASetEvent(WSAEVENT hEvent);
BOOL WSAAPI WSAResetEvent(WSAEVENT hEvent);
DWORD WSAAPI WSAWaitForMultipleEvents(DWORD cEvents, const WSAEVENT *lphEvents, BOOL fWaitAll,
				      DWORD dwTimeout, BOOL fAlertable);
DWORD WINAPI SleepEx(DWORD dwMilliseconds, BOOL bAlertable);
void WINAPI Sleep(DWORD dwMilliseconds);
DWORD WINAPI WaitForSingleObject(HANDLE hHandle, DWORD dwMilliseconds);
DWORD WINAPI WaitForSingleObjectEx(HANDLE hHandle, DWORD dwMilliseconds, BOOL bAlertable);

/*
 * Threads. The handle is signalled when the thread has ended. lpThreadAttributes must be NULL;
 * of dwCreationFlags there is none; dwStackSize 0 is the usual one.
 */
typedef DWORD(WINAPI *LPTHREAD_START_ROUTINE)(LPVOID lpParameter);
HANDLE WINAPI CreateThread(void *lpThreadAttributes, SIZE_T dwStackSize,
			   LPTHREAD_START_ROUTINE lpStartAddress, LPVOID lpParameter,
			   DWORD dwCreationFlags, LPDWORD lpThreadId);
BOOL WINAPI CloseHandle(HANDLE hObject);
/* Milliseconds since boot. */
ULONGLONG WINAPI GetTickCount64(void);

static inline LONG InterlockedIncrement(LONG volatile *number)
{
	return __atomic_add_fetch(number, 1, __ATOMIC_SEQ_CST);
}

static inline LONG InterlockedDecrement(LONG volatile *number)
{
	return __atomic_sub_fetch(number, 1, __ATOMIC_SEQ_CST);
}

/*
 * What POSIX has under the same name, with Windows' types and errors. A program that defines
 * WAYBILL_WINSOCK_NO_POSIX_NAMES before it includes this header keeps the system's names for the
 * system's calls, and has these under their long ones.
 *
 * bind: a datagram socket with IP_WFP_REDIRECT_RECORDS, _CONTEXT or their IPV6_ forms, bound to the
 * loopback or to every address, is bound as by waybill_bind_datagrams(): it receives what is
 * redirected to its port, and nothing from other hosts.
 */
SOCKET winsock_socket(int af, int type, int protocol);
SOCKET winsock_accept(SOCKET s, struct sockaddr *addr, int *addrlen);
int winsock_bind(SOCKET s, const struct sockaddr *name, int namelen);
int winsock_connect(SOCKET s, const struct sockaddr *name, int namelen);
int winsock_listen(SOCKET s, int backlog);
int winsock_recv(SOCKET s, char *buf, int len, int flags);
int winsock_recvfrom(SOCKET s, char *buf, int len, int flags, struct sockaddr *from, int *fromlen);
int winsock_send(SOCKET s, const char *buf, int len, int flags);
int winsock_sendto(SOCKET s, const char *buf, int len, int flags, const struct sockaddr *to,
		   int tolen);
int winsock_shutdown(SOCKET s, int how);
int winsock_getsockname(SOCKET s, struct sockaddr *name, int *namelen);
int winsock_getpeername(SOCKET s, struct sockaddr *name, int *namelen);
int winsock_getsockopt(SOCKET s, int level, int optname, char *optval, int *optlen);
int winsock_setsockopt(SOCKET s, int level, int optname, const char *optval, int optlen);
int winsock_select(int nfds, fd_set *readfds, fd_set *writefds, fd_set *exceptfds,
		   const struct timeval *timeout);
static inline void winsock_fd_set(SOCKET s, fd_set *set, int on)
{
	if (s >= FD_SETSIZE)
		return;
	if (on)
		FD_SET((int)s, set);
	else
		FD_CLR((int)s, set);
}

static inline int winsock_fd_isset(SOCKET s, const fd_set *set)
{
	return s < FD_SETSIZE && FD_ISSET((int)s, set);
}

#ifndef WAYBILL_WINSOCK_NO_POSIX_NAMES
#define socket(...) winsock_socket(__VA_ARGS__)
#define accept(...) winsock_accept(__VA_ARGS__)
#define bind(...) winsock_bind(__VA_ARGS__)
#define connect(...) winsock_connect(__VA_ARGS__)
#define listen(...) winsock_listen(__VA_ARGS__)
#define recv(...) winsock_recv(__VA_ARGS__)
#define recvfrom(...) winsock_recvfrom(__VA_ARGS__)
#define send(...) winsock_send(__VA_ARGS__)
#define sendto(...) winsock_sendto(__VA_ARGS__)
#define shutdown(...) winsock_shutdown(__VA_ARGS__)
#define getsockname(...) winsock_getsockname(__VA_ARGS__)
#define getpeername(...) winsock_getpeername(__VA_ARGS__)
#define getsockopt(...) winsock_getsockopt(__VA_ARGS__)
#define setsockopt(...) winsock_setsockopt(__VA_ARGS__)
#define select(...) winsock_select(__VA_ARGS__)
/* A set has room for FD_SETSIZE descriptors below that number; what is beyond is not taken in. */
#undef FD_SET
#undef FD_CLR
#undef FD_ISSET
#define FD_SET(s, set) winsock_fd_set(s, set, 1)
#define FD_CLR(s, set) winsock_fd_set(s, set, 0)
#define FD_ISSET(s, set) winsock_fd_isset(s, set)
#endif

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
