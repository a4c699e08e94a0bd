// SPDX-License-Identifier: BSD-2-Clause
/*
 * The library's datagrams without the kernel half: numbers and addresses of flows, the socket that
 * receives them, control messages whatever they say, and many at once.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <waybill/waybill.h>

#include <cmocka.h>

#define PORT 9871

static int receiver(int family)
{
	struct timeval patience = { .tv_sec = 2 };
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(waybill_bind_datagrams(fd, PORT), 0);
	return fd;
}

static void send_to(const char *address, const char *text)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int is4 = inet_pton(AF_INET, address, &four.sin_addr) == 1;
	int fd = socket(is4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!is4)
		assert_int_equal(inet_pton(AF_INET6, address, &six.sin6_addr), 1);
	assert_int_equal(sendto(fd, text, strlen(text), 0, is4 ? (void *)&four : (void *)&six,
				is4 ? sizeof(four) : sizeof(six)),
			 strlen(text));
	close(fd);
}

static void numbers_and_addresses(void **state)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	static const uint32_t numbers[] = { 1, 2, 255, 256, 65536, 0xfffff };
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		waybill_flow_address4(numbers[i], &four.sin_addr);
		assert_int_equal(waybill_flow_from_address((void *)&four, sizeof(four)),
				 numbers[i]);
		waybill_flow_address6(numbers[i], &six.sin6_addr);
		assert_int_equal(waybill_flow_from_address((void *)&six, sizeof(six)), numbers[i]);
	}
	inet_ntop(AF_INET, &four.sin_addr, text, sizeof(text));
	assert_string_equal(text, "127.111.255.255");
	inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof(text));
	assert_string_equal(text, "fd57:6179:6269:6c6c::f:ffff");
	/* As an AF_INET6 socket tells of IPv4. */
	inet_pton(AF_INET6, "::ffff:127.96.0.7", &six.sin6_addr);
	assert_int_equal(waybill_flow_from_address((void *)&six, sizeof(six)), 7);
	static const char *const none[] = { "::1",
					    "fd57:6179:6269:6c6c::10:0",
					    "fd57:6179:6269:6c6c:1::1",
					    "fd57:6179:6269:6c6d::1",
					    "::ffff:127.112.0.1",
					    "::ffff:127.95.255.255",
					    "fd57:6179:6269:6c6c::",
					    "::ffff:127.96.0.0" };
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		inet_pton(AF_INET6, none[i], &six.sin6_addr);
		assert_int_equal(waybill_flow_from_address((void *)&six, sizeof(six)), 0);
	}
	assert_int_equal(waybill_flow_from_address((void *)&six, 4), 0);
	assert_int_equal(waybill_flow_from_address((void *)&six, 0), 0);
}

static void bind_says_why_not(void **state)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0), pair[2];

	(void)state;
	assert_int_equal(waybill_bind_datagrams(fd, PORT), -EINVAL);
	close(fd);
	assert_int_equal(waybill_bind_datagrams(-1, PORT), -EBADF);
	assert_int_equal(pipe(pair), 0);
	assert_int_equal(waybill_bind_datagrams(pair[0], PORT), -ENOTSOCK);
	close(pair[0]);
	close(pair[1]);
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(waybill_bind_datagrams(fd, PORT), -EINVAL);
	close(fd);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(fd, (void *)&any, sizeof(any)), 0);
	assert_int_equal(waybill_bind_datagrams(fd, PORT), -EINVAL);
	close(fd);
	any.sin_port = htons(PORT);
	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(fd, (void *)&any, sizeof(any)), 0);
	assert_int_equal(waybill_bind_datagrams(fd, PORT), -EINVAL);
	close(fd);
	/* Handed over by somebody who has bound it as is needed. */
	any.sin_addr.s_addr = htonl(INADDR_ANY);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(fd, (void *)&any, sizeof(any)), 0);
	assert_int_equal(waybill_bind_datagrams(fd, PORT), 0);
	close(fd);
	fd = receiver(AF_INET);
	pair[0] = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(waybill_bind_datagrams(pair[0], PORT), -EADDRINUSE);
	close(pair[0]);
	close(fd);
}

