/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The id of a service: 32-bit FNV-1a over the bytes of its name. It depends on nothing but the
 * name, so the policy compiler, the library and a tool on another host all come to the same one.
 */
#ifndef WAYBILL_RECORD_SERVICE_ID_H
#define WAYBILL_RECORD_SERVICE_ID_H

#include <linux/types.h>

/* 0 means "no service" everywhere, so the one hash in four thousand million that is 0 gives 1. */
static inline __u32 record_service_id(const char *name)
{
	__u32 hash = 0x811c9dc5;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x01000193;
	return hash ? hash : 1;
}

#endif
