// SPDX-License-Identifier: BSD-2-Clause
/*
 * The only two system calls that the library makes to the kernel half. A kernel without Waybill
 * answers an unknown level with ENOPROTOOPT or EOPNOTSUPP, depending on the socket's family and
 * on its own version; callers get to see only the latter.
 */
#include "option.h"

#include <errno.h>
#include <waybill/abi.h>

static int option_error(void)
{
	return errno == ENOPROTOOPT ? -EOPNOTSUPP : -errno;
}

int option_get(int socket, int option, void *value, socklen_t *size)
{
	if (getsockopt(socket, SOL_WAYBILL, option, value, size))
		return option_error();
	/*
	 * A cgroup program that lets the option pass without answering it makes the kernel report
	 * success and write nothing. None of ours does; nobody's silence may pass for an answer.
	 */
	return *size ? 0 : -EOPNOTSUPP;
}

int option_set(int socket, int option, const void *value, socklen_t size)
{
	return setsockopt(socket, SOL_WAYBILL, option, value, size) ? option_error() : 0;
}
