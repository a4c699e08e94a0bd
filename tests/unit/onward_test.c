// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/ against a kernel half that is played here: the system calls of the library are wrapped
 * (ld --wrap), and answered as docs/records.md says. What size habits get, what onward sockets
 * carry, and that no failure at any step leaves a file descriptor behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <waybill/waybill.h>

int __real_getsockopt(int fd, int level, int option, void *value, socklen_t *size);
int __real_setsockopt(int fd, int level, int option, const void *value, socklen_t size);
int __real_connect(int fd, const struct sockaddr *address, socklen_t length);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *size);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

/* What the next calls meet: all 0 is a host where everything goes well. */
static struct {
	int get_error, set_error, connect_error;
	int silent;       /* success, and nothing written */
	int interrupted;  /* connect is, by a signal */
	int poll_signals; /* polls that are, before one is not */
	unsigned char records[WAYBILL_RECORDS_MAX], context[WAYBILL_CONTEXT_MAX];
	socklen_t records_size, context_size;
	struct sockaddr_storage destination;
	socklen_t destination_size;
	unsigned char set[WAYBILL_RECORDS_MAX];
	socklen_t set_size;
} host;

static int answer(void *value, socklen_t *size, const void *from, socklen_t length)
{
	if (*size < length) {
		errno = ERANGE;
		return -1;
	}
	memcpy(value, from, length);
	*size = length;
	return 0;
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
	struct waybill_info info = { .size = sizeof(info),
				     .records_size = host.records_size,
				     .context_size = host.context_size };

	if (level != SOL_WAYBILL)
		return __real_getsockopt(fd, level, option, value, size);
	/* Every kernel must do, also one that has no answer for these. */
	assert_non_null(value);
	assert_in_range(*size, 1, 4096);
	if (host.silent) {
		*size = 0;
		return 0;
	}
	if (host.get_error) {
		errno = host.get_error;
		return -1;
	}
	switch (option) {
	case WAYBILL_REDIRECT_RECORDS:
		return answer(value, size, host.records, host.records_size);
	case WAYBILL_REDIRECT_CONTEXT:
		return answer(value, size, host.context, host.context_size);
	case WAYBILL_REDIRECT_INFO:
		return answer(value, size, &info, sizeof(info));
	default:
		return answer(value, size, &host.destination, host.destination_size);
	}
}

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
	if (level != SOL_WAYBILL)
		return __real_setsockopt(fd, level, option, value, size);
	if (host.set_error) {
		errno = host.set_error;
		return -1;
	}
	memcpy(host.set, value, size);
	host.set_size = size;
	return 0;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	int flags = fcntl(fd, F_GETFL);

	assert_int_equal(host.set_size, host.records_size);
	if (host.connect_error) {
		errno = host.connect_error;
		return -1;
	}
	if (!host.interrupted)
		return __real_connect(fd, address, length);
	/* What a signal leaves behind is a connect under way on a blocking socket. */
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	assert_int_equal(__real_connect(fd, address, length), -1);
	fcntl(fd, F_SETFL, flags);
	errno = EINTR;
	return -1;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	if (host.poll_signals-- > 0) {
		errno = EINTR;
		return -1;
	}
	return __real_poll(fds, count, timeout);
}

static int descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* A listener on the loopback address of a family, and a host that redirected a connection to it. */
static int host_begin(int family)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(family, SOCK_STREAM, 0);

	memset(&host, 0, sizeof(host));
	for (size_t i = 0; i < sizeof(host.records); i++)
		host.records[i] = i * 7;
	memcpy(host.context, "tenant=42", 9);
	host.records_size = 272;
	host.context_size = 9;
	host.destination_size = family == AF_INET ? sizeof(in) : sizeof(in6);
	if (listener < 0 ||
	    bind(listener, family == AF_INET ? (void *)&in : (void *)&in6, host.destination_size))
		return -1;
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(
		getsockname(listener, (struct sockaddr *)&host.destination, &host.destination_size),
		0);
	return listener;
}

typedef int query(int accepted, void *buffer, size_t *size);

static void assert_size_habits(query *query, const void *bytes, size_t length)
{
	unsigned char buffer[8192];
	size_t size;

	for (size_t room = 0; room <= sizeof(buffer); room += room < length + 2 ? 1 : 512) {
		memset(buffer, 0xee, sizeof(buffer));
		size = room;
		assert_int_equal(query(0, buffer, &size), room < length ? -ERANGE : 0);
		assert_int_equal(size, length);
		if (room >= length)
			assert_memory_equal(buffer, bytes, length);
		assert_int_equal(buffer[room < length ? 0 : length], 0xee);
	}
	size = 0;
	assert_int_equal(query(0, NULL, &size), -ERANGE);
	assert_int_equal(size, length);
	size = 4096;
	assert_int_equal(query(0, NULL, &size), -ERANGE);
	assert_int_equal(size, length);
	size = (size_t)-1;
	assert_int_equal(query(0, buffer, &size), 0);
	assert_int_equal(size, length);
}

