// SPDX-License-Identifier: BSD-2-Clause
/* The waybill command: a table of its subcommands, help, and the version. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

const char *argp_program_version = "waybill " WAYBILL_VERSION;

struct subcommand {
	const char *name;
	int (*command)(int argc, char **argv);
	const char *summary;
};

static const struct subcommand subcommands[] = {
	{ "run", command_run, "Send the connections of one command through listeners" },
	{ "up", command_up, "Attach Waybill to this host, or to a cgroup" },
	{ "down", command_down, "Detach it and leave nothing behind" },
	{ "apply", command_apply, "Put a policy file in force" },
	{ "exec", command_exec, "Start a service in its identity, with listeners of its own" },
	{ "status", command_status, "Show policy, services, listeners and counters" },
	{ "flows", command_flows, "List live redirected connections with their chains" },
	{ "explain", command_explain, "Say what would become of a connection, and why" },
	{ "graph", command_graph, "Draw applications, services and destinations as a picture" },
	{ "doctor", command_doctor, "Say what is wrong, why, and how to mend it" },
	{ "monitor", command_monitor, "Show each decision as it happens, with its reason" },
	{ "metrics", command_metrics, "Print all that is counted, or serve it, for Prometheus" },
	{ "records", command_records, "Decode redirect records for people" },
	{ "rotate-key", command_rotate_key, "Make a new key for the records" },
};

#define SUBCOMMANDS (sizeof(subcommands) / sizeof(subcommands[0]))

static void print_help(FILE *out)
{
	fputs("Usage: waybill SUBCOMMAND [OPTION...]\n"
	      "Redirect connections to local services, and know who has seen each of them.\n\n",
	      out);
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		fprintf(out, "  %-12s%s\n", subcommands[i].name, subcommands[i].summary);
	fputs("\n  help [SUBCOMMAND]  Show this, or the help of a subcommand\n"
	      "  --version          Show the version\n"
	      "\nEXAMPLES:\n"
	      "  sudo waybill run --through :9001 --through :9002 -- curl https://example.org/\n"
	      "  sudo waybill up && sudo waybill apply /etc/waybill/policy.yaml\n"
	      "  sudo waybill status\n"
	      "  sudo waybill down\n" EXIT_STATUS_HELP
	      "`waybill run` and `waybill exec` end with the code of their command.\n",
	      out);
}

static const struct subcommand *find(const char *name)
{
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		if (!strcmp(subcommands[i].name, name))
			return &subcommands[i];
	return NULL;
}

static int unknown(const char *name)
{
	complain("\"%s\" is not a subcommand; `waybill help` lists them", name);
	return EXIT_USAGE;
}

static int dispatch(const struct subcommand *subcommand, int argc, char **argv)
{
	char name[64];

	snprintf(name, sizeof(name), "waybill %s", subcommand->name);
	argv[0] = name;
	return subcommand->command(argc, argv);
}

static int help(const char *name)
{
	char *argv[] = { NULL, "--help", NULL };
	const struct subcommand *subcommand;

	if (!name) {
		print_help(stdout);
		return EXIT_OK;
	}
	subcommand = find(name);
	return subcommand ? dispatch(subcommand, 2, argv) : unknown(name);
}

static int run(int argc, char **argv)
{
	const struct subcommand *subcommand;

	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    !strcmp(argv[1], "-?"))
		return help(argv[2]);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts(argp_program_version);
		return EXIT_OK;
	}
	subcommand = find(argv[1]);
	return subcommand ? dispatch(subcommand, argc - 1, argv + 1) : unknown(argv[1]);
}

int main(int argc, char **argv)
{
	int status = run(argc, argv);

	/* A full disk or a closed pipe must not look like success. */
	if (fflush(stdout) || ferror(stdout)) {
		complain("cannot write to standard output");
		return status ? status : EXIT_FAILED;
	}
	return status;
}
