// SPDX-License-Identifier: BSD-2-Clause
/*
 * winsock_message CASE [FAMILY]: datagrams as a Windows redirect service receives and sends them:
 * records and contexts as control messages with the first of a flow, and what is asked for later.
 */
#include <arpa/inet.h>
#include <pthread.h>

#include "winsock_tools.h"

static struct world world;
static enum family family = V4;
static LPFN_WSARECVMSG receive_message;
static LPFN_WSASENDMSG send_message;

/* One datagram, as it was received. */
struct received {
	int error;
	WSAMSG message;
	WSABUF buffer;
	struct sockaddr_in6 from;
	DWORD count;
	char bytes[1024], control[4096];
	const void *records, *context; /* NULL: did not come */
	DWORD records_size, context_size;
	WSACMSGHDR address; /* of where it was sent to; length 0: did not come */
	char info[32];
	WSAOVERLAPPED overlapped;
};

static void functions_get(SOCKET s)
{
	GUID ids[] = { WSAID_WSARECVMSG, WSAID_WSASENDMSG, { 1, 2, 3, { 4 } } };
	void *functions[3] = { NULL };
	DWORD count;

	for (int i = 0; i < 3; i++)
		EXPECT(ERROR_OF(WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, &ids[i],
					 sizeof(GUID), &functions[i], sizeof(void *), &count, NULL,
					 NULL)) == (i < 2 ? 0 : WSAEINVAL));
	EXPECT(functions[0] && functions[1] && !functions[2]);
	EXPECT(ERROR_OF(WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, &ids[0], sizeof(GUID) - 1,
				 &functions[0], sizeof(void *), &count, NULL, NULL)) == WSAEFAULT);
	EXPECT(ERROR_OF(WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, &ids[0], sizeof(GUID),
				 (void *)8, sizeof(void *), &count, NULL, NULL)) == WSAEFAULT);
	memcpy(&receive_message, &functions[0], sizeof(void *));
	memcpy(&send_message, &functions[1], sizeof(void *));
}

static void received_prepare(struct received *got, ULONG control)
{
	memset(got, 0xa5, sizeof(*got));
	got->buffer = (WSABUF){ sizeof(got->bytes), got->bytes };
	got->message = (WSAMSG){ .name = (struct sockaddr *)&got->from,
				 .namelen = sizeof(got->from),
				 .lpBuffers = &got->buffer,
				 .dwBufferCount = 1,
				 .Control = { control, got->control } };
	got->records = got->context = NULL;
	got->address.cmsg_len = 0;
	memset(&got->overlapped, 0, sizeof(got->overlapped));
}

/* Takes the control messages apart; all have to be of the family's level. */
static void received_read(struct received *got)
{
	int level = family == V6 ? IPPROTO_IPV6 : IPPROTO_IP;
	WSACMSGHDR *at;

	for (at = WSA_CMSG_FIRSTHDR(&got->message); at; at = WSA_CMSG_NXTHDR(&got->message, at)) {
		DWORD size = at->cmsg_len - WSA_CMSG_LEN(0);

		EXPECT(at->cmsg_level == level, "level %d", at->cmsg_level);
		if (at->cmsg_type == IP_WFP_REDIRECT_RECORDS) {
			got->records = WSA_CMSG_DATA(at);
			got->records_size = size;
		} else if (at->cmsg_type == IP_WFP_REDIRECT_CONTEXT) {
			got->context = WSA_CMSG_DATA(at);
			got->context_size = size;
		} else {
			EXPECT(at->cmsg_type == (family == V6 ? IPV6_PKTINFO : IP_PKTINFO));
			EXPECT(size == (family == V6 ? sizeof(IN6_PKTINFO) : sizeof(IN_PKTINFO)));
			got->address = *at;
			memcpy(got->info, WSA_CMSG_DATA(at), size);
		}
	}
}

/* control: the room for control messages. */
static void receive(SOCKET s, struct received *got, ULONG control)
{
	struct pollfd wait = { .fd = (int)s, .events = POLLIN };

	int ready;

	received_prepare(got, control);
	/* A change of the process's user interrupts its threads. */
	while ((ready = WSAPoll(&wait, 1, 2000)) < 0 && WSAGetLastError() == WSAEINTR)
		continue;
	EXPECT(ready == 1, "nothing came");
	got->error = ERROR_OF(receive_message(s, &got->message, &got->count, NULL, NULL));
	received_read(got);
}

