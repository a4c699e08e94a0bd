// SPDX-License-Identifier: BSD-2-Clause
/* Who holds addresses that are for connections and flows. */
#include <stdio.h>

#include "holders.h"
#include "json.h"
#include "output.h"
#include "processes.h"

static int on_holder(void *data, const struct address_holder *holder)
{
	const char *protocol = holder->udp ? "udp" : "tcp";
	struct holders *holders = data;
	struct waybill_process who = { .pid = holder->pid };
	bool known = holder->pid && !process_comm(holder->pid, who.comm, sizeof(who.comm));
	char *text;

	if (holders->count < HOLDERS_SHOWN) {
		text = holders->shown[holders->count].text;
		snprintf(text, sizeof(holders->shown->text), "%s has %s %s",
			 known ? text_process(&who).text : "somebody unknown", protocol,
			 text_address(&holder->address).text);
	}
	holders->count++;
	json_array_append_new(holders->array,
			      json_pack("{s:s, s:o, s:o, s:o, s:I}", "protocol", protocol,
					"address", json_address(&holder->address), "pid",
					holder->pid ? json_integer(holder->pid) : json_null(),
					"comm", known ? json_text(who.comm, -1) : json_null(),
					"uid", (json_int_t)holder->uid));
	return 0;
}

int holders_find(struct instance *instance, struct holders *holders, struct message *message)
{
	*holders = (struct holders){ .array = json_array() };
	return instance_address_holders(instance, on_holder, holders, message);
}
