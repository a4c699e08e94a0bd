/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of waybill-relay: reads and checks the options, then runs the loop. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"
#include "relay.h"

/* Where the build sets no version, this is nobody's release. */
#ifndef WAYBILL_VERSION
#define WAYBILL_VERSION "unreleased"
#endif

#define EXIT_USAGE 2

#define SECONDS_MAX (365 * 24 * 3600)
#define CONNECTIONS_MAX 1000000

const char *argp_program_version = "waybill-relay " WAYBILL_VERSION;

enum option_key {
	OPTION_DATAGRAMS = 256,
	OPTION_NO_RECORDS,
	OPTION_ALLOW_DIRECT,
	OPTION_CONNECT_TIMEOUT,
	OPTION_IDLE_TIMEOUT,
	OPTION_DRAIN,
	OPTION_MAX_CONNECTIONS,
	OPTION_LOG,
	OPTION_READY_FD,
};

static const struct argp_option options[] = {
	{ "listen", 'l', "ADDRESS:PORT", 0,
	  "Accept connections here. :PORT alone means loopback only: 127.0.0.1 and [::1]. May be "
	  "given more than once, or left out if sockets are handed over (LISTEN_FDS, as by systemd "
	  "and by waybill exec --listen)",
	  1 },
	{ "datagrams", OPTION_DATAGRAMS, 0, 0,
	  "Receive redirected datagrams (UDP) too, at the same ports. They arrive at addresses of "
	  "their own, so the port is bound on every address; what comes from other hosts is not "
	  "received",
	  1 },
	{ "service", 's', "NAME", 0, "Label log lines with NAME", 1 },
	{ "log", OPTION_LOG, "FILE", 0,
	  "Append log lines to FILE, not standard output; SIGHUP opens it again", 1 },
	{ "allow-direct", OPTION_ALLOW_DIRECT, "ADDRESS:PORT", 0,
	  "Forward connections that nobody redirected to this one place, instead of resetting them",
	  2 },
	{ "no-records", OPTION_NO_RECORDS, 0, 0,
	  "Forget the records, as a proxy does that knows nothing of Waybill: for tests", 2 },
	{ "connect-timeout", OPTION_CONNECT_TIMEOUT, "SECONDS", 0,
	  "Give up connecting onward after this long (30; 0: when the kernel does)", 3 },
	{ "idle-timeout", OPTION_IDLE_TIMEOUT, "SECONDS", 0,
	  "Reset connections on which nothing moved for this long (0: never). Flows of datagrams end "
	  "then, and after 60 seconds if this is not given",
	  3 },
	{ "drain", OPTION_DRAIN, "SECONDS", 0,
	  "When told to end, let connections finish for this long (30)", 3 },
	{ "max-connections", OPTION_MAX_CONNECTIONS, "COUNT", 0,
	  "Accept no more while this many are open (10000). So many flows of datagrams are open at "
	  "most: another ends the one longest idle",
	  3 },
	{ "ready-fd", OPTION_READY_FD, "NUMBER", 0,
	  "Write a newline to this file descriptor when listening, and close it", 4 },
	{ 0 },
};

static const char documentation[] =
	"Forward the connections that Waybill redirects here to where they were going, with their "
	"redirect records, and log one JSON line for each.\v"
	"Connections that nobody redirected are reset, and such datagrams dropped. SIGTERM and SIGINT stop accepting and let "
	"live connections finish; a second one ends them at once.\n\n"
	"EXAMPLES:\n"
	"  waybill-relay --listen :9001 --service audit\n"
	"  sudo waybill run --through :9001 -- curl https://example.org/\n"
	"  waybill-relay --listen :9001 --datagrams\n"
	"  waybill exec --service audit --listen -- waybill-relay --service audit\n"
	"  waybill-relay --listen 127.0.0.1:9001 --log relay.json --idle-timeout 600\n"
	"  waybill-relay --listen 127.0.0.1:9001 --allow-direct 127.0.0.1:80\n\n"
	"EXIT STATUS:\n"
	"  0  ended by a signal\n"
	"  1  could not listen, open the log, or go on\n"
	"  2  wrong usage\n";

static unsigned int parse_number(struct argp_state *state, const char *option, const char *text,
				 unsigned int least, unsigned int most)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value < least || value > most)
		argp_error(state, "%s: \"%s\" is not a number from %u to %u", option, text, least,
			   most);
	return value;
}

static void add_listener(struct argp_state *state, const struct address *address, bool paired)
{
	struct relay_options *relay_options = state->input;

	if (relay_options->listen_count == RELAY_LISTENERS_MAX)
		argp_error(state, "--listen: more than %d addresses", RELAY_LISTENERS_MAX);
	relay_options->listen[relay_options->listen_count++] =
		(struct listen_request){ .address = *address, .paired = paired };
}

