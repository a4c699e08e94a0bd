/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One socket option of SOL_WAYBILL, got or set, with the errors that waybill.h promises.
 */
#ifndef WAYBILL_LIB_OPTION_H
#define WAYBILL_LIB_OPTION_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <waybill/abi.h>

/* *size is the room in value, then the bytes written; at least 1 of them if this returns 0. */
int option_get(int socket, int option, void *value, socklen_t *size);
int option_set(int socket, int option, const void *value, socklen_t size);

/* Whether a number can be a flow's. Others would be asked for as another flow, or a connection. */
static inline int flow_valid(uint32_t flow)
{
	return flow && flow <= WAYBILL_FLOW_MASK;
}

#endif
