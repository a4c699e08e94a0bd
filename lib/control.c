// SPDX-License-Identifier: BSD-2-Clause
#include "control.h"

#include <string.h>

void control_add(struct control *control, int level, int type, const void *data, size_t size)
{
	struct cmsghdr header = {
		.cmsg_len = CMSG_LEN(size),
		.cmsg_level = level,
		.cmsg_type = type,
	};

	/* As with the kernel's, the padding behind the last one need not fit. */
	if (control->room - control->used < CMSG_LEN(size)) {
		control->truncated = true;
		return;
	}
	memcpy(control->bytes + control->used, &header, sizeof(header));
	memcpy(control->bytes + control->used + CMSG_LEN(0), data, size);
	control->used += CMSG_SPACE(size);
	if (control->used > control->room)
		control->used = control->room;
}

struct cmsghdr *control_next(const struct msghdr *message, struct cmsghdr *after, bool *malformed)
{
	size_t offset = 0, left;
	struct cmsghdr *next;

	if (!message->msg_control)
		return NULL;
	if (after)
		offset = (char *)after - (char *)message->msg_control + CMSG_ALIGN(after->cmsg_len);
	if (offset > message->msg_controllen ||
	    message->msg_controllen - offset < sizeof(struct cmsghdr))
		return NULL;
	left = message->msg_controllen - offset;
	next = (struct cmsghdr *)((char *)message->msg_control + offset);
	if (next->cmsg_len < CMSG_LEN(0) || next->cmsg_len > left) {
		*malformed = true;
		return NULL;
	}
	return next;
}
