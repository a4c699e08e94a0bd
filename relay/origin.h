/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a connection comes from: what Waybill says of an accepted socket, asked once at the
 * start, because the log line is written when the socket may be gone.
 */
#ifndef WAYBILL_RELAY_ORIGIN_H
#define WAYBILL_RELAY_ORIGIN_H

#include <stddef.h>
#include <stdint.h>
#include <waybill/abi.h>

#include "address.h"

/* All zeros: nothing is known. */
struct origin {
	struct waybill_info info;
	struct address destination;
	void *records, *context; /* NULL: none */
	size_t records_size, context_size;
};

/* 0, or an error of the library; then nothing is known, and there is nothing to free. */
int origin_query(struct origin *origin, int accepted);

/* The same of a flow of datagrams, on the socket that received one. */
int origin_query_flow(struct origin *origin, int fd, uint32_t flow);

void origin_free(struct origin *origin);

#endif
