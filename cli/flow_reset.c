// SPDX-License-Identifier: BSD-2-Clause
/* `waybill flows --reset`: what was selected is ended, and counted. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "flow_reset.h"
#include "json.h"

static int add(struct reset_list *list, struct reset reset)
{
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		struct reset *more = reallocarray(list->flow, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		list->flow = more;
		list->room = room;
	}
	list->flow[list->count++] = reset;
	return 0;
}

int reset_add(struct reset_list *list, const struct flow *flow)
{
	uint64_t id = flow->entry->hop.flow;

	/* The number of a flow of datagrams is the low end of its id. */
	return add(
		list,
		(struct reset){
			.flow = id,
			.number = flow->entry->protocol == IPPROTO_UDP ? id & WAYBILL_FLOW_MASK : 0,
		});
}

int reset_add_socket(struct reset_list *list, uint64_t cookie)
{
	return add(list, (struct reset){ .socket = cookie });
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
