// SPDX-License-Identifier: BSD-2-Clause
/*
 * The caller's memory, copied by the kernel: a pointer that is not good is an error there, where
 * touching it would end the program.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "winsock.h"

typedef ssize_t copy_call(pid_t, const struct iovec *, unsigned long, const struct iovec *,
			  unsigned long, unsigned long);

static int copy(copy_call *call, void *ours, void *caller, size_t size)
{
	struct iovec here = { ours, size }, there = { caller, size };
	ssize_t done = call(getpid(), &here, 1, &there, 1, 0);

	if (done == (ssize_t)size)
		return 0;
	/* A sandbox may forbid the call. */
	if (done < 0 && (errno == ENOSYS || errno == EPERM))
		return -1;
	return WSAEFAULT;
}

int memory_read(void *to, const void *caller, size_t size)
{
	int result = copy(process_vm_readv, to, (void *)caller, size);

	if (result >= 0)
		return result;
	if (!caller)
		return WSAEFAULT;
	memcpy(to, caller, size);
	return 0;
}

int memory_write(void *caller, const void *from, size_t size)
{
	int result = copy(process_vm_writev, (void *)from, caller, size);

	if (result >= 0)
		return result;
	if (!caller)
		return WSAEFAULT;
	memcpy(caller, from, size);
	return 0;
}

int memory_take(void *to, void *caller, size_t size)
{
	int error = memory_read(to, caller, size);

	return error ? error : memory_write(caller, to, size);
}
