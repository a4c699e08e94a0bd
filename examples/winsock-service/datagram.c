// SPDX-License-Identifier: BSD-2-Clause
/*
 * UDP: one socket receives the datagrams of all flows. A flow is told by who sends and where to
 * ({source, local address}); its first datagram brings the records, and they go on with the first
 * one of its onward socket. Replies leave from where the client's datagrams arrive.
 */
#include "messages.h"

#define FLOW_IDLE 55000 /* milliseconds: less than the platform's own, so it tells first */
#define ROUND_MAX 64    /* datagrams of clients before the servers get their turn */

struct flow {
	struct sockaddr_storage client;
	int client_length;
	struct local_address local;
	SOCKET onward;
	struct redirection redirection;
	ULONGLONG last;
};

/* One thread has all of this. */
static struct flow flows[FLOWS_MAX];
static ULONG flow_count;
static struct datagram datagram;

static int on(SOCKET s, int level, int option)
{
	BOOL value = TRUE;

	return setsockopt(s, level, option, (char *)&value, sizeof(value));
}

SOCKET datagram_open(unsigned short port)
{
	SOCKET s = WSASocketW(AF_INET6, SOCK_DGRAM, IPPROTO_UDP, NULL, 0, WSA_FLAG_OVERLAPPED);
	struct sockaddr_in6 any = { 0 };
	u_long nonblocking = 1;
	int off = 0, error;

	if (s == INVALID_SOCKET)
		return s;
	any.sin6_family = AF_INET6;
	any.sin6_port = htons(port);
	if (setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, (char *)&off, sizeof(off)) ||
	    on(s, IPPROTO_IP, IP_PKTINFO) || on(s, IPPROTO_IPV6, IPV6_PKTINFO) ||
	    on(s, IPPROTO_IP, IP_WFP_REDIRECT_RECORDS) ||
	    on(s, IPPROTO_IPV6, IPV6_WFP_REDIRECT_RECORDS) ||
	    on(s, IPPROTO_IP, IP_WFP_REDIRECT_CONTEXT) ||
	    on(s, IPPROTO_IPV6, IPV6_WFP_REDIRECT_CONTEXT) ||
	    bind(s, (struct sockaddr *)&any, sizeof(any)) || ioctlsocket(s, FIONBIO, &nonblocking))
		error = WSAGetLastError();
	else
		error = messages_open(s);
	if (error) {
		closesocket(s);
		WSASetLastError(error);
		return INVALID_SOCKET;
	}
	return s;
}

static void flow_end(ULONG i)
{
	closesocket(flows[i].onward);
	redirection_free(&flows[i].redirection);
	flows[i] = flows[--flow_count];
	memset(&flows[flow_count], 0, sizeof(flows[flow_count]));
}

static void flows_expire(ULONGLONG now)
{
	ULONG i = 0;

	while (i < flow_count)
		if (now - flows[i].last > FLOW_IDLE)
			flow_end(i);
		else
			i++;
}

static void flow_end_oldest(void)
{
	ULONG i, oldest = 0;

	for (i = 1; i < flow_count; i++)
		if (flows[i].last < flows[oldest].last)
			oldest = i;
	flow_end(oldest);
}

/* The flow of the datagram that was received; flow_count: it is new. */
static ULONG flow_find(void)
{
	ULONG i;

	for (i = 0; i < flow_count; i++)
		if (flows[i].client_length == datagram.source_length &&
		    !memcmp(&flows[i].client, &datagram.source, datagram.source_length) &&
		    local_same(&flows[i].local, &datagram.local))
			break;
	return i;
}

/*
 * What came with the datagram, and what did not is asked for: it may not have had room, or the
 * flow has ended here and not in the platform.
 */
static int flow_learn(SOCKET s, struct redirection *redirection)
{
	int error;

	if (!datagram.local.size)
		return FWP_E_NOT_FOUND;
	if (!datagram.records || datagram.truncated)
		return redirection_query(s, redirection);
	error = redirection_take_records(redirection, datagram.records, datagram.records_size);
	if (datagram.context)
		redirection_take_context(redirection, datagram.context, datagram.context_size);
	return error ? error : redirection_destination(s, redirection);
}

static int onward_open(const struct redirection *redirection, SOCKET *onward)
{
	SOCKET s = WSASocketW(redirection->destination.ss_family, SOCK_DGRAM, IPPROTO_UDP, NULL, 0,
			      WSA_FLAG_OVERLAPPED);
	u_long nonblocking = 1;
	int error = 0;

	if (s == INVALID_SOCKET)
		return WSAGetLastError();
	if (ioctlsocket(s, FIONBIO, &nonblocking))
		error = WSAGetLastError();
	if (!error)
		error = message_begin(s, datagram.bytes, datagram.size, redirection);
	if (error)
		closesocket(s);
	else
		*onward = s;
	return error;
}

