// SPDX-License-Identifier: BSD-2-Clause
/*
 * The id of a service, from its name.
 */
#include <waybill/waybill.h>

#include "service_id.h"

uint32_t waybill_service_id(const char *name)
{
	return record_service_id(name);
}