static void parse_listen(struct argp_state *state, const char *text)
{
	struct address address;
	char loopback[64];

	if (*text != ':') {
		if (address_parse(&address, text))
			argp_error(state,
				   "--listen: \"%s\" is not ADDRESS:PORT; write 127.0.0.1:9001, "
				   "[::1]:9001, or :9001 for both",
				   text);
		add_listener(state, &address, false);
		return;
	}
	snprintf(loopback, sizeof(loopback), "127.0.0.1%s", text);
	if (address_parse(&address, loopback))
		argp_error(state, "--listen: \"%s\" is not a port; write :9001", text);
	add_listener(state, &address, false);
	snprintf(loopback, sizeof(loopback), "[::1]%s", text);
	address_parse(&address, loopback);
	add_listener(state, &address, true);
}

static void check_options(struct argp_state *state, const struct relay_options *relay_options)
{
	size_t i;

	if (!relay_options->listen_count && !relay_options->handed)
		argp_error(state, "nowhere to listen; give --listen :9001");
	if (relay_options->listen_count + relay_options->handed > RELAY_LISTENERS_MAX)
		argp_error(state, "--listen: more than %d with the %zu that were handed over",
			   RELAY_LISTENERS_MAX, relay_options->handed);
	for (i = 0; i < relay_options->listen_count; i++)
		if (address_equal(&relay_options->direct, &relay_options->listen[i].address))
			argp_error(state,
				   "--allow-direct names an address of --listen: the relay would "
				   "talk to itself; name another");
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct relay_options *relay_options = state->input;

	switch (key) {
	case 'l':
		parse_listen(state, argument);
		return 0;
	case 's':
		relay_options->service = argument;
		return 0;
	case OPTION_LOG:
		relay_options->log_path = argument;
		return 0;
	case OPTION_DATAGRAMS:
		relay_options->datagrams = true;
		return 0;
	case OPTION_ALLOW_DIRECT:
		if (address_parse(&relay_options->direct, argument) ||
		    !address_port(&relay_options->direct))
			argp_error(state,
				   "--allow-direct: \"%s\" is not ADDRESS:PORT; write "
				   "192.0.2.1:443 or [2001:db8::1]:443",
				   argument);
		return 0;
	case OPTION_NO_RECORDS:
		relay_options->no_records = true;
		return 0;
	case OPTION_CONNECT_TIMEOUT:
		relay_options->connect_timeout =
			parse_number(state, "--connect-timeout", argument, 0, SECONDS_MAX);
		return 0;
	case OPTION_IDLE_TIMEOUT:
		relay_options->idle_timeout =
			parse_number(state, "--idle-timeout", argument, 0, SECONDS_MAX);
		return 0;
	case OPTION_DRAIN:
		relay_options->drain_timeout =
			parse_number(state, "--drain", argument, 0, SECONDS_MAX);
		return 0;
	case OPTION_MAX_CONNECTIONS:
		relay_options->connections_max =
			parse_number(state, "--max-connections", argument, 1, CONNECTIONS_MAX);
		relay_options->connections_max_given = true;
		return 0;
	case OPTION_READY_FD:
		relay_options->ready_fd =
			parse_number(state, "--ready-fd", argument, 0, CONNECTIONS_MAX);
		if (fcntl(relay_options->ready_fd, F_GETFD) < 0)
			argp_error(state, "--ready-fd: %s is not an open file descriptor",
				   argument);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\" is not an option; addresses follow --listen", argument);
		return 0;
	case ARGP_KEY_END:
		check_options(state, relay_options);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void say_ready(int fd)
{
	if (fd < 0)
		return;
	if (write(fd, "\n", 1) != 1)
		message("cannot tell file descriptor %d that the relay is ready: %s", fd,
			strerror(errno));
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	static const struct argp argp = { .options = options,
					  .parser = parse_option,
					  .doc = documentation };
	static struct relay relay;
	struct relay_options relay_options = {
		.connect_timeout = 30, .drain_timeout = 30, .connections_max = 10000, .ready_fd = -1
	};
	int error;

	/* Nobody reading what the relay writes is no reason to end. */
	signal(SIGPIPE, SIG_IGN);
	argp_err_exit_status = EXIT_USAGE;
	relay_options.handed = handed_count();
	error = argp_parse(&argp, argc, argv, 0, NULL, &relay_options);
	if (error) {
		message("cannot read the options: %s", strerror(error));
		return EXIT_USAGE;
	}
	error = relay_open(&relay, &relay_options);
	if (!error) {
		say_ready(relay_options.ready_fd);
		error = relay_run(&relay);
	}
	relay_close(&relay);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
