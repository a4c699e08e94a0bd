/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of prefixes, as lists are published: one a line, "#" begins a comment. */
#ifndef WAYBILL_PLATFORM_POLICY_PREFIXES_H
#define WAYBILL_PLATFORM_POLICY_PREFIXES_H

#include "value.h"

/* Appends what the file has. 0, -ENOMEM, or -EINVAL and a reason, with the line where it is wrong. */
int prefixes_read(const char *path, struct prefix **prefix, size_t *count, struct reason *reason);

#endif