static void receive_text(SOCKET s, struct received *got, const char *text, bool first)
{
	receive(s, got, sizeof(got->control));
	EXPECT(!got->error && got->count == strlen(text) && !memcmp(got->bytes, text, got->count));
	EXPECT(!(got->message.dwFlags & MSG_CTRUNC) && got->address.cmsg_len);
	EXPECT(!got->records == !first && !got->context == !first, "\"%s\"", text);
	if (first)
		EXPECT(got->context_size == 5 && !memcmp(got->context, "for a", 5));
}

/* A datagram with one control message. */
static int send_with(SOCKET s, const void *to, int to_length, const char *text, int level, int type,
		     const void *content, DWORD size)
{
	char control[WSA_CMSG_SPACE(2048)] __attribute__((aligned(8))) = { 0 };
	WSABUF buffer = { strlen(text), (char *)text };
	WSAMSG message = { .name = (struct sockaddr *)to,
			   .namelen = to_length,
			   .lpBuffers = &buffer,
			   .dwBufferCount = 1,
			   .Control = { WSA_CMSG_SPACE(size), control } };
	WSACMSGHDR *at = WSA_CMSG_FIRSTHDR(&message);
	DWORD count = 0;
	int error;

	at->cmsg_level = level;
	at->cmsg_type = type;
	at->cmsg_len = WSA_CMSG_LEN(size);
	memcpy(WSA_CMSG_DATA(at), content, size);
	error = ERROR_OF(send_message(s, &message, 0, &count, NULL, NULL));
	EXPECT(error || count == strlen(text));
	return error;
}

static int records_send(SOCKET s, const struct sockaddr_storage *to, int length,
			const struct received *got)
{
	return send_with(
		s, to, length, "onward", to->ss_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
		to->ss_family == AF_INET ? IP_WFP_REDIRECT_RECORDS : IPV6_WFP_REDIRECT_RECORDS,
		got->records, got->records_size);
}

static int original_of(SOCKET s, struct sockaddr_storage *to, int *length)
{
	*length = sizeof(*to);
	return ERROR_OF(winsock_getsockopt(s, SOL_SOCKET, SO_ORIGINAL_DST, (char *)to, length));
}

/* The whole sequence of a datagram service, and a reply, and the next service in the chain. */
static void sequence(void)
{
	struct sockaddr_storage to, wanted;
	struct received first, got;
	struct waybill_records records;
	SOCKET s, onward;
	char text[80];
	int client, length;

	datagram_service(&world, 1, DATAGRAMS_RECORDS);
	s = receiver_of(&world, 0, 0);
	functions_get(s);
	client = application_sends(&world, -1, family, 3, "one");
	receive_text(s, &first, "one", true);
	EXPECT(!waybill_records_decode(first.records, first.records_size, &records));
	EXPECT(records.hop_count == 1 && records.hops[0].service == waybill_service_id("a"));
	EXPECT(original_of(s, &to, &length) == 0);
	datagram_address(family == MAPPED ? V4 : family, 3, &wanted);
	EXPECT(same_address(&to, &wanted));
	onward = WSASocketW(to.ss_family, SOCK_DGRAM, IPPROTO_UDP, NULL, 0, WSA_FLAG_OVERLAPPED);
	EXPECT(!records_send(onward, &to, length, &first));
	/* Through the next service to the server, and the answer. */
	snprintf(text, sizeof(text), "%s", "onward");
	datagram_expect((int)onward, family == MAPPED ? V4 : family, 3, text);
	expect_count("service b", &world.seen[1].accepted, 1);
	EXPECT(world.seen[1].info.hop_count == 2);
	/* With the first only; plain sends after. */
	EXPECT(winsock_sendto(onward, "again", 5, 0, (void *)&to, length) == 5);
	datagram_expect((int)onward, family == MAPPED ? V4 : family, 3, "again");
	expect_count("service b", &world.seen[1].accepted, 1);
	/* The reply leaves from where the datagram was sent to; the client hears its peer. */
	datagram_name(family == MAPPED ? V4 : family, 3, text);
	strcat(text, "|one");
	EXPECT(!send_with(s, &first.from, first.message.namelen, text, first.address.cmsg_level,
			  first.address.cmsg_type, first.info,
			  first.address.cmsg_len - WSA_CMSG_LEN(0)));
	datagram_expect(client, family, 3, "one");
	/* Later ones bring nothing, and another flow of the same socket does. */
	application_sends(&world, client, family, 3, "two");
	receive_text(s, &got, "two", false);
	application_sends(&world, client, family, 4, "three");
	receive_text(s, &got, "three", true);
	EXPECT(memcmp(got.info, first.info, sizeof(got.info)));
	/* Forged, cut, and of another service. */
	((char *)got.records)[40] ^= 1;
	EXPECT(records_send(onward, &wanted, length, &got) == WSAEINVAL);
	((char *)got.records)[40] ^= 1;
	got.records_size -= 8;
	EXPECT(records_send(onward, &wanted, length, &got) == WSAEINVAL);
	got.records_size += 8;
	as_service(&world, 1);
	closesocket(onward);
	onward = winsock_socket(to.ss_family, SOCK_DGRAM, 0);
	EXPECT(records_send(onward, &wanted, length, &got) == WSAEACCES);
	closesocket(onward);
	closesocket(s);
}

