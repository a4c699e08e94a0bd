// SPDX-License-Identifier: BSD-2-Clause
/* `waybill apply --reset-existing`, and with --check what that would do. */
#include <errno.h>
#include <string.h>

#include "../platform/explain.h"
#include "existing.h"
#include "flow_select.h"
#include "json.h"

struct existing {
	struct names names;
	struct reset_list list;
	struct existing_count count;
	struct listing listing;
	json_t *array;
};

static int on_flow(void *data, const struct flow *flow)
{
	struct existing *existing = data;

	if (!flow_is_older(&existing->names, flow))
		return 0;
	existing->count.redirected++;
	return reset_add(&existing->list, flow);
}

static int on_unredirected(void *data, const struct unredirected *unredirected)
{
	struct existing *existing = data;

	existing->count.unredirected++;
	return reset_add_socket(&existing->list, unredirected->socket->cookie);
}

int existing_reset(struct instance *instance, struct existing_count *count, struct message *message)
{
	struct existing existing = { 0 };
	int error;

	names_open(&existing.names, instance);
	error = instance_flows(instance, on_flow, &existing, message);
	if (!error && existing.names.header)
		error = instance_unredirected(instance, &existing.names.image, on_unredirected,
					      &existing, message);
	if (!error)
		error = instance_reset(instance, existing.list.flow, existing.list.count, message);
	if (error == -ENOMEM && !message->text[0])
		snprintf(message->text, sizeof(message->text), "out of memory");
	*count = existing.count;
	reset_free(&existing.list);
	names_close(&existing.names);
	return error;
}

/* Of a policy that is not in force yet all flows are older. */
static int count_flow(void *data, const struct flow *flow)
{
	struct existing *existing = data;

	existing->count.redirected++;
	return 0;
}

static int list_unredirected(void *data, const struct unredirected *unredirected)
{
	const struct explain_step *step = unredirected->step;
	const char *service = step->service[step->slot].service->name;
	const struct policy_filter *filter = policy_filter(
		unredirected->explanation->image, unredirected->explanation->header, step->filter);
	const struct socket_entry *socket = unredirected->socket;
	struct existing *existing = data;

	existing->count.unredirected++;
	if (existing->array) {
		json_array_append_new(existing->array,
				      json_pack("{s:o, s:o, s:I, s:I, s:o, s:s, s:s, s:s}", "local",
						json_address(&socket->local), "remote",
						json_address(&socket->remote), "uid",
						(json_int_t)socket->uid, "gid",
						(json_int_t)socket->gid, "cgroup",
						json_text(unredirected->cgroup, -1), "decision",
						decision_name(step->decision), "service", service,
						"filter", filter->name));
		return 0;
	}
	listing_add(&existing->listing, PAINT_NONE, "%s", text_user(socket->uid).text);
	listing_add(&existing->listing, PAINT_NONE, "%s", unredirected->cgroup);
	listing_add(&existing->listing, PAINT_NONE, "%s", text_address(&socket->local).text);
	listing_add(&existing->listing, PAINT_NONE, "%s", text_address(&socket->remote).text);
	listing_add(&existing->listing, PAINT_NONE, "%s, filter %s of %s",
		    decision_name(step->decision), filter->name, service);
	return 0;
}

int existing_list(struct instance *instance, const struct policy_image *image, json_t *array,
		  struct existing_count *count, struct message *message)
{
	struct existing existing = { .array = array };
	int error;

	listing_begin(&existing.listing, "USER", "CGROUP", "FROM", "TO", "BECOMES", NULL);
	error = instance_flows(instance, count_flow, &existing, message);
	if (!error)
		error = instance_unredirected(instance, image, list_unredirected, &existing,
					      message);
	if (!error && !array && existing.count.unredirected)
		listing_print(&existing.listing, stdout, SIZE_MAX);
	listing_free(&existing.listing);
	*count = existing.count;
	return error;
}
