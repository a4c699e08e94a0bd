// SPDX-License-Identifier: BSD-2-Clause
/* Writes a graph down for Graphviz, and has it drawn. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "graph.h"
#include "json.h"

extern char **environ;

static const char *const kind_names[NODE_KINDS] = { "application", "service", "destination" };

/* A label: names are others', so every character that could end or begin something is escaped. */
static void write_text(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else
			fputc((unsigned char)*text < ' ' ? '?' : *text, out);
	}
}

static void write_node(const struct graph *graph, size_t i, FILE *out)
{
	static const char *const looks[NODE_KINDS] = {
		"shape=box, style=\"rounded,filled\", fillcolor=\"#e8f1fb\", color=\"#4a7ebb\"",
		"shape=box, style=\"filled\", fillcolor=\"#fdf1d8\", color=\"#c8922b\", "
		"penwidth=1.6",
		"shape=box, style=\"rounded,filled\", fillcolor=\"#e9f5e9\", color=\"#5b9a5b\"",
	};
	const struct node *node = &graph->node[i];

	fprintf(out, "\tn%zu [%s, label=\"", i, looks[node->kind]);
	write_text(node->name, out);
	if (node->more[0]) {
		fputs("\\n", out);
		write_text(node->more, out);
	}
	fputs("\"];\n", out);
}

static void write_edge(const struct graph *graph, const struct edge *edge, FILE *out)
{
	double width = 1;

	/* Thicker with each doubling. */
	for (unsigned int count = edge->count; count > 1; count /= 2)
		width += 0.5;
	fprintf(out, "\tn%zu -> n%zu [penwidth=%.1f, label=\"", edge->from, edge->to, width);
	if (graph->counted)
		fprintf(out, " %u ", edge->count);
	else
		write_text(edge->label, out);
	fputs("\"];\n", out);
}

/* Applications stand in the first column, destinations in the last. */
static void write_column(const struct graph *graph, enum node_kind kind, const char *rank,
			 FILE *out)
{
	fprintf(out, "\t{ rank=%s;", rank);
	for (size_t i = 0; i < graph->nodes; i++)
		if (graph->node[i].kind == kind)
			fprintf(out, " n%zu;", i);
	fputs(" }\n", out);
}

int graph_write(const struct graph *graph, FILE *out)
{
	fputs("digraph waybill {\n"
	      "\trankdir=LR; ranksep=1.1; nodesep=0.35; bgcolor=\"transparent\"; pad=0.2;\n"
	      "\tnode [fontname=\"Helvetica,Arial,sans-serif\", fontsize=12, margin=\"0.16,0.09\"];\n"
	      "\tedge [fontname=\"Helvetica,Arial,sans-serif\", fontsize=10, color=\"#666666\", "
	      "fontcolor=\"#444444\", arrowsize=0.7];\n",
	      out);
	if (!graph->edges)
		fputs("\tnone [shape=plaintext, label=\"no redirected connections are open\"];\n",
		      out);
	for (size_t i = 0; i < graph->nodes; i++)
		write_node(graph, i, out);
	write_column(graph, NODE_APPLICATION, "min", out);
	write_column(graph, NODE_DESTINATION, "max", out);
	for (size_t i = 0; i < graph->edges; i++)
		write_edge(graph, &graph->edge[i], out);
	fputs("}\n", out);
	return fflush(out) ? complain("cannot write the graph: %s", strerror(errno)) : 0;
}

/* dot reads the text from the pipe, and writes the picture to the file. */
static int dot_start(int text, FILE *out, pid_t *child)
{
	char *const arguments[] = { "dot", "-Tsvg", NULL };
	posix_spawn_file_actions_t actions;
	int error;

	fflush(out);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, text, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, fileno(out), STDOUT_FILENO);
	error = posix_spawnp(child, "dot", &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

int graph_draw(const struct graph *graph, FILE *out)
{
	int ends[2], status, error;
	pid_t child;
	FILE *text;

	if (pipe2(ends, O_CLOEXEC))
		return complain("pipe: %s", strerror(errno));
	error = dot_start(ends[0], out, &child);
	close(ends[0]);
	text = error ? NULL : fdopen(ends[1], "we");
	if (!text)
		close(ends[1]);
	if (error == ENOENT)
		return complain("the picture is drawn by Graphviz, which is not installed (apt-get "
				"install graphviz; or give --dot for the text)");
	if (error)
		return complain("dot: %s", strerror(error));
	if (text) {
		graph_write(graph, text);
		fclose(text);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return status || !text ? complain("dot has failed") : 0;
}

int graph_print_json(const struct graph *graph)
{
	json_t *nodes = json_array(), *edges = json_array();

	for (size_t i = 0; i < graph->nodes; i++)
		json_array_append_new(nodes, json_pack("{s:i, s:s, s:o, s:o}", "id", (int)i, "kind",
						       kind_names[graph->node[i].kind], "name",
						       json_text(graph->node[i].name, -1), "more",
						       json_text(graph->node[i].more, -1)));
	for (size_t i = 0; i < graph->edges; i++) {
		const struct edge *edge = &graph->edge[i];
		json_t *object =
			json_pack("{s:i, s:i}", "from", (int)edge->from, "to", (int)edge->to);

		if (graph->counted)
			json_object_set_new(object, "connections", json_integer(edge->count));
		else
			json_object_set_new(object, "filters", json_text(edge->label, -1));
		json_array_append_new(edges, object);
	}
	json_print(json_pack("{s:o, s:o}", "nodes", nodes, "edges", edges));
	return 0;
}
