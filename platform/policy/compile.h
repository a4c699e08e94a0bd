/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the compiler of policies share: the policy in the order of the image. */
#ifndef WAYBILL_PLATFORM_POLICY_COMPILE_H
#define WAYBILL_PLATFORM_POLICY_COMPILE_H

#include "image.h"

struct compilation {
	const struct policy *policy;
	const struct policy_target *target;
	struct message *message;
	struct image_builder builder;
	const struct service *service[POLICY_SERVICES_MAX]; /* by slot */
	const struct filter *filter[POLICY_FILTERS_MAX];    /* in order of precedence */
	uint16_t slot[POLICY_FILTERS_MAX];                  /* of a filter's service */
	bool incomplete; /* given up at the ceiling, so the number of lines is not all of them */
};

#endif
