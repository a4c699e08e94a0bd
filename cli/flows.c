// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill flows`: live redirected connections, as the kernel's sockets hold them, with the whole
 * chain of services that each has gone through so far.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flows.h"

static const char documentation[] =
	"List live redirected connections: who began each, where it was going, and through which "
	"services it has come. A connection that goes through two services is two flows, one "
	"for each socket that accepted it. Options that select narrow the list; all of them have "
	"to fit. With --reset, what is selected is ended: both ends of a connection.\v"
	"EXAMPLES:\n"
	"  waybill flows\n"
	"  waybill flows --json | jq '.[] | .chain | map(.service)'\n"
	"  waybill flows --service dlp --destination 192.0.2.0/24:443\n"
	"  waybill flows --watch\n"
	"  waybill flows --reset --before-policy\n" EXIT_STATUS_HELP;

static const struct argp_option options[] = {
	{ "reset", 'r', 0, 0, "End what is selected", 2 },
	{ "watch", 'w', "SECONDS", OPTION_ARG_OPTIONAL, "Show it again every so often (2), until q",
	  2 },
	{ 0 },
};

static const char *state_name(uint32_t state)
{
	static const char *const names[] = {
		[TCP_ESTABLISHED] = "established",
		[TCP_SYN_SENT] = "syn-sent",
		[TCP_SYN_RECV] = "syn-recv",
		[TCP_FIN_WAIT1] = "fin-wait-1",
		[TCP_FIN_WAIT2] = "fin-wait-2",
		[TCP_TIME_WAIT] = "time-wait",
		[TCP_CLOSE] = "closed",
		[TCP_CLOSE_WAIT] = "close-wait",
		[TCP_LAST_ACK] = "last-ack",
		[TCP_LISTEN] = "listen",
		[TCP_CLOSING] = "closing",
	};

	if (state < sizeof(names) / sizeof(names[0]) && names[state])
		return names[state];
	return "unknown";
}

static bool is_datagrams(const struct flow_entry *entry)
{
	return entry->protocol == IPPROTO_UDP;
}

static const char *flow_state_name(const struct flow_entry *entry)
{
	return is_datagrams(entry) ? "datagrams" : state_name(entry->tcp_state);
}