/* Of datagrams that nobody redirected anybody may send any number: a line a second will do. */
static BOOL tell(int error)
{
	static ULONGLONG last;
	ULONGLONG now = GetTickCount64();

	if (error == FWP_E_NOT_FOUND && now - last < 1000)
		return FALSE;
	if (error == FWP_E_NOT_FOUND)
		last = now;
	return TRUE;
}

/*
 * Whether the datagram, of no flow that is known, begins one. To the address of a flow of another
 * client somebody can send who is not under the platform's eyes: what is known of that flow is not
 * about him. With records it is a new flow, and the one before it at this address is over.
 */
static BOOL flow_begins(void)
{
	ULONG i;

	for (i = 0; i < flow_count; i++)
		if (local_same(&flows[i].local, &datagram.local))
			break;
	if (i < flow_count && datagram.records)
		flow_end(i);
	return i >= flow_count || datagram.records;
}

/* The flow of the datagram that was received begins, and this is its first one onward. */
static void flow_begin(SOCKET s)
{
	struct redirection redirection = { 0 };
	SOCKET onward = INVALID_SOCKET;
	struct flow *flow;
	int error = flow_learn(s, &redirection);

	if (!error)
		error = onward_open(&redirection, &onward);
	if (tell(error))
		redirection_log("UDP", (struct sockaddr *)&datagram.source, datagram.source_length,
				&redirection, error);
	if (error) {
		redirection_free(&redirection);
		return;
	}
	if (flow_count == FLOWS_MAX)
		flow_end_oldest();
	flow = &flows[flow_count++];
	flow->client = datagram.source;
	flow->client_length = datagram.source_length;
	flow->local = datagram.local;
	flow->redirection = redirection;
	flow->onward = onward;
	flow->last = GetTickCount64();
}

static void from_clients(SOCKET s)
{
	int round;

	for (round = 0; round < ROUND_MAX; round++) {
		struct flow *flow;
		ULONG i;

		/* An error is one datagram's: a reply that nobody wanted, or none is left. */
		if (message_receive(s, &datagram))
			return;
		i = flow_find();
		/* Records again: it is another flow, of the same client to the same address. */
		if (i < flow_count && datagram.records) {
			flow_end(i);
			i = flow_count;
		}
		if (i == flow_count) {
			if (flow_begins())
				flow_begin(s);
			continue;
		}
		flow = &flows[i];
		flow->last = GetTickCount64();
		/* Lost, if it cannot be sent: they are datagrams. */
		sendto(flow->onward, datagram.bytes, datagram.size, 0,
		       (struct sockaddr *)&flow->redirection.destination,
		       flow->redirection.destination_length);
	}
}

/* Whether a reply comes from where the client's datagrams went. */
static BOOL from_destination(const struct flow *flow, const struct sockaddr_storage *from)
{
	const struct sockaddr_in6 *a6 = (const void *)from,
				  *b6 = (const void *)&flow->redirection.destination;
	const struct sockaddr_in *a4 = (const void *)a6, *b4 = (const void *)b6;

	if (from->ss_family != flow->redirection.destination.ss_family)
		return FALSE;
	if (from->ss_family == AF_INET)
		return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a6->sin6_port == b6->sin6_port &&
	       !memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr));
}

static void from_server(SOCKET s, struct flow *flow)
{
	struct sockaddr_storage from;
	int length = sizeof(from);
	int size = recvfrom(flow->onward, datagram.bytes, sizeof(datagram.bytes), 0,
			    (struct sockaddr *)&from, &length);

	if (size == SOCKET_ERROR || !from_destination(flow, &from))
		return;
	flow->last = GetTickCount64();
	message_reply(s, datagram.bytes, size, &flow->client, flow->client_length, &flow->local);
}

DWORD WINAPI datagram_serve(LPVOID argument)
{
	static WSAPOLLFD wait[FLOWS_MAX + 1];
	SOCKET s = (SOCKET)argument;
	ULONG i, count;

	for (;;) {
		wait[0].fd = s;
		wait[0].events = POLLRDNORM;
		for (i = 0; i < flow_count; i++) {
			wait[i + 1].fd = flows[i].onward;
			wait[i + 1].events = POLLRDNORM;
		}
		count = flow_count;
		if (WSAPoll(wait, count + 1, 1000) == SOCKET_ERROR) {
			fprintf(stderr, "winsock-service: WSAPoll: error %d\n", WSAGetLastError());
			Sleep(100);
			continue;
		}
		/* No flow begins or ends before all that were waited for had their turn. */
		for (i = 0; i < count; i++)
			if (wait[i + 1].revents)
				from_server(s, &flows[i]);
		if (wait[0].revents)
			from_clients(s);
		flows_expire(GetTickCount64());
	}
}
