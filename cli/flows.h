/* SPDX-License-Identifier: BSD-2-Clause */
/* `waybill flows`: one listing, made once (flows.c) or again and again (flows_watch.c). */
#ifndef WAYBILL_CLI_FLOWS_H
#define WAYBILL_CLI_FLOWS_H

#include "command.h"
#include "flow_reset.h"
#include "flow_select.h"
#include "json.h"

struct flows {
	struct common common;
	struct selection selection;
	bool reset;
	double watch; /* seconds, 0: once */
	struct reset_list resets;
	struct names names;
	struct listing listing;
	uint64_t *times; /* when each row of the listing began */
	size_t room;
	json_t *array;
	size_t count;
};

/* Fills listing, or array, or resets. Afterwards flows_free(). */
int flows_gather(struct flows *flows, struct instance *instance, struct message *message);
void flows_free(struct flows *flows);

/* Until it is ended. Returns an exit code, after a complaint. */
int flows_watch(struct flows *flows);

#endif
