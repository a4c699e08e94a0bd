/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one place that knows which system this is: the headers, and of Windows' what not every
 * version of them has.
 */
#ifndef SERVICE_PLATFORM_H
#define SERVICE_PLATFORM_H

#ifdef _WIN32

#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0602 /* redirect records came with Windows 8 */
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mswsock.h>
#include <windows.h>

#ifndef SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS
#define SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS _WSAIOW(IOC_VENDOR, 220)
#define SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT _WSAIOW(IOC_VENDOR, 221)
#define SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS _WSAIOW(IOC_VENDOR, 222)
#endif
#ifndef SO_ORIGINAL_DST
#define SO_ORIGINAL_DST 0x300F
#endif
#ifndef IP_WFP_REDIRECT_RECORDS
#define IP_WFP_REDIRECT_RECORDS 60
#define IP_WFP_REDIRECT_CONTEXT 70
#define IPV6_WFP_REDIRECT_RECORDS 60
#define IPV6_WFP_REDIRECT_CONTEXT 70
#endif
#ifndef FWP_E_NOT_FOUND
#define FWP_E_NOT_FOUND ((INT)0x80320008)
#endif

#else

#include <waybill/winsock.h>

#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#endif
