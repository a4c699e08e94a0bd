// SPDX-License-Identifier: BSD-2-Clause
/*
 * What is known of a redirected connection: the answers of fixed size.
 */
#include <errno.h>
#include <string.h>
#include <waybill/waybill.h>

#include "option.h"

/*
 * A program linked with version 1.0 of the symbol has room for this much. When struct
 * waybill_info grows after a release, version 1.0 goes on writing 168 bytes and a new version writes
 * all.
 */
_Static_assert(sizeof(struct waybill_info) == 168, "waybill_info_query@WAYBILL_1.0 writes this");

int waybill_info_query(int fd, struct waybill_info *info)
{
	socklen_t length = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return option_get(fd, WAYBILL_REDIRECT_INFO, info, &length);
}

int waybill_flow_info_query(int fd, uint32_t flow, struct waybill_info *info)
{
	socklen_t length = sizeof(*info);

	memset(info, 0, sizeof(*info));
	if (!flow_valid(flow))
		return -ENOENT;
	return option_get(fd, WAYBILL_OF_FLOW(WAYBILL_REDIRECT_INFO, flow), info, &length);
}

int waybill_flow_original_destination_query(int fd, uint32_t flow, struct sockaddr_storage *address,
					    socklen_t *length)
{
	*length = sizeof(*address);
	memset(address, 0, sizeof(*address));
	if (!flow_valid(flow))
		return -ENOENT;
	return option_get(fd, WAYBILL_OF_FLOW(WAYBILL_ORIGINAL_DESTINATION, flow), address, length);
}

int waybill_original_destination_query(int accepted, struct sockaddr_storage *address,
				       socklen_t *length)
{
	*length = sizeof(*address);
	memset(address, 0, sizeof(*address));
	return option_get(accepted, WAYBILL_ORIGINAL_DESTINATION, address, length);
}