/* A flow that was idle begins anew, and with its control messages. */
static void expiry(void)
{
	struct received got;
	SOCKET s = receiver_of(&world, 0, 0);
	int client;

	functions_get(s);
	as_root(&world);
	datagram_policy(&world, 1, "limits: { datagram_idle: 1s }\n");
	as_service(&world, 0);
	client = application_sends(&world, -1, family, 1, "one");
	receive_text(s, &got, "one", true);
	application_sends(&world, client, family, 1, "two");
	receive_text(s, &got, "two", false);
	sleep(2);
	application_sends(&world, client, family, 1, "three");
	receive_text(s, &got, "three", true);
	closesocket(s);
}

static int ask(SOCKET s, DWORD code, void *out, DWORD size, DWORD *count)
{
	return ERROR_OF(WSAIoctl(s, code, NULL, 0, out, size, count, NULL, NULL));
}

struct receiver {
	SOCKET s;
	unsigned int n; /* which address its datagram went to */
	pthread_barrier_t *all;
	int error;
};

/* Of what this thread received, though another has received another flow since. */
static void *receiver_run(void *data)
{
	struct receiver *receiver = data;
	struct sockaddr_storage to, wanted;
	struct received got;
	int length;

	receive(receiver->s, &got, 0);
	pthread_barrier_wait(receiver->all);
	receiver->n = (unsigned int)atoi(got.bytes);
	receiver->error = original_of(receiver->s, &to, &length);
	datagram_address(family, receiver->n, &wanted);
	EXPECT(same_address(&to, &wanted));
	return NULL;
}

/* Too little room: MSG_CTRUNC, nothing in part, and everything can be asked for. */
static void truncated(void)
{
	static const ULONG rooms[] = { 0, 8, 24, 40, 100, 200, 220 };
	struct receiver receivers[2];
	unsigned char records[2048];
	pthread_barrier_t all;
	pthread_t threads[2];
	struct received got;
	DWORD count = 0;
	SOCKET s = receiver_of(&world, 0, 0);
	int client = -1;

	functions_get(s);
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		client = application_sends(&world, client, family, i, "x");
		receive(s, &got, rooms[i]);
		EXPECT(!got.error && got.count == 1 && got.message.dwFlags & MSG_CTRUNC, "%u",
		       rooms[i]);
		EXPECT(got.message.Control.len <= rooms[i]);
		for (ULONG at = rooms[i]; at < sizeof(got.control); at++)
			EXPECT((unsigned char)got.control[at] == 0xa5, "%u: byte %u", rooms[i], at);
		if (got.records)
			EXPECT(got.records_size == 184);
		/* Every size habit, of a flow as of a connection. */
		EXPECT(ask(s, RECORDS, NULL, 0, &count) == ERROR_INSUFFICIENT_BUFFER);
		EXPECT(count == 184);
		EXPECT(ask(s, RECORDS, records, 3, &count) == WSAEINVAL && count == 0);
		EXPECT(ask(s, RECORDS, records, 159, &count) == ERROR_INSUFFICIENT_BUFFER);
		EXPECT(ask(s, RECORDS, records, 2048, &count) == 0 && count == 184);
		EXPECT(!memcmp(records, "WYBL", 4));
		EXPECT(ask(s, CONTEXT, records, 2048, &count) == 0 && count == 5);
	}
	/* Each thread is told of its own. */
	EXPECT(!pthread_barrier_init(&all, NULL, 2));
	for (int i = 0; i < 2; i++) {
		char text[2] = { '1' + i };

		receivers[i] = (struct receiver){ .s = s, .all = &all };
		EXPECT(!pthread_create(&threads[i], NULL, receiver_run, &receivers[i]));
		application_sends(&world, client, family, 1 + i, text);
	}
	for (int i = 0; i < 2; i++)
		EXPECT(!pthread_join(threads[i], NULL) && !receivers[i].error);
	EXPECT(receivers[0].n + receivers[1].n == 3);
	/* A datagram that is larger than its room is cut, and that is an error. */
	application_sends(&world, client, family, 9, "longer than its room");
	{
		char room[6];
		WSABUF buffer = { sizeof(room), room };
		DWORD flags = 0;

		EXPECT(ERROR_OF(WSARecv(s, &buffer, 1, &count, &flags, NULL, NULL)) == WSAEMSGSIZE);
		EXPECT(count == 6 && !memcmp(room, "longer", 6));
	}
	closesocket(s);
}