/* What comes to an address that is not of loopback may come from anywhere. */
static void deaf_to_others(void **state)
{
	static const char *const heard[] = { "127.0.0.1", "127.96.1.2", "127.255.0.1", "::1",
					     "fd57:6179:6269:6c6c::5" };
	static const char *const others[] = { "10.9.8.7", "fd58::1" };
	char data[64];
	int fd;

	(void)state;
	if (geteuid() != 0 || unshare(CLONE_NEWNET) ||
	    system("ip link set lo up && ip address add 10.9.8.7/32 dev lo && "
		   "ip -6 address add fd58::1/128 dev lo nodad && "
		   "ip -6 route add local fd57:6179:6269:6c6c::/64 dev lo"))
		skip();
	fd = receiver(AF_INET6);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		send_to(others[i], "no");
	for (size_t i = 0; i < sizeof(heard) / sizeof(heard[0]); i++) {
		send_to(heard[i], heard[i]);
		assert_int_equal(recv(fd, data, sizeof(data), 0), strlen(heard[i]));
		assert_memory_equal(data, heard[i], strlen(heard[i]));
	}
	close(fd);
	fd = receiver(AF_INET);
	send_to("10.9.8.7", "no");
	send_to("127.96.0.1", "yes");
	assert_int_equal(recv(fd, data, sizeof(data), 0), 3);
	close(fd);
}

/* Nobody redirected it: no message of ours, and the kernel's as they are. */
static void not_redirected(void **state)
{
	char control[256] __attribute__((aligned(8))), data[16];
	struct iovec part = { .iov_base = data, .iov_len = sizeof(data) };
	int fd = receiver(AF_INET);

	(void)state;
	for (size_t room = 0; room <= sizeof(control); room++) {
		struct msghdr message = { .msg_iov = &part,
					  .msg_iovlen = 1,
					  .msg_control = room ? control : NULL,
					  .msg_controllen = room };
		struct cmsghdr *at;

		send_to("127.96.0.9", "abc");
		assert_int_equal(waybill_recvmsg(fd, &message, 0), 3);
		assert_true(message.msg_controllen <= room);
		at = CMSG_FIRSTHDR(&message);
		if (room >= CMSG_LEN(sizeof(struct in_pktinfo))) {
			assert_non_null(at);
			assert_int_equal(at->cmsg_level, IPPROTO_IP);
			assert_int_equal(at->cmsg_type, IP_PKTINFO);
			assert_null(CMSG_NXTHDR(&message, at));
			assert_int_equal(message.msg_flags & MSG_CTRUNC, 0);
		} else {
			assert_null(at);
			assert_int_equal(!!(message.msg_flags & MSG_CTRUNC), room > 0);
		}
	}
	close(fd);
}

static ssize_t send_control(int fd, const void *control, size_t length, bool named)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct iovec part = { .iov_base = "x", .iov_len = 1 };
	struct msghdr message = { .msg_name = named ? &to : NULL,
				  .msg_namelen = named ? sizeof(to) : 0,
				  .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = (void *)control,
				  .msg_controllen = length };

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return waybill_sendmsg(fd, &message, 0);
}

static void control_may_say_anything(void **state)
{
	struct {
		struct cmsghdr head;
		uint32_t value;
		uint32_t more[64];
	} control;
	static const size_t lengths[] = {
		0, 1, 15, 16, 17, 19, 20, 21, 24, 25, 4096, SIZE_MAX, SIZE_MAX - 7, (size_t)1 << 63
	};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), in = receiver(AF_INET);
	unsigned int sent = 0, refused = 0;
	ssize_t result;

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (int type = 0; type < 20; type++)
			for (size_t given = 0; given < 40; given++) {
				memset(&control, 0, sizeof(control));
				control.head.cmsg_len = lengths[i];
				control.head.cmsg_level = SOL_WAYBILL;
				control.head.cmsg_type = type;
				control.value = 5;
				result = send_control(fd, &control, given, true);
				assert_true(result == 1 || result == -EINVAL ||
					    result == -EOPNOTSUPP);
				sent += result == 1;
				refused += result < 0;
				while (recv(in, &control, sizeof(control), MSG_DONTWAIT) > 0)
					;
			}
	assert_true(sent > 1000 && refused > 1000);

	/* A number that is none; two of one kind; a reply that goes nowhere; both at once. */
	control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(4),
					 .cmsg_level = SOL_WAYBILL,
					 .cmsg_type = WAYBILL_FLOW };
	control.value = 0;
	assert_int_equal(send_control(fd, &control, CMSG_SPACE(4), true), -EINVAL);
	control.value = WAYBILL_FLOW_MASK + 1;
	assert_int_equal(send_control(fd, &control, CMSG_SPACE(4), true), -EINVAL);
	control.value = 5;
	assert_int_equal(send_control(fd, &control, CMSG_SPACE(4), false), -EINVAL);
	assert_int_equal(send_control(fd, &control, CMSG_SPACE(4), true), 1);
	memcpy((char *)&control + CMSG_SPACE(4), &control, CMSG_SPACE(4));
	assert_int_equal(send_control(fd, &control, 2 * CMSG_SPACE(4), true), -EINVAL);
	((struct cmsghdr *)((char *)&control + CMSG_SPACE(4)))->cmsg_type =
		WAYBILL_REDIRECT_RECORDS;
	assert_int_equal(send_control(fd, &control, 2 * CMSG_SPACE(4), true), -EINVAL);
	/* Records without Waybill: nothing is sent. */
	control.head.cmsg_type = WAYBILL_REDIRECT_RECORDS;
	while (recv(in, &control.more, sizeof(control.more), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(send_control(fd, &control, CMSG_SPACE(4), true), -EOPNOTSUPP);
	assert_int_equal(send_control(fd, &control, CMSG_SPACE(4), false), -EINVAL);
	assert_int_equal(recv(in, control.more, sizeof(control.more), MSG_DONTWAIT), -1);
	/* More than the kernel is ever told. */
	static char many[170 * CMSG_SPACE(4)] __attribute__((aligned(8)));
	control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(4), .cmsg_level = SOL_SOCKET };
	for (size_t at = 0; at < sizeof(many); at += CMSG_SPACE(4))
		memcpy(many + at, &control, CMSG_SPACE(4));
	assert_int_equal(send_control(fd, many, sizeof(many), true), -ENOBUFS);
	close(fd);
	close(in);
}