static void every_size_habit_works(void **state)
{
	(void)state;
	close(host_begin(AF_INET));
	assert_size_habits(waybill_records_query, host.records, 272);
	assert_size_habits(waybill_context_query, host.context, 9);
	host.records_size = WAYBILL_RECORDS_MAX;
	assert_size_habits(waybill_records_query, host.records, WAYBILL_RECORDS_MAX);
	host.context_size = 1;
	assert_size_habits(waybill_context_query, host.context, 1);
}

static void errors_leave_the_size_alone(void **state)
{
	static const int error[] = { ENOENT, ENOTCONN, ENODATA, EACCES, EOPNOTSUPP };
	char buffer[16];
	size_t size = 7;

	(void)state;
	close(host_begin(AF_INET));
	for (size_t i = 0; i < sizeof(error) / sizeof(error[0]); i++) {
		host.get_error = error[i];
		assert_int_equal(waybill_records_query(0, buffer, &size), -error[i]);
		assert_int_equal(waybill_context_query(0, buffer, &size), -error[i]);
		assert_int_equal(waybill_forward(0, 0), -error[i]);
		assert_int_equal(size, 7);
	}
	host.get_error = ENOPROTOOPT;
	assert_int_equal(waybill_records_query(0, buffer, &size), -EOPNOTSUPP);
	host.get_error = 0;
	host.silent = 1;
	assert_int_equal(waybill_records_query(0, buffer, &size), -EOPNOTSUPP);
	assert_int_equal(size, 7);
	host.set_error = ENOPROTOOPT;
	assert_int_equal(waybill_records_set(0, buffer, 16), -EOPNOTSUPP);
}

static void assert_onward_connects(int family, int flags)
{
	int listener = host_begin(family), onward, error = -1, kind = -1;
	struct pollfd wait = { .events = POLLOUT };
	socklen_t size = sizeof(error);

	if (listener < 0)
		skip(); /* no IPv6 here */
	onward = waybill_connect_onward(0, flags);
	assert_true(onward >= 0);
	assert_int_equal(host.set_size, host.records_size);
	assert_memory_equal(host.set, host.records, host.records_size);
	assert_int_equal(fcntl(onward, F_GETFD), FD_CLOEXEC);
	assert_int_equal(!!(fcntl(onward, F_GETFL) & O_NONBLOCK), !!(flags & SOCK_NONBLOCK));
	assert_int_equal(getsockopt(onward, SOL_SOCKET, SO_DOMAIN, &kind, &size), 0);
	assert_int_equal(kind, family);
	wait.fd = onward;
	assert_int_equal(poll(&wait, 1, flags & SOCK_NONBLOCK ? 5000 : 0), 1);
	assert_int_equal(getsockopt(onward, SOL_SOCKET, SO_ERROR, &error, &size), 0);
	assert_int_equal(error, 0);
	close(onward);
	close(listener);
}

static void onward_socket_carries_records(void **state)
{
	(void)state;
	assert_onward_connects(AF_INET, 0);
	assert_onward_connects(AF_INET, SOCK_NONBLOCK);
	assert_onward_connects(AF_INET, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_onward_connects(AF_INET6, 0);
}

static void interrupted_connect_is_waited_for(void **state)
{
	int listener = host_begin(AF_INET), onward;

	(void)state;
	host.interrupted = 1;
	host.poll_signals = 3;
	onward = waybill_connect_onward(0, 0);
	assert_true(onward >= 0);
	assert_true(host.poll_signals < 0);
	assert_int_equal(write(onward, "x", 1), 1);
	close(onward);

	/* And the reason is told when it fails in the end. */
	close(listener);
	onward = descriptors();
	host.interrupted = 1;
	assert_int_equal(waybill_connect_onward(0, 0), -ECONNREFUSED);
	assert_int_equal(descriptors(), onward);
}

static void failure_leaves_nothing_open(void **state)
{
	int listener = host_begin(AF_INET), before = descriptors();

	(void)state;
	host.get_error = ENOENT;
	assert_int_equal(waybill_connect_onward(0, 0), -ENOENT);
	host.get_error = 0;
	host.set_error = EKEYEXPIRED;
	assert_int_equal(waybill_connect_onward(0, 0), -EKEYEXPIRED);
	host.set_error = 0;
	host.connect_error = ELOOP;
	assert_int_equal(waybill_connect_onward(0, 0), -ELOOP);
	assert_int_equal(waybill_connect_onward(0, SOCK_NONBLOCK), -ELOOP);
	host.connect_error = 0;
	host.destination.ss_family = 250;
	assert_int_equal(waybill_connect_onward(0, 0), -EAFNOSUPPORT);
	assert_int_equal(descriptors(), before);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_habit_works),
		cmocka_unit_test(errors_leave_the_size_alone),
		cmocka_unit_test(onward_socket_carries_records),
		cmocka_unit_test(interrupted_connect_is_waited_for),
		cmocka_unit_test(failure_leaves_nothing_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
