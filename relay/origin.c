/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queries that every redirect service begins with. A failed query is an error and never a
 * fallback: a connection whose destination is not known for certain must not go anywhere.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <waybill/waybill.h>

#include "origin.h"

_Static_assert(WAYBILL_CONTEXT_MAX <= WAYBILL_RECORDS_MAX, "one buffer does for both");

static int copy(void **to, const void *bytes, size_t size)
{
	*to = malloc(size);
	if (!*to)
		return -ENOMEM;
	memcpy(*to, bytes, size);
	return 0;
}

/* flow 0: of the accepted socket itself. */
static int query(struct origin *origin, int fd, uint32_t flow)
{
	struct sockaddr_storage *to = &origin->destination.storage;
	socklen_t *length = &origin->destination.length;
	unsigned char buffer[WAYBILL_RECORDS_MAX];
	size_t size;
	int error;

	error = flow ? waybill_flow_info_query(fd, flow, &origin->info) :
		       waybill_info_query(fd, &origin->info);
	if (error)
		return error;
	error = flow ? waybill_flow_original_destination_query(fd, flow, to, length) :
		       waybill_original_destination_query(fd, to, length);
	if (error)
		return error;

	size = sizeof(buffer);
	error = flow ? waybill_flow_records_query(fd, flow, buffer, &size) :
		       waybill_records_query(fd, buffer, &size);
	if (!error)
		error = copy(&origin->records, buffer, size);
	if (error)
		return error;
	origin->records_size = size;

	/* EACCES: another service's filter attached one, and that is none of our business. */
	size = sizeof(buffer);
	error = flow ? waybill_flow_context_query(fd, flow, buffer, &size) :
		       waybill_context_query(fd, buffer, &size);
	if (error == -ENODATA || error == -EACCES)
		return 0;
	if (!error)
		error = copy(&origin->context, buffer, size);
	if (!error)
		origin->context_size = size;
	return error;
}

int origin_query_flow(struct origin *origin, int fd, uint32_t flow)
{
	int error;

	memset(origin, 0, sizeof(*origin));
	error = query(origin, fd, flow);
	if (error) {
		origin_free(origin);
		memset(origin, 0, sizeof(*origin));
	}
	return error;
}

int origin_query(struct origin *origin, int accepted)
{
	return origin_query_flow(origin, accepted, 0);
}

void origin_free(struct origin *origin)
{
	free(origin->records);
	free(origin->context);
	origin->records = NULL;
	origin->context = NULL;
}