/* Receives that wait, in order; one of them for each datagram. */
static void overlapped(void)
{
	enum { COUNT = 50 };
	static struct received got[COUNT];
	WSAEVENT events[COUNT];
	SOCKET s = receiver_of(&world, 0, WSA_FLAG_OVERLAPPED);
	int client = -1, with_records = 0;
	DWORD count, flags;

	functions_get(s);
	for (int i = 0; i < COUNT; i++) {
		received_prepare(&got[i], sizeof(got[i].control));
		got[i].overlapped.hEvent = events[i] = WSACreateEvent();
		EXPECT(ERROR_OF(receive_message(s, &got[i].message, NULL, &got[i].overlapped,
						NULL)) == WSA_IO_PENDING);
	}
	for (int i = 0; i < COUNT - 1; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", i);
		client = application_sends(&world, client, family, i % 7, text);
		expect_signal(events[i]);
		EXPECT(WSAGetOverlappedResult(s, &got[i].overlapped, &count, TRUE, &flags));
		EXPECT(count == strlen(text) && !memcmp(got[i].bytes, text, count));
		received_read(&got[i]);
		EXPECT(!got[i].records == (i >= 7), "%d", i);
		with_records += !!got[i].records;
		/* Whoever has the result has the flow. */
		{
			struct sockaddr_storage to, wanted;
			int length;

			EXPECT(!original_of(s, &to, &length));
			datagram_address(family, i % 7, &wanted);
			EXPECT(same_address(&to, &wanted));
		}
	}
	EXPECT(with_records == 7);
	EXPECT(!is_signalled(events[COUNT - 1]));
	closesocket(s);
	EXPECT(is_signalled(events[COUNT - 1]));
	EXPECT(result_of(s, &got[COUNT - 1].overlapped, &count) == WSA_OPERATION_ABORTED);
}

static DWORD WINAPI drain(LPVOID data)
{
	char bytes[65536];
	DWORD sum = 0;
	int count;

	while ((count = winsock_recv((SOCKET)data, bytes, sizeof(bytes), 0)) > 0)
		sum += count;
	EXPECT(sum == 20000000, "%u", sum);
	return 0;
}

/* A stream: a send that waits until all is sent, a receive that waits for bytes, and their end. */
static void stream(void)
{
	struct sockaddr_in here = { .sin_family = AF_INET };
	WSAOVERLAPPED sending = { .hEvent = WSACreateEvent() };
	WSAOVERLAPPED receiving = { .hEvent = WSACreateEvent() };
	int length = sizeof(here);
	char *bytes = calloc(1, 20000000), answer[8];
	WSABUF parts[2] = { { 7, bytes }, { 19999993, bytes + 7 } }, part = { 8, answer };
	SOCKET listener = winsock_socket(AF_INET, SOCK_STREAM, 0), client, accepted;
	DWORD count = 0, flags = 0;
	HANDLE thread;

	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT(!winsock_bind(listener, (void *)&here, sizeof(here)));
	EXPECT(!winsock_listen(listener, 8));
	EXPECT(!winsock_getsockname(listener, (void *)&here, &length));
	client = winsock_socket(AF_INET, SOCK_STREAM, 0);
	EXPECT(!winsock_connect(client, (void *)&here, sizeof(here)));
	accepted = winsock_accept(listener, NULL, NULL);
	EXPECT(ERROR_OF(WSARecv(client, &part, 1, NULL, &flags, &receiving, NULL)) ==
	       WSA_IO_PENDING);
	EXPECT(ERROR_OF(WSASend(client, parts, 2, NULL, 0, &sending, NULL)) == WSA_IO_PENDING);
	thread = CreateThread(NULL, 0, drain, (LPVOID)accepted, 0, NULL);
	EXPECT(thread && WaitForSingleObject(thread, 0) == WAIT_TIMEOUT);
	EXPECT(WSAGetOverlappedResult(client, &sending, &count, TRUE, &flags));
	EXPECT(count == 20000000);
	EXPECT(!winsock_shutdown(client, SD_SEND));
	EXPECT(WaitForSingleObject(thread, 5000) == WAIT_OBJECT_0 && CloseHandle(thread));
	EXPECT(!CloseHandle(thread) && WSAGetLastError() == WSA_INVALID_HANDLE);
	EXPECT(winsock_send(accepted, "answer", 6, 0) == 6);
	expect_signal(receiving.hEvent);
	EXPECT(WSAGetOverlappedResult(client, &receiving, &count, FALSE, &flags) && count == 6);
	EXPECT(!memcmp(answer, "answer", 6));
	/* The end is a receive of nothing; a reset an error. */
	EXPECT(ERROR_OF(WSARecv(client, &part, 1, NULL, &flags, &receiving, NULL)) ==
	       WSA_IO_PENDING);
	closesocket(accepted);
	expect_signal(receiving.hEvent);
	EXPECT(WSAGetOverlappedResult(client, &receiving, &count, FALSE, &flags) && count == 0);
	EXPECT(ERROR_OF(receive_message ? 0 :
					  WSARecvMsg(client, &(WSAMSG){ 0 }, &count, NULL, NULL)) ==
	       WSAEOPNOTSUPP);
	closesocket(client);
	closesocket(listener);
	free(bytes);
}

