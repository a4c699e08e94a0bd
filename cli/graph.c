// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill graph`: who is redirected by whom, as a picture. What is drawn is put together here, from
 * the live flows, or from the policy in force; graph_draw.c writes it down for Graphviz.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../platform/explain.h"
#include "command.h"
#include "graph.h"
#include "names.h"

static const char documentation[] =
	"Draw the applications, the services and the destinations of the live redirected connections, "
	"with how many there are, as SVG; or the order of services that the policy in force gives.\v"
	"EXAMPLES:\n"
	"  waybill graph >flows.svg\n"
	"  waybill graph --policy --output policy.svg\n"
	"  waybill graph --dot | dot -Tpng >flows.png\n" EXIT_STATUS_HELP;

static const struct argp_option options[] = {
	{ "policy", 'p', 0, 0, "Draw the policy, not the live connections", 1 },
	{ "output", 'o', "FILE", 0, "Write to a file, not to standard output", 1 },
	{ "dot", 'd', 0, 0, "Write the text that Graphviz draws, not the picture", 1 },
	{ 0 },
};

struct settings {
	struct common common;
	bool policy, dot;
	const char *output;
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
	struct settings *settings = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		common_begin(state);
		return 0;
	case 'p':
		settings->policy = true;
		return 0;
	case 'd':
		settings->dot = true;
		return 0;
	case 'o':
		settings->output = argument;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Nodes and edges are few: what is alike is one, with a count. */
static size_t node_of(struct graph *graph, enum node_kind kind, const char *name, const char *more)
{
	struct node *node;
	size_t i;

	for (i = 0; i < graph->nodes; i++)
		if (graph->node[i].kind == kind && !strcmp(graph->node[i].name, name) &&
		    !strcmp(graph->node[i].more, more))
			return i;
	/* Beyond the limit all others of a kind are one. */
	if (graph->nodes >= GRAPH_NODES_MAX - NODE_KINDS) {
		for (i = 0; i < graph->nodes; i++)
			if (graph->node[i].kind == kind && graph->node[i].others)
				return i;
		name = "others";
		more = "";
	}
	node = &graph->node[graph->nodes];
	node->kind = kind;
	node->others = graph->nodes >= GRAPH_NODES_MAX - NODE_KINDS;
	snprintf(node->name, sizeof(node->name), "%s", name);
	snprintf(node->more, sizeof(node->more), "%s", more);
	return graph->nodes++;
}

static int edge_add(struct graph *graph, size_t from, size_t to, const char *label)
{
	struct edge *edge;
	size_t i;

	for (i = 0; i < graph->edges; i++)
		if (graph->edge[i].from == from && graph->edge[i].to == to &&
		    !strcmp(graph->edge[i].label, label)) {
			graph->edge[i].count++;
			return 0;
		}
	if (graph->edges == graph->room) {
		size_t room = graph->room ? graph->room * 2 : 64;
		struct edge *grown = reallocarray(graph->edge, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		graph->edge = grown;
		graph->room = room;
	}
	edge = &graph->edge[graph->edges++];
	*edge = (struct edge){ .from = from, .to = to, .count = 1 };
	snprintf(edge->label, sizeof(edge->label), "%s", label);
	return 0;
}

/* What was read of the flows, before it is known which of them go on through another service. */
struct collection {
	struct graph *graph;
	const struct names *names;
	struct leg {
		uint64_t flow, before; /* its own, and that of the hop before it; 0: none */
		size_t service;
		size_t destination;
	} * leg;
	size_t legs, room;
};

static size_t service_node(struct collection *collection, uint32_t id)
{
	return node_of(collection->graph, NODE_SERVICE, text_service(collection->names, id).text,
		       "");
}

static int leg_add(struct collection *collection, const struct leg *leg)
{
	if (collection->legs == collection->room) {
		size_t room = collection->room ? collection->room * 2 : 256;
		struct leg *grown = reallocarray(collection->leg, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		collection->leg = grown;
		collection->room = room;
	}
	collection->leg[collection->legs++] = *leg;
	return 0;
}

static int on_flow(void *data, const struct flow *flow)
{
	struct collection *collection = data;
	const struct records_hop *first = flow->hop[0], *last = flow->hop[flow->hops - 1];
	struct leg leg = { .flow = last->flow };
	char protocol[8];
	size_t from;

	snprintf(protocol, sizeof(protocol), "%s",
		 flow->entry->protocol == IPPROTO_UDP ? "udp" : "");
	leg.service = service_node(collection, last->service);
	leg.destination = node_of(collection->graph, NODE_DESTINATION,
				  text_address(&first->destination).text, protocol);
	if (flow->hops > 1) {
		leg.before = flow->hop[flow->hops - 2]->flow;
		from = service_node(collection, flow->hop[flow->hops - 2]->service);
	} else {
		from = node_of(
			collection->graph, NODE_APPLICATION,
			text_printable(first->client.comm,
				       strnlen(first->client.comm, sizeof(first->client.comm)))
				.text,
			text_user(first->client.uid).text);
	}
	if (edge_add(collection->graph, from, leg.service, ""))
		return -ENOMEM;
	return leg_add(collection, &leg);
}

static int compare_before(const void *left, const void *right)
{
	const struct leg *a = left, *b = right;

	return (a->before > b->before) - (a->before < b->before);
}

/* From the last service of each connection to where it goes. */
static int destinations_add(struct collection *collection)
{
	struct leg *sorted = reallocarray(NULL, collection->legs + 1, sizeof(*sorted));
	int error = sorted ? 0 : -ENOMEM;

	if (error)
		return error;
	memcpy(sorted, collection->leg, collection->legs * sizeof(*sorted));
	qsort(sorted, collection->legs, sizeof(*sorted), compare_before);
	for (size_t i = 0; !error && i < collection->legs; i++) {
		const struct leg key = { .before = collection->leg[i].flow };

		if (!bsearch(&key, sorted, collection->legs, sizeof(*sorted), compare_before))
			error = edge_add(collection->graph, collection->leg[i].service,
					 collection->leg[i].destination, "");
	}
	free(sorted);
	return error;
}

static int flows_collect(struct graph *graph, struct instance *instance, const struct names *names,
			 struct message *message)
{
	struct collection collection = { .graph = graph, .names = names };
	int error = instance_flows(instance, on_flow, &collection, message);

	if (!error && destinations_add(&collection))
		error = -ENOMEM;
	free(collection.leg);
	return error;
}

/* The filters of a service, in the order in which they are asked: "web: redirect". */
static void filters_text(const struct names *names, const struct policy_service *service,
			 char *text, size_t size)
{
	static const char *const actions[] = { "", "permit", "block", "redirect" };
	size_t used = 0;

	*text = '\0';
	for (uint32_t i = 0; i < service->filters && used < size; i++) {
		const struct policy_filter *filter =
			policy_filter(&names->image, names->header, service->first_filter + i);

		if (!filter)
			break;
		if (i == GRAPH_FILTERS_MAX) {
			snprintf(text + used, size - used, "\n%u more", service->filters - i);
			break;
		}
		used += snprintf(text + used, size - used, "%s%s: %s", i ? "\n" : "", filter->name,
				 actions[filter->action & 3]);
	}
}

static int policy_collect(struct graph *graph, const struct names *names)
{
	size_t before = node_of(graph, NODE_APPLICATION, "applications", ""), here;
	char text[256], more[160];
	struct explanation explanation;
	bool known = !explain_begin(&explanation, &names->image, NULL, NULL);
	int error = 0;

	for (uint32_t slot = 0; !error && slot < names->header->services; slot++) {
		const struct policy_service *service =
			policy_service(&names->image, names->header, slot);
		struct listener who;
		bool alive;

		if (!service)
			break;
		alive = known && (explain_listener(&explanation, slot, AF_INET, false, &who) ==
					  LISTENER_ALIVE ||
				  explain_listener(&explanation, slot, AF_INET6, false, &who) ==
					  LISTENER_ALIVE);
		snprintf(more, sizeof(more), "weight %u, %s", service->weight,
			 alive                                  ? "listens" :
			 service->when_down == POLICY_DOWN_PASS ? "down: passed over" :
								  "down: blocks");
		here = node_of(graph, NODE_SERVICE, service->name, more);
		filters_text(names, service, text, sizeof(text));
		error = edge_add(graph, before, here, text);
		before = here;
	}
	here = node_of(graph, NODE_DESTINATION, "destinations", "");
	return error ? error : edge_add(graph, before, here, "");
}

static int draw(const struct settings *settings, const struct graph *graph)
{
	FILE *out = stdout;
	int status;

	if (settings->output) {
		out = fopen(settings->output, "we");
		if (!out)
			return complain("%s: %s", settings->output, strerror(errno));
	}
	status = settings->dot ? graph_write(graph, out) : graph_draw(graph, out);
	if (out != stdout && fclose(out) && !status)
		status = complain("%s: %s", settings->output, strerror(errno));
	return status;
}

int command_graph(int argc, char **argv)
{
	static const struct argp argp = { options,        parse, NULL, documentation,
					  common_options, NULL,  NULL };
	struct message message = { "out of memory" };
	struct settings settings = { 0 };
	struct graph *graph = calloc(1, sizeof(*graph));
	struct instance *instance;
	struct names names;
	int status, error;

	command_parse(&argp, argc, argv, &settings);
	if (!graph)
		return complain("out of memory");
	status = require_root() ? EXIT_FAILED : open_instance(&settings.common, &instance);
	if (status)
		goto end;
	names_open(&names, instance);
	graph->counted = !settings.policy;
	if (settings.policy && !names.header) {
		complain("no policy is applied: there is nothing to draw (waybill apply FILE)");
		status = EXIT_NOT_UP;
	} else {
		error = settings.policy ? policy_collect(graph, &names) :
					  flows_collect(graph, instance, &names, &message);
		status = error                ? complain("%s", message.text) :
			 settings.common.json ? graph_print_json(graph) :
						draw(&settings, graph);
	}
	names_close(&names);
	instance_close(instance);
end:
	free(graph->edge);
	free(graph);
	return status;
}
