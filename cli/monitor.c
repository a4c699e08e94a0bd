// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill monitor`: each decision of the kernel half as it happens, one a line, until it is
 * interrupted. Nothing is recorded while nobody watches, and no more than is wanted while somebody
 * does.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../platform/policy/value.h"
#include "command.h"
#include "destination.h"
#include "json.h"
#include "monitor.h"

static const char documentation[] =
	"Show each decision as it happens: who connects where, what the policy says, and why. Ends "
	"with Ctrl-C.\v"
	"Decisions over the rate, and those that come faster than they are read, are counted and "
	"reported. With --json each line is one object. One monitor at a time reads an "
	"instance.\n\n"
	"EXAMPLES:\n"
	"  waybill monitor\n"
	"  waybill monitor --service dlp --decision block,down-block\n"
	"  waybill monitor --user alice --destination 10.0.0.0/8 --count 1\n"
	"  waybill monitor --rates\n"
	"  waybill monitor --json | jq .destination\n" EXIT_STATUS_HELP;

#define RATE_DEFAULT 10000

enum { OPTION_DECISION = 256, OPTION_RATES };

static const struct argp_option options[] = {
	{ 0, 0, 0, 0, "Which decisions; all that is given has to fit:", 1 },
	{ "service", 's', "NAME", 0, "Those about this service", 1 },
	{ "decision", OPTION_DECISION, "NAME[,NAME...]", 0,
	  "Those that are one of these: block, redirect, no-filter ...", 1 },
	{ "user", 'u', "USER", 0, "Those on what this user connects", 1 },
	{ "destination", 'd', "PREFIX[:PORT]", 0,
	  "Those on connects to there: " DESTINATION_EXAMPLES, 1 },
	{ 0, 0, 0, 0, "How many:", 2 },
	{ "rate", 'r', "N", 0, "At most so many a second (10000); 0 for as many as come", 2 },
	{ "count", 'n', "N", 0, "End after so many", 2 },
	{ 0, 0, 0, 0, "Instead:", 3 },
	{ "rates", OPTION_RATES, 0, 0, "Show each second how many there are of what", 3 },
	{ 0 },
};

struct monitor {
	struct common common;
	struct names names;
	struct monitoring wanted;
	const char *service; /* NULL: any */
	struct destination destination;
	uint64_t count; /* still to be shown; 0: without end */
	bool rates;
};

/* Set by a signal's handler, which can be given nothing. */
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	stop = 1;
}

