/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every name, width and layout of <waybill/winsock.h>, as numbers: compiled once with it and once
 * with the headers of Windows, the two have to be equal. headers.py compares them.
 */
#ifdef _WIN32
#define _WIN32_WINNT 0x0602
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mswsock.h>
#include <ws2spi.h>
#include <windows.h>
#ifndef STATUS_PENDING
#include <ntstatus.h>
#endif
#else
#include <waybill/winsock.h>
#endif

#define VALUE(name) const unsigned long long value_##name = (unsigned long long)(name);
#define SIZE(type) const unsigned long long size_##type = sizeof(type);
#define FIELD(type, field)                                                                         \
	const unsigned long long offset_##type##_##field = offsetof(type, field);                  \
	const unsigned long long width_##type##_##field = sizeof(((type *)0)->field);

VALUE(FALSE)
VALUE(TRUE)
VALUE(INVALID_SOCKET)
VALUE(SOCKET_ERROR)
VALUE(WSADESCRIPTION_LEN)
VALUE(WSASYS_STATUS_LEN)
VALUE(IOC_VOID)
VALUE(IOC_OUT)
VALUE(IOC_IN)
VALUE(IOC_INOUT)
VALUE(IOC_WS2)
VALUE(IOC_VENDOR)
VALUE(SIO_FLUSH)
VALUE(SIO_GET_EXTENSION_FUNCTION_POINTER)
VALUE(FIONBIO)
VALUE(FIONREAD)
VALUE(INFINITE)
VALUE(STATUS_PENDING)
VALUE(WSA_FLAG_OVERLAPPED)
VALUE(SD_RECEIVE)
VALUE(SD_SEND)
VALUE(SD_BOTH)
VALUE(WAIT_OBJECT_0)
VALUE(WAIT_IO_COMPLETION)
VALUE(WAIT_TIMEOUT)
VALUE(WAIT_FAILED)
VALUE(MAXIMUM_WAIT_OBJECTS)
VALUE(WSA_MAXIMUM_WAIT_EVENTS)
VALUE(WSA_WAIT_EVENT_0)
VALUE(WSA_WAIT_IO_COMPLETION)
VALUE(WSA_WAIT_TIMEOUT)
VALUE(WSA_WAIT_FAILED)
VALUE(WSA_INFINITE)
VALUE(IP_WFP_REDIRECT_RECORDS)
VALUE(IP_WFP_REDIRECT_CONTEXT)
VALUE(IPV6_WFP_REDIRECT_RECORDS)
VALUE(IPV6_WFP_REDIRECT_CONTEXT)
#ifdef SO_ORIGINAL_DST
VALUE(SO_ORIGINAL_DST)
#endif
#ifdef SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS
VALUE(SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS)
#endif
#ifdef SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT
VALUE(SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT)
#endif
#ifdef SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS
VALUE(SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS)
#endif
VALUE(ERROR_INSUFFICIENT_BUFFER)
VALUE(ERROR_NOT_FOUND)
VALUE(WSA_INVALID_HANDLE)
VALUE(WSA_NOT_ENOUGH_MEMORY)
VALUE(WSA_INVALID_PARAMETER)
VALUE(WSA_OPERATION_ABORTED)
VALUE(WSA_IO_INCOMPLETE)
VALUE(WSA_IO_PENDING)
VALUE(WSAEINTR)
VALUE(WSAEBADF)
VALUE(WSAEACCES)
VALUE(WSAEFAULT)
VALUE(WSAEINVAL)
VALUE(WSAEMFILE)
VALUE(WSAEWOULDBLOCK)
VALUE(WSAEINPROGRESS)
VALUE(WSAEALREADY)
VALUE(WSAENOTSOCK)
VALUE(WSAEDESTADDRREQ)
VALUE(WSAEMSGSIZE)
VALUE(WSAEPROTOTYPE)
VALUE(WSAENOPROTOOPT)
VALUE(WSAEPROTONOSUPPORT)
VALUE(WSAESOCKTNOSUPPORT)
VALUE(WSAEOPNOTSUPP)
VALUE(WSAEAFNOSUPPORT)
VALUE(WSAEADDRINUSE)
VALUE(WSAEADDRNOTAVAIL)
VALUE(WSAENETDOWN)
VALUE(WSAENETUNREACH)
VALUE(WSAENETRESET)
VALUE(WSAECONNABORTED)
VALUE(WSAECONNRESET)
VALUE(WSAENOBUFS)
VALUE(WSAEISCONN)
VALUE(WSAENOTCONN)
VALUE(WSAESHUTDOWN)
VALUE(WSAETIMEDOUT)
VALUE(WSAECONNREFUSED)
VALUE(WSAELOOP)
VALUE(WSAEHOSTDOWN)
VALUE(WSAEHOSTUNREACH)
VALUE(WSAVERNOTSUPPORTED)
VALUE(WSANOTINITIALISED)
#ifdef FWP_E_NOT_FOUND
VALUE(FWP_E_NOT_FOUND)
#endif
SIZE(BYTE)
SIZE(WORD)
SIZE(DWORD)
SIZE(ULONG)
SIZE(INT)
SIZE(BOOL)
SIZE(UINT)
SIZE(CHAR)
SIZE(PVOID)
SIZE(LPVOID)
SIZE(HANDLE)
SIZE(ULONG_PTR)
SIZE(DWORD_PTR)
SIZE(UINT_PTR)
SIZE(SIZE_T)
SIZE(LPDWORD)
SIZE(LPINT)
SIZE(SOCKET)
SIZE(WSAEVENT)
SIZE(WSAOVERLAPPED)
SIZE(WSATHREADID)
SIZE(WSADATA)
FIELD(WSADATA, wVersion)
FIELD(WSADATA, wHighVersion)
FIELD(WSADATA, lpVendorInfo)
FIELD(WSADATA, szDescription)
FIELD(WSADATA, szSystemStatus)
SIZE(LPWSAOVERLAPPED_COMPLETION_ROUTINE)
FIELD(WSAOVERLAPPED, Internal)
FIELD(WSAOVERLAPPED, InternalHigh)
FIELD(WSAOVERLAPPED, Offset)
FIELD(WSAOVERLAPPED, OffsetHigh)
FIELD(WSAOVERLAPPED, Pointer)
FIELD(WSAOVERLAPPED, hEvent)
FIELD(WSATHREADID, ThreadHandle)
FIELD(WSATHREADID, Reserved)
SIZE(UCHAR)
SIZE(USHORT)
SIZE(SHORT)
SIZE(LONG)
SIZE(ULONGLONG)
SIZE(LONGLONG)
SIZE(GUID)
FIELD(GUID, Data1)
FIELD(GUID, Data2)
FIELD(GUID, Data3)
FIELD(GUID, Data4)
SIZE(WSABUF)
FIELD(WSABUF, len)
FIELD(WSABUF, buf)
SIZE(WSAMSG)
FIELD(WSAMSG, name)
FIELD(WSAMSG, namelen)
FIELD(WSAMSG, lpBuffers)
FIELD(WSAMSG, dwBufferCount)
FIELD(WSAMSG, Control)
FIELD(WSAMSG, dwFlags)
SIZE(WSACMSGHDR)
FIELD(WSACMSGHDR, cmsg_len)
FIELD(WSACMSGHDR, cmsg_level)
FIELD(WSACMSGHDR, cmsg_type)
SIZE(IN_PKTINFO)
FIELD(IN_PKTINFO, ipi_addr)
FIELD(IN_PKTINFO, ipi_ifindex)
SIZE(IN6_PKTINFO)
FIELD(IN6_PKTINFO, ipi6_addr)
FIELD(IN6_PKTINFO, ipi6_ifindex)
SIZE(LPFN_WSARECVMSG)
SIZE(LPFN_WSASENDMSG)
SIZE(GROUP)
/* The macros of control messages, at every length that aligns otherwise. */
#define CMSG(n)                                                                                    \
	const unsigned long long value_cmsg_len_##n = WSA_CMSG_LEN(n);                             \
	const unsigned long long value_cmsg_space_##n = WSA_CMSG_SPACE(n);                         \
	const unsigned long long value_cmsg_align_##n = WSA_CMSGHDR_ALIGN(n);                      \
	const unsigned long long value_cmsg_data_align_##n = WSA_CMSGDATA_ALIGN(n);
CMSG(0)
CMSG(1)
CMSG(4)
CMSG(7)
CMSG(8)
CMSG(9)
CMSG(20)
CMSG(160)
const unsigned long long value_cmsg_data =
	WSA_CMSG_DATA((WSACMSGHDR *)0) - (unsigned char *)0;
/* Ids, in two halves each. */
#define HALVES(name, id)                                                                           \
	const union {                                                                              \
		GUID guid;                                                                         \
		unsigned long long half[2];                                                        \
	} guid_##name = { id };
HALVES(receive, WSAID_WSARECVMSG)
HALVES(send, WSAID_WSASENDMSG)
const unsigned long long value_signed_DWORD = (DWORD)-1 > 0;
const unsigned long long value_signed_SOCKET = (SOCKET)-1 > 0;
const unsigned long long value_makeword = MAKEWORD(2, 1);
const unsigned long long value_lobyte = LOBYTE(0x0102);
const unsigned long long value_hibyte = HIBYTE(0x0102);
