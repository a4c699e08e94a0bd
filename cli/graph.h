/* SPDX-License-Identifier: BSD-2-Clause */
/* A picture of applications, services and destinations, before it is drawn. */
#ifndef WAYBILL_CLI_GRAPH_H
#define WAYBILL_CLI_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* More would be no picture: what is beyond stands together as "others". */
#define GRAPH_NODES_MAX 120
#define GRAPH_FILTERS_MAX 6 /* named at an edge */

enum node_kind { NODE_APPLICATION, NODE_SERVICE, NODE_DESTINATION, NODE_KINDS };

struct node {
	enum node_kind kind;
	bool others;
	char name[128], more[160];
};

struct edge {
	size_t from, to;
	unsigned int count;
	char label[256];
};

struct graph {
	bool counted; /* edges show how many connections they are */
	struct node node[GRAPH_NODES_MAX];
	size_t nodes;
	struct edge *edge;
	size_t edges, room;
};

/* 0, or EXIT_FAILED after a complaint. */
int graph_write(const struct graph *graph, FILE *out); /* the text for Graphviz */
int graph_draw(const struct graph *graph, FILE *out);  /* the picture, by Graphviz */
int graph_print_json(const struct graph *graph);

#endif
