/* SPDX-License-Identifier: BSD-2-Clause */
/* Where `waybill metrics` listens. */
#ifndef WAYBILL_CLI_METRICS_LISTEN_H
#define WAYBILL_CLI_METRICS_LISTEN_H

#include <stddef.h>

#include "../platform/platform.h"

#define METRICS_SOCKETS 2

/*
 * Listens at 192.0.2.1:PORT, [2001:db8::1]:PORT, or :PORT, which is 127.0.0.1 and, where there is
 * IPv6, ::1. Returns 0 or a negative errno with message; then nothing is left open.
 */
int metrics_listen(const char *text, int listener[METRICS_SOCKETS], size_t *count,
		   struct message *message);

#endif