static enum paint paint_of(enum verdict decision)
{
	switch (decision) {
	case DECISION_REDIRECT:
		return PAINT_GOOD;
	case DECISION_BLOCK:
	case DECISION_DOWN_BLOCK:
	case DECISION_HOP_LIMIT:
	case DECISION_UNHEARD:
	case DECISION_USED_AGAIN:
	case DECISION_NO_SOURCE:
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

static int on_event(void *data, const struct event *event)
{
	struct monitor *monitor = data;

	if (!destination_fits(&monitor->destination, &event->destination))
		return 0;
	names_renew(&monitor->names, event->service, event->filter);
	if (monitor->common.json)
		print_object(&monitor->names, event);
	else
		print_line(&monitor->names, event);
	if (monitor->count && !--monitor->count)
		stop = 1;
	return ferror(stdout) ? -EPIPE : 0;
}

static void on_missed(void *data, uint64_t left_out, uint64_t lost)
{
	struct monitor *monitor = data;
	uint64_t now = realtime_of(boottime_now());

	if (monitor->common.json) {
		json_print_line(json_pack("{s:o, s:I, s:I}", "time", json_time(now), "left_out",
					  (json_int_t)left_out, "lost", (json_int_t)lost));
		return;
	}
	if (left_out)
		printf("%s  %s%" PRIu64 " more were left out: over %u a second (--rate)%s\n",
		       text_clock(now).text, paint_begin(PAINT_NOTE), left_out,
		       monitor->wanted.rate, paint_end(PAINT_NOTE));
	if (lost)
		printf("%s  %s%" PRIu64 " were lost: they came faster than they were read (a lower "
		       "--rate, or fewer by --service, --decision, --user)%s\n",
		       text_clock(now).text, paint_begin(PAINT_NOTE), lost, paint_end(PAINT_NOTE));
	fflush(stdout);
}

/* Names of decisions, as they are shown, with commas between them: a bit for each. */
static uint32_t parse_decisions(const char *text, struct argp_state *state)
{
	const char *names[33] = { NULL }, *end;
	char name[32];
	struct reason reason;
	uint32_t decisions = 0;
	size_t index, length;

	for (index = 0; index < 32 && decision_exists(index + 1); index++)
		names[index] = decision_name(index + 1);
	for (;; text = end + 1) {
		end = strchrnul(text, ',');
		length = end - text < (int)sizeof(name) ? end - text : (int)sizeof(name) - 1;
		snprintf(name, sizeof(name), "%.*s", (int)length, text);
		if (value_choice(name, names, &index, &reason))
			argp_error(state, "--decision \"%s\" %s", name, reason.text);
		decisions |= 1U << (index + 1);
		if (!*end)
			return decisions;
	}
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct monitor *monitor = state->input;
	struct reason reason;

	switch (key) {
	case ARGP_KEY_INIT:
		common_begin(state);
		return 0;
	case 's':
		monitor->service = argument;
		monitor->wanted.service = policy_service_id(argument);
		return 0;
	case OPTION_DECISION:
		monitor->wanted.decisions |= parse_decisions(argument, state);
		return 0;
	case 'u':
		if (value_user(argument, &monitor->wanted.user, &reason))
			argp_error(state, "--user \"%s\" %s", argument, reason.text);
		monitor->wanted.by_user = true;
		return 0;
	case 'd':
		destination_parse(&monitor->destination, argument, state);
		return 0;
	case 'r':
		monitor->wanted.rate = option_number("rate", argument, 0, INT32_MAX, state);
		return 0;
	case 'n':
		monitor->count = option_number("count", argument, 1, INT32_MAX, state);
		return 0;
	case OPTION_RATES:
		monitor->rates = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is not an option", argument);
		return 0;
	case ARGP_KEY_END:
		if (monitor->rates &&
		    (monitor->service || monitor->wanted.decisions || monitor->wanted.by_user ||
		     monitor->destination.text || monitor->count))
			argp_error(state, "--rates is about all: leave out what selects");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
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
	static const struct argp argp = { options,        parse_option, NULL, documentation,
					  common_options, NULL,         NULL };
	struct message message = { "" };
	struct monitor monitor = { .wanted = { .rate = RATE_DEFAULT,
					       .each = on_event,
					       .missed = on_missed,
					       .data = &monitor } };
	struct instance *instance;
	int error, status;

	command_parse(&argp, argc, argv, &monitor);
	if (require_root())
		return EXIT_FAILED;
	if (monitor.rates)
		return monitor_rates(&monitor.common);
	status = open_instance(&monitor.common, &instance);
	if (status)
		return status;
	names_open(&monitor.names, instance);
	if (!monitor.names.header)
		fprintf(stderr, "waybill: no policy is applied: there is nothing to decide yet "
				"(waybill apply FILE)\n");
	else if (monitor.service && !names_service(&monitor.names, monitor.wanted.service))
		fprintf(stderr,
			"waybill: no service \"%s\" is in the policy in force: nothing is "
			"decided about it yet (waybill status)\n",
			monitor.service);
	catch_signals();
	error = instance_monitor(instance, &monitor.wanted, &stop, &message);
	if (error && error != -EPIPE && !stop)
		status = complain("%s", message.text);
	names_close(&monitor.names);
	instance_close(instance);
	return status;
}
