// SPDX-License-Identifier: BSD-2-Clause
/* WSARecvMsg and WSASendMsg, with addresses, records and contexts as control messages. */
#include "messages.h"

static LPFN_WSARECVMSG receive_message;
static LPFN_WSASENDMSG send_message;

static int function_get(SOCKET s, GUID id, void *function, DWORD size)
{
	DWORD count = 0;

	if (WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof(id), function, size, &count,
		     NULL, NULL))
		return WSAGetLastError();
	return 0;
}

int messages_open(SOCKET s)
{
	static const GUID receive_id = WSAID_WSARECVMSG, send_id = WSAID_WSASENDMSG;
	int error = function_get(s, receive_id, &receive_message, sizeof(receive_message));

	return error ? error : function_get(s, send_id, &send_message, sizeof(send_message));
}

static void control_read(WSAMSG *message, struct datagram *datagram)
{
	WSACMSGHDR *at;

	for (at = WSA_CMSG_FIRSTHDR(message); at; at = WSA_CMSG_NXTHDR(message, at)) {
		BOOL four = at->cmsg_level == IPPROTO_IP, six = at->cmsg_level == IPPROTO_IPV6;
		DWORD size;

		if (at->cmsg_len < WSA_CMSG_LEN(0) || (!four && !six))
			continue;
		size = (DWORD)(at->cmsg_len - WSA_CMSG_LEN(0));
		/* The numbers of records and contexts are the same at both levels. */
		if (at->cmsg_type == IP_WFP_REDIRECT_RECORDS) {
			datagram->records = WSA_CMSG_DATA(at);
			datagram->records_size = size;
		} else if (at->cmsg_type == IP_WFP_REDIRECT_CONTEXT) {
			datagram->context = WSA_CMSG_DATA(at);
			datagram->context_size = size;
		} else if ((four && at->cmsg_type == IP_PKTINFO && size >= sizeof(IN_PKTINFO)) ||
			   (six && at->cmsg_type == IPV6_PKTINFO && size >= sizeof(IN6_PKTINFO))) {
			datagram->local.level = at->cmsg_level;
			datagram->local.type = at->cmsg_type;
			datagram->local.size = four ? sizeof(IN_PKTINFO) : sizeof(IN6_PKTINFO);
			memcpy(datagram->local.bytes, WSA_CMSG_DATA(at), datagram->local.size);
		}
	}
}

int message_receive(SOCKET s, struct datagram *datagram)
{
	WSABUF data = { sizeof(datagram->bytes), datagram->bytes };
	WSAMSG message = { 0 };
	DWORD count = 0;

	memset(&datagram->source, 0, sizeof(datagram->source));
	memset(&datagram->local, 0, sizeof(datagram->local));
	datagram->records = datagram->context = NULL;
	message.name = (struct sockaddr *)&datagram->source;
	message.namelen = sizeof(datagram->source);
	message.lpBuffers = &data;
	message.dwBufferCount = 1;
	message.Control.buf = datagram->control;
	message.Control.len = sizeof(datagram->control);
	if (receive_message(s, &message, &count, NULL, NULL))
		return WSAGetLastError();
	datagram->size = (int)count;
	datagram->source_length = message.namelen;
	datagram->truncated = !!(message.dwFlags & MSG_CTRUNC);
	control_read(&message, datagram);
	return 0;
}

/* A datagram with one control message. */
static int message_send(SOCKET s, const void *bytes, int size, const struct sockaddr_storage *to,
			int to_length, int level, int type, const void *content, DWORD content_size)
{
	WSABUF data = { (ULONG)size, (char *)bytes };
	WSAMSG message = { 0 };
	WSACMSGHDR *control;
	DWORD count = 0;
	int error = 0;

	control = calloc(1, WSA_CMSG_SPACE(content_size));
	if (!control)
		return WSAENOBUFS;
	control->cmsg_level = level;
	control->cmsg_type = type;
	control->cmsg_len = WSA_CMSG_LEN(content_size);
	memcpy(WSA_CMSG_DATA(control), content, content_size);
	message.name = (struct sockaddr *)to;
	message.namelen = to_length;
	message.lpBuffers = &data;
	message.dwBufferCount = 1;
	message.Control.buf = (char *)control;
	message.Control.len = (ULONG)WSA_CMSG_SPACE(content_size);
	if (send_message(s, &message, 0, &count, NULL, NULL))
		error = WSAGetLastError();
	free(control);
	return error;
}

int message_reply(SOCKET s, const void *bytes, int size, const struct sockaddr_storage *client,
		  int client_length, const struct local_address *local)
{
	return message_send(s, bytes, size, client, client_length, local->level, local->type,
			    local->bytes, local->size);
}

int message_begin(SOCKET onward, const void *bytes, int size, const struct redirection *redirection)
{
	BOOL four = redirection->destination.ss_family == AF_INET;

	return message_send(onward, bytes, size, &redirection->destination,
			    redirection->destination_length, four ? IPPROTO_IP : IPPROTO_IPV6,
			    four ? IP_WFP_REDIRECT_RECORDS : IPV6_WFP_REDIRECT_RECORDS,
			    redirection->records, redirection->records_size);
}

BOOL local_same(const struct local_address *a, const struct local_address *b)
{
	return a->level == b->level && a->size == b->size && !memcmp(a->bytes, b->bytes, a->size);
}
