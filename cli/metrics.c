// SPDX-License-Identifier: BSD-2-Clause
/* `waybill metrics`: all that is counted, printed once, or served to scrapers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "metrics.h"

static const char documentation[] =
	"Print all that is counted in the text format of Prometheus: counters, those of each "
	"service, whether services listen, live connections, how full the tables are, and the "
	"policy. With --listen, serve it at http://ADDRESS:PORT/metrics instead, until "
	"interrupted.\v"
	"A server goes on if the instance is taken down: waybill_up says 0 until it is up again. "
	"There is no encryption and no password: keep it on loopback, which is where :PORT is, or "
	"put something before it that has both.\n\n"
	"EXAMPLES:\n"
	"  waybill metrics\n"
	"  waybill metrics > /var/lib/node_exporter/waybill.prom\n"
	"  waybill metrics --listen :9463\n" EXIT_STATUS_HELP;

struct metrics {
	struct common common;
	const char *listen;
};

static const struct argp_option options[] = {
	{ "listen", 'l', "[ADDRESS]:PORT", 0,
	  "Serve HTTP there; without an address, on 127.0.0.1 and ::1", 1 },
	{ 0 },
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct metrics *metrics = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		common_begin(state);
		return 0;
	case 'l':
		metrics->listen = argument;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is not an option", argument);
		return 0;
	case ARGP_KEY_END:
		if (metrics->listen && metrics->common.json)
			argp_error(state, "--json is not served: leave it out, or --listen");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int print(const struct metrics *metrics)
{
	struct message message = { "" };
	int error;
	json_t *families = metrics_gather(metrics->common.instance, &error, &message);
	char *text;

	if (!families)
		return complain("out of memory");
	if (metrics->common.json) {
		json_print(json_incref(families));
	} else {
		text = metrics_text(families);
		if (text)
			fputs(text, stdout);
		else
			error = complain("out of memory");
		free(text);
	}
	json_decref(families);
	if (error < 0)
		complain("%s", message.text);
	return error == -ENOENT ? EXIT_NOT_UP : error ? EXIT_FAILED : EXIT_OK;
}

int command_metrics(int argc, char **argv)
{
	static const struct argp argp = { options,        parse_option, NULL, documentation,
					  common_options, NULL,         NULL };
	struct metrics metrics = { 0 };

	command_parse(&argp, argc, argv, &metrics);
	if (require_root())
		return EXIT_FAILED;
	return metrics.listen ? metrics_serve(metrics.common.instance, metrics.listen) :
				print(&metrics);
}