static void many_at_once(void **state)
{
	enum { COUNT = 50 };
	struct mmsghdr messages[COUNT + 33];
	struct iovec parts[COUNT];
	char data[COUNT][8], text[8];
	int fd = receiver(AF_INET), out = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	(void)state;
	to.sin_addr.s_addr = htonl(0x7f600001);
	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < COUNT; i++) {
		snprintf(data[i], sizeof(data[i]), "%d", i);
		parts[i] = (struct iovec){ .iov_base = data[i], .iov_len = strlen(data[i]) };
		messages[i].msg_hdr.msg_name = &to;
		messages[i].msg_hdr.msg_namelen = sizeof(to);
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	assert_int_equal(waybill_sendmmsg(out, messages, COUNT, 0), COUNT);
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(messages[i].msg_len, strlen(data[i]));
		memset(data[i], 0, sizeof(data[i]));
		parts[i].iov_len = sizeof(data[i]) - 1;
		messages[i].msg_hdr.msg_name = NULL;
		messages[i].msg_hdr.msg_namelen = 0;
	}
	assert_int_equal(waybill_recvmmsg(fd, messages, 33, MSG_WAITFORONE, NULL), 33);
	assert_int_equal(waybill_recvmmsg(fd, messages + 33, COUNT, MSG_WAITFORONE, NULL),
			 COUNT - 33);
	for (int i = 0; i < COUNT; i++) {
		snprintf(text, sizeof(text), "%d", i);
		assert_string_equal(data[i], text);
		assert_int_equal(messages[i].msg_len, strlen(text));
	}
	assert_int_equal(waybill_recvmmsg(fd, messages, 3, MSG_DONTWAIT, NULL), -EAGAIN);
	/* The first that cannot be sent ends it; its error is told if there is nothing else. */
	messages[0].msg_hdr.msg_name = &to;
	messages[0].msg_hdr.msg_namelen = sizeof(to);
	assert_int_equal(waybill_sendmmsg(out, messages, 2, 0), 1);
	assert_int_equal(waybill_sendmmsg(out, messages + 1, 1, 0), -EDESTADDRREQ);
	close(fd);
	close(out);
}

static void numbers_that_are_none(void **state)
{
	static const uint32_t none[] = { 0, WAYBILL_FLOW_MASK + 1, UINT32_MAX };
	struct sockaddr_storage address;
	struct waybill_info info;
	char bytes[16];
	size_t size;
	socklen_t length;
	uint32_t number;
	int fd = receiver(AF_INET);

	(void)state;
	for (int i = 0; i < 3; i++) {
		size = sizeof(bytes);
		assert_int_equal(waybill_flow_records_query(fd, none[i], bytes, &size), -ENOENT);
		assert_int_equal(waybill_flow_context_query(fd, none[i], bytes, &size), -ENOENT);
		assert_int_equal(waybill_flow_info_query(fd, none[i], &info), -ENOENT);
		assert_int_equal(
			waybill_flow_original_destination_query(fd, none[i], &address, &length),
			-ENOENT);
		assert_int_equal(waybill_flow_forward(fd, none[i], fd), -ENOENT);
		assert_int_equal(waybill_flow_peer(fd, none[i], (void *)&address, 0, &number),
				 -ENOENT);
	}
	/* Without Waybill. */
	assert_int_equal(waybill_flow_info_query(fd, 5, &info), -EOPNOTSUPP);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_and_addresses), cmocka_unit_test(bind_says_why_not),
		cmocka_unit_test(not_redirected),        cmocka_unit_test(control_may_say_anything),
		cmocka_unit_test(many_at_once),          cmocka_unit_test(numbers_that_are_none),
		cmocka_unit_test(deaf_to_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