/* Options under Windows' names, and what is refused. */
static void options(void)
{
	SOCKET s = receiver_of(&world, 0, 0), tcp = winsock_socket(AF_INET, SOCK_STREAM, 0);
	static const int names[] = { IP_WFP_REDIRECT_RECORDS, IP_WFP_REDIRECT_CONTEXT };
	struct sockaddr_storage to;
	BOOL on = FALSE;
	int length = sizeof(on);

	for (int i = 0; i < 2; i++) {
		for (int six = 0; six < 2; six++) {
			int level = six ? IPPROTO_IPV6 : IPPROTO_IP;

			EXPECT(!winsock_getsockopt(s, level, names[i], (char *)&on, &length) && on);
			on = FALSE;
			EXPECT(!winsock_setsockopt(s, level, names[i], (char *)&on, sizeof(on)));
			on = TRUE;
			EXPECT(!winsock_getsockopt(s, level, names[i], (char *)&on, &length) &&
			       !on);
			on = TRUE;
			EXPECT(!winsock_setsockopt(s, level, names[i], (char *)&on, sizeof(on)));
			/* Datagram sockets only. */
			EXPECT(ERROR_OF(winsock_setsockopt(tcp, level, names[i], (char *)&on,
							   sizeof(on))) == WSAENOPROTOOPT);
			EXPECT(ERROR_OF(winsock_setsockopt(s, level, names[i], (char *)8,
							   sizeof(on))) == WSAEFAULT);
		}
	}
	/* Nothing was redirected here yet. */
	EXPECT(original_of(s, &to, &length) == FWP_E_NOT_FOUND);
	EXPECT(original_of(tcp, &to, &length) == WSAENOTCONN, "%d", WSAGetLastError());
	application_sends(&world, -1, family, 1, "x");
	EXPECT(winsock_recv(s, (char *)&on, 1, 0) == 1);
	length = 8;
	EXPECT(ERROR_OF(winsock_getsockopt(s, SOL_SOCKET, SO_ORIGINAL_DST, (char *)&to, &length)) ==
	       WSAEFAULT);
	EXPECT(original_of(s, &to, &length) == 0 && length == sizeof(struct sockaddr_in));
	EXPECT(ERROR_OF(winsock_getsockopt(s, SOL_SOCKET, SO_ORIGINAL_DST, (char *)8, &length)) ==
	       WSAEFAULT);
	closesocket(s);
	closesocket(tcp);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} cases[] = {
		{ "sequence", sequence },     { "expiry", expiry }, { "truncated", truncated },
		{ "overlapped", overlapped }, { "stream", stream }, { "options", options },
	};

	EXPECT(argc >= 2);
	if (argc > 2)
		family = family_of(argv[2]);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (strcmp(cases[i].name, argv[1]))
			continue;
		world_begin(&world, "winsock_message");
		world_up(&world);
		datagram_policy(&world, 2, NULL);
		datagram_server(&world);
		cases[i].run();
		as_root(&world);
		world_end(&world);
	}
	EXPECT(false, "no case %s", argv[1]);
}
