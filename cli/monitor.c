// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill monitor`: each decision of the kernel half as it happens, one a line, until it is
 * interrupted. Nothing is recorded while nobody watches.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "json.h"

static const char documentation[] =
	"Show each decision as it happens: who connects where, what the policy says, and why. Ends "
	"with Ctrl-C.\v"
	"With --json each line is one object. One monitor at a time reads an instance.\n\n"
	"EXAMPLES:\n"
	"  waybill monitor\n"
	"  waybill monitor --json | jq 'select(.decision == \"block\")'\n" EXIT_STATUS_HELP;

/* Set by a signal's handler, which can be given nothing. */
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	stop = 1;
}

static enum paint paint_of(enum decision decision)
{
	switch (decision) {
	case DECISION_REDIRECT:
		return PAINT_GOOD;
	case DECISION_BLOCK:
	case DECISION_DOWN_BLOCK:
	case DECISION_HOP_LIMIT:
	case DECISION_FULL:
	case DECISION_NO_MEMORY:
	case DECISION_BIND_REFUSED:
		return PAINT_BAD;
	case DECISION_DOWN_PASS:
	case DECISION_NO_RECORDS:
		return PAINT_NOTE;
	default:
		return PAINT_DIM;
	}
}

static void print_line(const struct names *names, const struct event *event)
{
	enum paint paint = paint_of(event->decision);

	printf("%s  %s%-12s%s  %-22s %-10s %s", text_clock(realtime_of(event->time)).text,
	       paint_begin(paint), decision_name(event->decision), paint_end(paint),
	       text_process(&event->client).text, text_user(event->client.uid).text,
	       text_address(&event->destination).text);
	if (event->service)
		printf("  %s", text_service(names, event->service).text);
	if (event->filter)
		printf(" by filter %s", text_filter(names, event->filter).text);
	if (event->hop_count)
		printf(" after %u hop%s", event->hop_count, event->hop_count == 1 ? "" : "s");
	printf("  %s(%s)%s\n", paint_begin(PAINT_DIM), decision_meaning(event->decision),
	       paint_end(PAINT_DIM));
	fflush(stdout);
}

static void print_object(const struct names *names, const struct event *event)
{
	json_t *line = json_pack(
		"{s:o, s:s, s:s, s:o, s:o, s:I}", "time", json_time(realtime_of(event->time)),
		"decision", decision_name(event->decision), "reason",
		decision_meaning(event->decision), "client", json_process(&event->client),
		"destination", json_address(&event->destination), "hops",
		(json_int_t)event->hop_count);

	json_set_service(line, names, event->service);
	json_set_filter(line, names, event->filter);
	if (event->flow)
		json_object_set_new(line, "flow", json_flow(event->flow));
	json_print_line(line);
}

struct monitor {
	struct common common;
	struct names names;
};

static int on_event(void *data, const struct event *event)
{
	struct monitor *monitor = data;

	names_renew(&monitor->names, event->service, event->filter);
	if (monitor->common.json)
		print_object(&monitor->names, event);
	else
		print_line(&monitor->names, event);
	return ferror(stdout) ? -EPIPE : 0;
}

static void catch_signals(void)
{
	/* No SA_RESTART: the wait for events must end. */
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	/* A reader that went away is found by the write, so that the kernel is told to stop too. */
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

int command_monitor(int argc, char **argv)
{
	static const struct argp argp = { NULL,           common_only, NULL, documentation,
					  common_options, NULL,        NULL };
	struct message message = { "" };
	struct monitor monitor = { 0 };
	struct instance *instance;
	int error, status;

	command_parse(&argp, argc, argv, &monitor);
	if (require_root())
		return EXIT_FAILED;
	status = open_instance(&monitor.common, &instance);
	if (status)
		return status;
	names_open(&monitor.names, instance);
	if (!monitor.names.header)
		fprintf(stderr, "waybill: no policy is applied: there is nothing to decide yet "
				"(waybill apply FILE)\n");
	catch_signals();
	error = instance_monitor(instance, &stop, on_event, &monitor, &message);
	if (error && error != -EPIPE && !stop)
		status = complain("%s", message.text);
	names_close(&monitor.names);
	instance_close(instance);
	return status;
}
