// SPDX-License-Identifier: BSD-2-Clause
/* `waybill flows --reset`: what was selected is ended, and counted. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "flow_reset.h"
#include "flow_select.h"
#include "json.h"

int reset_add(struct reset_list *list, const struct flow *flow)
{
	uint64_t id = flow->entry->accepted.hop.flow;

	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		struct reset *more = reallocarray(list->flow, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		list->flow = more;
		list->room = room;
	}
	/* The number of a flow of datagrams is the low end of its id. */
	list->flow[list->count++] = (struct reset){
		.flow = id,
		.number = flow->entry->protocol == IPPROTO_UDP ? id & WAYBILL_FLOW_MASK : 0,
	};
	return 0;
}

void reset_free(struct reset_list *list)
{
	free(list->flow);
	*list = (struct reset_list){ 0 };
}

int reset_run(struct instance *instance, const struct reset_list *list, bool json)
{
	struct message message = { "" };

	if (instance_reset(instance, list->flow, list->count, &message))
		return complain("%s", message.text);
	if (json)
		json_print(json_pack("{s:I}", "reset", (json_int_t)list->count));
	else
		printf("%zu connection%s reset\n", list->count, list->count == 1 ? "" : "s");
	return EXIT_OK;
}

struct existing {
	struct names names;
	struct reset_list list;
};

static int on_existing(void *data, const struct flow *flow)
{
	struct existing *existing = data;

	return flow_is_older(&existing->names, flow) ? reset_add(&existing->list, flow) : 0;
}

int reset_existing(struct instance *instance, size_t *ended, struct message *message)
{
	struct existing existing = { 0 };
	int error;

	names_open(&existing.names, instance);
	error = instance_flows(instance, on_existing, &existing, message);
	if (!error)
		error = instance_reset(instance, existing.list.flow, existing.list.count, message);
	*ended = existing.list.count;
	reset_free(&existing.list);
	names_close(&existing.names);
	return error;
}
