// SPDX-License-Identifier: BSD-2-Clause
/*
 * Records and context: the two answers whose size varies. The kernel half refuses a buffer that
 * is too small without saying what would be enough, so that is asked with a second question.
 */
#include <errno.h>
#include <waybill/waybill.h>

#include "option.h"

/* What the caller would need; asked only after the option itself said that it is there. */
static int size_query(int accepted, int option, size_t *size)
{
	struct waybill_info info;
	int result = waybill_info_query(accepted, &info);

	if (result)
		return result;
	*size = option == WAYBILL_REDIRECT_RECORDS ? info.records_size : info.context_size;
	return -ERANGE;
}

static int bytes_query(int accepted, int option, void *buffer, size_t *size)
{
	size_t room = buffer ? *size : 0;
	socklen_t length = room < WAYBILL_RECORDS_MAX ? room : WAYBILL_RECORDS_MAX;
	char probe;
	int result;

	/* Older kernels have no answer for a NULL pointer: a byte of our own is as small. */
	if (length == 0) {
		buffer = &probe;
		length = sizeof(probe);
	}
	result = option_get(accepted, option, buffer, &length);
	if (result == -ERANGE)
		return size_query(accepted, option, size);
	if (result)
		return result;
	*size = length;
	/* A context can be as small as the probe. */
	return room ? 0 : -ERANGE;
}

int waybill_records_query(int accepted, void *buffer, size_t *size)
{
	return bytes_query(accepted, WAYBILL_REDIRECT_RECORDS, buffer, size);
}

int waybill_context_query(int accepted, void *buffer, size_t *size)
{
	return bytes_query(accepted, WAYBILL_REDIRECT_CONTEXT, buffer, size);
}

int waybill_records_set(int onward, const void *records, size_t size)
{
	/* Also keeps the size within what a socklen_t, and a page in the kernel, can hold. */
	if (size > WAYBILL_RECORDS_MAX)
		return -EBADMSG;
	return option_set(onward, WAYBILL_REDIRECT_RECORDS, records, size);
}
