// SPDX-License-Identifier: BSD-2-Clause
/*
 * The onward socket: made, given the records, connected to where the client wanted to go.
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>
#include <waybill/waybill.h>

int waybill_forward(int accepted, int onward)
{
	char records[WAYBILL_RECORDS_MAX];
	size_t size = sizeof(records);
	int result = waybill_records_query(accepted, records, &size);

	return result ? result : waybill_records_set(onward, records, size);
}

static int connect_wait(int onward)
{
	struct pollfd wait = { .fd = onward, .events = POLLOUT };
	int error;
	socklen_t size = sizeof(error);

	while (poll(&wait, 1, -1) < 0)
		if (errno != EINTR)
			return -errno;
	if (getsockopt(onward, SOL_SOCKET, SO_ERROR, &error, &size))
		return -errno;
	return -error;
}

static int connect_start(int onward, const struct sockaddr_storage *address, socklen_t length,
			 int flags)
{
	if (connect(onward, (const struct sockaddr *)address, length) == 0)
		return 0;
	/*
	 * A connect that a signal interrupts goes on by itself. To call it again would race with
	 * its end (EALREADY or EISCONN), so from here on both are the same: under way.
	 */
	if (errno != EINPROGRESS && errno != EINTR)
		return -errno;
	return flags & SOCK_NONBLOCK ? 0 : connect_wait(onward);
}

int waybill_connect_onward(int accepted, int flags)
{
	struct sockaddr_storage destination;
	socklen_t length;
	int onward, result;

	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	result = waybill_original_destination_query(accepted, &destination, &length);
	if (result)
		return result;
	onward = socket(destination.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (onward < 0)
		return -errno;

	result = waybill_forward(accepted, onward);
	if (result == 0)
		result = connect_start(onward, &destination, length, flags);
	if (result == 0)
		return onward;
	close(onward);
	return result;
}
