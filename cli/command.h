/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of cli/ share: the subcommands themselves, exit codes, the options that most of
 * them have, and how they say what went wrong. main.c has the table of subcommands.
 */
#ifndef WAYBILL_CLI_COMMAND_H
#define WAYBILL_CLI_COMMAND_H

#include <argp.h>
#include <stdbool.h>

#include "../platform/platform.h"

/* Codes with which every subcommand ends, but `run` and `exec`, whose end is that of their command. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_UP = 3,
};

/* For --help, after the examples. */
#define EXIT_STATUS_HELP                                                                           \
	"\nEXIT STATUS:\n"                                                                         \
	"  0  done\n"                                                                              \
	"  1  failed: standard error says what, why and how to mend it\n"                          \
	"  2  wrong usage\n"                                                                       \
	"  3  the instance is not up, or there is nothing there\n"

/* argv[0] is "waybill" and the subcommand, as argp shows it in messages. */
int command_apply(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_down(int argc, char **argv);
int command_exec(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_flows(int argc, char **argv);
int command_graph(int argc, char **argv);
int command_metrics(int argc, char **argv);
int command_monitor(int argc, char **argv);
int command_records(int argc, char **argv);
int command_rotate_key(int argc, char **argv);
int command_run(int argc, char **argv);
int command_status(int argc, char **argv);
int command_up(int argc, char **argv);

/* --instance and --json. Where it is an argp child, it is the first member of the input. */
struct common {
	const char *instance; /* INSTANCE_DEFAULT unless it is given */
	bool json;
};

extern const struct argp_child common_options[];
extern const struct argp common_argp; /* the same, for who has children beside it */

/* Parses, and exits with EXIT_USAGE if that fails. input begins with a struct common. */
void command_parse(const struct argp *argp, int argc, char **argv, void *input);
/* For a parser whose argp has common_options: hands its input on to them. */
void common_begin(struct argp_state *state);
/* The number that an option is given, or argp_error(). */
uint64_t option_number(const char *option, const char *text, uint64_t from, uint64_t to,
		       struct argp_state *state);
/* The parser of a subcommand that has those options, and no others and no arguments. */
error_t common_only(int key, char *argument, struct argp_state *state);

/* "waybill: ..." on standard error, as one line. Returns EXIT_FAILED. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether the process may do what needs root. */
bool is_privileged(void);
/* 0, or EXIT_FAILED after a complaint that says how to come by the privilege. */
int require_root(void);
/* Opens the instance: 0, or after a complaint EXIT_NOT_UP or EXIT_FAILED. */
int open_instance(const struct common *common, struct instance **instance);

#endif
