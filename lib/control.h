/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control messages, written one after the other into room of a given size, whole or not at all.
 */
#ifndef WAYBILL_LIB_CONTROL_H
#define WAYBILL_LIB_CONTROL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct control {
	char *bytes;
	size_t room, used;
	bool truncated; /* one did not fit */
};

void control_add(struct control *control, int level, int type, const void *data, size_t size);

/*
 * The control message after this one, or the first if that is NULL; NULL if there is none. As
 * CMSG_NXTHDR, but safe whatever the lengths say: *malformed is set if one says too much.
 */
struct cmsghdr *control_next(const struct msghdr *message, struct cmsghdr *after, bool *malformed);

#endif
