/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages for people, on standard error: the thing, the reason, the mend. One system call for
 * each, so lines of several processes do not mix.
 */
#ifndef WAYBILL_RELAY_MESSAGE_H
#define WAYBILL_RELAY_MESSAGE_H

#include <stdint.h>

void message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether to say something again that may happen for every connection: once in ten seconds. */
struct message_limit {
	int64_t next;
};

#define MESSAGE_INTERVAL 10000 /* milliseconds */

static inline int message_due(struct message_limit *limit, int64_t now)
{
	if (now < limit->next)
		return 0;
	limit->next = now + MESSAGE_INTERVAL;
	return 1;
}

#endif
