/* SPDX-License-Identifier: BSD-2-Clause */
/* Flows that are to be ended, gathered while they are listed. */
#ifndef WAYBILL_CLI_FLOW_RESET_H
#define WAYBILL_CLI_FLOW_RESET_H

#include "command.h"

struct reset_list {
	struct reset *flow;
	size_t count, room;
};

/* 0 or -ENOMEM. */
int reset_add(struct reset_list *list, const struct flow *flow);
int reset_add_socket(struct reset_list *list, uint64_t cookie);
void reset_free(struct reset_list *list);
/* Ends them, and prints how many. Returns an exit code, after a complaint. */
int reset_run(struct instance *instance, const struct reset_list *list, bool json);

#endif
