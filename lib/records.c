// SPDX-License-Identifier: BSD-2-Clause
/*
 * Records and context: the two answers whose size varies. The kernel half refuses a buffer that
 * is too small without saying what would be enough, so that is asked with a second question.
 */
#include <errno.h>
#include <waybill/waybill.h>

#include "option.h"

/* The same option of a flow of datagrams; of a connection if flow is 0. */
static int of_flow(int option, uint32_t flow)
{
	return flow ? (int)WAYBILL_OF_FLOW(option, flow) : option;
}

/* What the caller would need; asked only after the option itself said that it is there. */
static int size_query(int fd, int option, uint32_t flow, size_t *size)
{
	struct waybill_info info;
	int result =
		flow ? waybill_flow_info_query(fd, flow, &info) : waybill_info_query(fd, &info);

	if (result)
		return result;
	*size = option == WAYBILL_REDIRECT_RECORDS ? info.records_size : info.context_size;
	return -ERANGE;
}

static int bytes_query(int fd, int option, uint32_t flow, void *buffer, size_t *size)
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
	result = option_get(fd, of_flow(option, flow), buffer, &length);
	if (result == -ERANGE)
		return size_query(fd, option, flow, size);
	if (result)
		return result;
	*size = length;
	/* A context can be as small as the probe. */
	return room ? 0 : -ERANGE;
}

int waybill_records_query(int accepted, void *buffer, size_t *size)
{
	return bytes_query(accepted, WAYBILL_REDIRECT_RECORDS, 0, buffer, size);
}

int waybill_context_query(int accepted, void *buffer, size_t *size)
{
	return bytes_query(accepted, WAYBILL_REDIRECT_CONTEXT, 0, buffer, size);
}

int waybill_flow_records_query(int fd, uint32_t flow, void *buffer, size_t *size)
{
	return flow_valid(flow) ? bytes_query(fd, WAYBILL_REDIRECT_RECORDS, flow, buffer, size) :
				  -ENOENT;
}

int waybill_flow_context_query(int fd, uint32_t flow, void *buffer, size_t *size)
{
	return flow_valid(flow) ? bytes_query(fd, WAYBILL_REDIRECT_CONTEXT, flow, buffer, size) :
				  -ENOENT;
}

int waybill_records_set(int onward, const void *records, size_t size)
{
	/* Also keeps the size within what a socklen_t, and a page in the kernel, can hold. */
	if (size > WAYBILL_RECORDS_MAX)
		return -EBADMSG;
	return option_set(onward, WAYBILL_REDIRECT_RECORDS, records, size);
}