static void set_watch(struct flows *flows, const char *text, struct argp_state *state)
{
	char *end;

	flows->watch = strtod(text, &end);
	if (*end || !(flows->watch >= 0.1 && flows->watch <= 86400))
		argp_error(state, "--watch: \"%s\" is not a number of seconds from 0.1 to 86400",
			   text);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct flows *flows = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &flows->common;
		state->child_inputs[1] = &flows->selection;
		return 0;
	case 'r':
		flows->reset = true;
		return 0;
	case 'w':
		set_watch(flows, argument ? argument : "2", state);
		return 0;
	case ARGP_KEY_ARG:
		/* Also as two words: --watch 5. */
		if (flows->watch && argument[0] >= '0' && argument[0] <= '9') {
			set_watch(flows, argument, state);
			return 0;
		}
		argp_error(state, "\"%s\" is not an option", argument);
		return 0;
	case ARGP_KEY_END:
		if (flows->reset && !selection_given(&flows->selection))
			argp_error(state, "--reset: select what to end, or say --all");
		if (flows->reset && flows->watch)
			argp_error(state, "--reset ends what is there now: leave out --watch");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void chain_text(const struct names *names, const struct flow *flow, char *text, size_t size)
{
	size_t used = 0;

	*text = '\0';
	for (size_t i = 0; i < flow->hops && used < size; i++)
		used += snprintf(text + used, size - used, "%s%s", i ? " > " : "",
				 text_service(names, flow->hop[i]->service).text);
}

static void print_row(struct flows *flows, const struct flow *flow)
{
	const struct records_hop *first = flow->hop[0];
	char chain[WAYBILL_HOPS_MAX * (POLICY_NAME_MAX + 3)];
	const char *state = flow_state_name(flow->entry);

	chain_text(&flows->names, flow, chain, sizeof(chain));
	listing_add(&flows->listing, PAINT_NONE, "%s",
		    text_age(flow->entry->hop.time).text);
	listing_add(&flows->listing, PAINT_NONE, "%s", text_process(&first->client).text);
	listing_add(&flows->listing, PAINT_NONE, "%s", text_user(first->client.uid).text);
	listing_add(&flows->listing, PAINT_NONE, "%s", text_address(&first->destination).text);
	listing_add(&flows->listing, PAINT_BOLD, "%s", chain);
	listing_add(&flows->listing, PAINT_NONE, "%s",
		    is_datagrams(flow->entry) ? "-" : text_address(&flow->entry->client).text);
	listing_add(&flows->listing,
		    !flow_is_older(&flows->names, flow) &&
				    (is_datagrams(flow->entry) ||
				     flow->entry->tcp_state == TCP_ESTABLISHED) ?
			    PAINT_GOOD :
			    PAINT_NOTE,
		    "%s%s", state, flow_is_older(&flows->names, flow) ? ", before the policy" : "");
}

static json_t *hop_object(const struct names *names, const struct records_hop *hop)
{
	json_t *object = json_object();

	json_set_service(object, names, hop->service);
	json_set_filter(object, names, hop->filter);
	json_object_set_new(object, "flow", json_flow(hop->flow));
	json_object_set_new(object, "time", json_time(realtime_of(hop->time)));
	json_object_set_new(object, "destination", json_address(&hop->destination));
	json_object_set_new(object, "client", json_process(&hop->client));
	json_set_application(object, names, hop->client.application);
	json_object_set_new(object, "netns_cookie", json_integer(hop->netns));
	json_object_set_new(object, "cgroup_scope", json_integer(hop->cgroup_scope));
	return object;
}

static json_t *flow_object(const struct names *names, const struct flow *flow)
{
	const struct flow_entry *entry = flow->entry;
	const struct records_hop *last = &entry->hop;
	json_t *chain = json_array(), *object;
	uint64_t now = boottime_now();

	for (size_t i = 0; i < flow->hops; i++)
		json_array_append_new(chain, hop_object(names, flow->hop[i]));
	object = json_pack("{s:o, s:s, s:o, s:f, s:s, s:o, s:o, s:o, s:o}", "flow",
			   json_flow(last->flow), "protocol", is_datagrams(entry) ? "udp" : "tcp",
			   "time", json_time(realtime_of(last->time)), "age_seconds",
			   now > last->time ? (now - last->time) / 1e9 : 0.0, "state",
			   flow_state_name(entry), "originator",
			   json_process(&flow->hop[0]->client), "original_destination",
			   json_address(&flow->hop[0]->destination), "client_address",
			   is_datagrams(entry) ? json_null() : json_address(&entry->client),
			   "service_address", json_address(&entry->server));
	json_set_service(object, names, last->service);
	if (is_datagrams(entry))
		json_object_set_new(object, "idle_seconds",
				    json_real(now > entry->used ? (now - entry->used) / 1e9 : 0.0));
	else
		json_object_set_new(object, "netns_inode", json_integer(entry->netns_inode));
	json_object_set_new(object, "before_policy", json_boolean(flow_is_older(names, flow)));
	json_object_set_new(object, "context_bytes", json_integer(entry->context_size));
	json_object_set_new(object, "chain", chain);
	return object;
}

/* By which the rows are sorted. */
static bool keep_time(struct flows *flows, uint64_t time)
{
	if (flows->count == flows->room) {
		size_t room = flows->room ? 2 * flows->room : 64;
		uint64_t *more = reallocarray(flows->times, room, sizeof(*more));

		if (!more)
			return false;
		flows->times = more;
		flows->room = room;
	}
	flows->times[flows->count] = time;
	return true;
}

static int on_flow(void *data, const struct flow *flow)
{
	struct flows *flows = data;

	if (!flow->hops)
		return 0;
	names_renew(&flows->names, flow->entry->hop.service, 0);
	if (!selection_fits(&flows->selection, &flows->names, flow))
		return 0;
	if (flows->reset)
		return reset_add(&flows->resets, flow);
	if (!keep_time(flows, flow->entry->hop.time))
		return -ENOMEM;
	flows->count++;
	if (flows->common.json)
		return json_array_append_new(flows->array, flow_object(&flows->names, flow)) ?
			       -ENOMEM :
			       0;
	print_row(flows, flow);
	return 0;
}

int flows_gather(struct flows *flows, struct instance *instance, struct message *message)
{
	int error;

	names_open(&flows->names, instance);
	flows->array = json_array();
	flows->count = 0;
	listing_begin(&flows->listing, "AGE", "FROM", "USER", "TO", "THROUGH", "CLIENT", "STATE",
		      NULL);
	error = instance_flows(instance, on_flow, flows, message);
	if (error == -ENOMEM)
		snprintf(message->text, sizeof(message->text), "out of memory");
	return error;
}

void flows_free(struct flows *flows)
{
	listing_free(&flows->listing);
	json_decref(flows->array);
	reset_free(&flows->resets);
	names_close(&flows->names);
}

static int list(struct flows *flows)
{
	struct message message = { "" };
	struct instance *instance;
	int status = open_instance(&flows->common, &instance);

	if (status)
		return status;
	if (flows_gather(flows, instance, &message))
		status = complain("%s", message.text);
	else if (flows->reset)
		status = reset_run(instance, &flows->resets, flows->common.json);
	else if (flows->common.json)
		json_print(json_incref(flows->array));
	else if (flows->count)
		listing_print(&flows->listing, stdout, SIZE_MAX);
	else
		puts(selection_given(&flows->selection) ? "no such connections are open" :
							  "no redirected connections are open");
	flows_free(flows);
	instance_close(instance);
	return status;
}

int command_flows(int argc, char **argv)
{
	static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 },
						      { &selection_argp, 0, NULL, 0 },
						      { 0 } };
	static const struct argp argp = { options,  parse_option, NULL, documentation,
					  children, NULL,         NULL };
	struct flows flows = { 0 };
	int status;

	command_parse(&argp, argc, argv, &flows);
	if (require_root())
		return EXIT_FAILED;
	status = flows.watch ? flows_watch(&flows) : list(&flows);
	free(flows.times);
	return status;
}
