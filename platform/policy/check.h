/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What has to hold between the parts of a policy, wherever it comes from: unique names, weights,
 * ports and ids, references to services that exist, limits.
 */
#ifndef WAYBILL_PLATFORM_POLICY_CHECK_H
#define WAYBILL_PLATFORM_POLICY_CHECK_H

#include "document.h"

/* The document, if there is one, tells the lines of what is wrong. Returns 0 or -EINVAL. */
int policy_check(const struct policy *policy, const struct document *document,
		 struct message *message);

#endif
