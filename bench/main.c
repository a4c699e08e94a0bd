// SPDX-License-Identifier: BSD-2-Clause
/*
 * bench: what Waybill costs, next to what there is without it. Every row is measured in every
 * round, in turns that follow each other, and the order moves on by one from round to round: the
 * machine drifts, and ratios of neighbours do not.
 */
#include "bench.h"

#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define CONNECTS "connect, accept, query, close"
#define ORDINARY "the same, closed without a reset"
#define QUERIES "one query, connection established"
#define OPTIONS "one call, no connection"
#define DATAGRAMS "sendto and recvfrom"
#define COMMANDS "a command, executed"

enum {
	PLAIN,
	NFT,
	REDIRECT,
	NO_POLICY,
	F1_P1,
	F10_P1000,
	F1024_P1000000,
	NEAR_MISS,
	CLOSED_PLAIN,
	CLOSED_NFT,
	CLOSED_REDIRECT,
	CLOSED_F10_P1000,
	PLACES
};

static const struct place_recipe recipes[PLACES] = {
	[PLAIN] = { .kind = PLACE_PLAIN },
	[NFT] = { .kind = PLACE_NFT },
	[REDIRECT] = { .kind = PLACE_REDIRECT },
	[NO_POLICY] = { .kind = PLACE_NO_POLICY },
	[F1_P1] = { PLACE_UNMATCHED, 1, 1 },
	[F10_P1000] = { PLACE_UNMATCHED, 10, 1000 },
	[F1024_P1000000] = { PLACE_UNMATCHED, 1024, 1000000 },
	[NEAR_MISS] = { PLACE_NEAR_MISS, 1024, 1000000 },
	/* Places of their own: sockets in TIME_WAIT make later connects there slower. */
	[CLOSED_PLAIN] = { .kind = PLACE_PLAIN },
	[CLOSED_NFT] = { .kind = PLACE_NFT },
	[CLOSED_REDIRECT] = { .kind = PLACE_REDIRECT },
	[CLOSED_F10_P1000] = { PLACE_UNMATCHED, 10, 1000 },
};

#define ROW(in, called, named, over, at, ...)                                                      \
	{                                                                                          \
		.group = in, .key = called, .name = named, .base = over, .place = at, __VA_ARGS__  \
	}
#define CONNECT(what, ...) .turn = { .kind = TURN_CONNECT, .query = what, ##__VA_ARGS__ }
#define QUERY(what) .turn = { .kind = TURN_QUERY, .query = what }
#define OPTION(what, ...) .turn = { .kind = what, ##__VA_ARGS__ }

static struct row connects[] = {
	ROW(CONNECTS, "direct", "direct, getsockname", "direct", PLAIN, CONNECT(QUERY_NAME)),
	ROW(CONNECTS, "direct-unasked", "direct, no query", "direct", PLAIN,
	    CONNECT(QUERY_NOTHING)),
	ROW(CONNECTS, "nft", "nft REDIRECT, SO_ORIGINAL_DST", "direct", NFT,
	    CONNECT(QUERY_ORIGINAL)),
	ROW(CONNECTS, "nft-unasked", "nft REDIRECT, no query", "direct", NFT,
	    CONNECT(QUERY_NOTHING)),
	ROW(CONNECTS, "records", "Waybill, WAYBILL_REDIRECT_RECORDS", "direct", REDIRECT,
	    CONNECT(QUERY_RECORDS), .target = 1.10, .below = "nft"),
	ROW(CONNECTS, "info", "Waybill, WAYBILL_REDIRECT_INFO", "direct", REDIRECT,
	    CONNECT(QUERY_INFO)),
	ROW(CONNECTS, "original", "Waybill, SO_ORIGINAL_DST", "direct", REDIRECT,
	    CONNECT(QUERY_ORIGINAL)),
	ROW(CONNECTS, "unasked", "Waybill, no query", "direct", REDIRECT, CONNECT(QUERY_NOTHING)),
	ROW(CONNECTS, "no-policy", "attached, no policy", "direct", NO_POLICY, CONNECT(QUERY_NAME)),
	ROW(CONNECTS, "unmatched-1-1", "unmatched, 1 filter, 1 prefix", "direct", F1_P1,
	    CONNECT(QUERY_NAME), .target = 1.03),
	ROW(CONNECTS, "unmatched-10-1000", "unmatched, 10 filters, 1,000 prefixes", "direct",
	    F10_P1000, CONNECT(QUERY_NAME), .target = 1.03),
	ROW(CONNECTS, "unmatched-1024-1000000", "unmatched, 1,024 filters, 1,000,000 prefixes",
	    "direct", F1024_P1000000, CONNECT(QUERY_NAME), .target = 1.03),
	ROW(CONNECTS, "near-miss", "the same, each condition met by half the filters", "direct",
	    NEAR_MISS, CONNECT(QUERY_NAME), .target = 1.03),
	ROW(ORDINARY, "closed-direct", "direct, getsockname", "closed-direct", CLOSED_PLAIN,
	    CONNECT(QUERY_NAME, .ordinary = true)),
	ROW(ORDINARY, "closed-nft", "nft REDIRECT, SO_ORIGINAL_DST", "closed-direct", CLOSED_NFT,
	    CONNECT(QUERY_ORIGINAL, .ordinary = true)),
	ROW(ORDINARY, "closed-records", "Waybill, WAYBILL_REDIRECT_RECORDS", "closed-direct",
	    CLOSED_REDIRECT, CONNECT(QUERY_RECORDS, .ordinary = true), .target = 1.10,
	    .below = "closed-nft"),
	ROW(ORDINARY, "closed-unmatched", "unmatched, 10 filters, 1,000 prefixes", "closed-direct",
	    CLOSED_F10_P1000, CONNECT(QUERY_NAME, .ordinary = true), .target = 1.03),
	ROW(QUERIES, "query-direct", "direct, getsockname", "query-nft", PLAIN, QUERY(QUERY_NAME)),
	ROW(QUERIES, "query-nft", "nft REDIRECT, SO_ORIGINAL_DST", "query-nft", NFT,
	    QUERY(QUERY_ORIGINAL)),
	ROW(QUERIES, "query-original", "Waybill, SO_ORIGINAL_DST", "query-nft", REDIRECT,
	    QUERY(QUERY_ORIGINAL)),
	ROW(QUERIES, "query-records", "Waybill, WAYBILL_REDIRECT_RECORDS", "query-nft", REDIRECT,
	    QUERY(QUERY_RECORDS)),
	ROW(QUERIES, "query-info", "Waybill, WAYBILL_REDIRECT_INFO", "query-nft", REDIRECT,
	    QUERY(QUERY_INFO)),
};

#define GRID "connect, unmatched, by filters and prefixes"
#define GRID_FILTERS 4
#define GRID_PREFIXES 3
#define GRID_ROWS (1 + 2 * GRID_FILTERS * GRID_PREFIXES)

/* Every number of filters with every number of prefixes, in Waybill and in nft; see grid_make(). */
static struct row grid[GRID_ROWS] = {
	ROW(GRID, "direct", "direct, getsockname", "direct", 0, CONNECT(QUERY_NAME)),
};

static struct place_recipe grid_recipes[GRID_ROWS] = { { .kind = PLACE_PLAIN } };

/* Without an instance, with one, with another: see options_round(). */
enum { ABSENT, BY_CGROUP, BY_USER, UDP_UNMATCHED, UDP_REDIRECTED, STAGES };

static struct row options[] = {
	ROW(OPTIONS, "get", "SO_ERROR, no instance", "get", ABSENT, OPTION(TURN_GET)),
	ROW(OPTIONS, "get-outside", "SO_ERROR, outside services' cgroups", "get", BY_CGROUP,
	    OPTION(TURN_GET), .target = 1.02),
	ROW(OPTIONS, "get-inside", "SO_ERROR, inside a service's cgroup", "get", BY_CGROUP,
	    OPTION(TURN_GET, .inside = true)),
	ROW(OPTIONS, "get-user", "SO_ERROR, anywhere, service told by user", "get", BY_USER,
	    OPTION(TURN_GET)),
	ROW(OPTIONS, "set", "TCP_NODELAY, no instance", "set", ABSENT, OPTION(TURN_SET)),
	ROW(OPTIONS, "set-outside", "TCP_NODELAY, outside services' cgroups", "set", BY_CGROUP,
	    OPTION(TURN_SET), .target = 1.02),
	ROW(OPTIONS, "set-inside", "TCP_NODELAY, inside a service's cgroup", "set", BY_CGROUP,
	    OPTION(TURN_SET, .inside = true)),
	ROW(OPTIONS, "set-user", "TCP_NODELAY, anywhere, service told by user", "set", BY_USER,
	    OPTION(TURN_SET)),
	ROW(DATAGRAMS, "send", "no instance", "send", ABSENT, OPTION(TURN_SEND)),
	ROW(DATAGRAMS, "send-tcp-only", "a policy without datagrams", "send", BY_CGROUP,
	    OPTION(TURN_SEND)),
	ROW(DATAGRAMS, "send-unmatched", "unmatched, 1 filter", "send", UDP_UNMATCHED,
	    OPTION(TURN_SEND)),
	ROW(DATAGRAMS, "send-redirected", "redirected", "send", UDP_REDIRECTED,
	    OPTION(TURN_SEND, .inside = true)),
};

/* `down` is that of what `up` made: measured with it, and so at the same turn. */
static struct row commands[] = {
	ROW(COMMANDS, "up", "up", "up", 0, OPTION(TURN_UP)),
	ROW(COMMANDS, "down", "down", "up", 0, OPTION(TURN_DOWN)),
	ROW(COMMANDS, "up-datagrams", "up, and apply of a policy with datagrams", "up", 0,
	    OPTION(TURN_UP_DATAGRAMS)),
	ROW(COMMANDS, "run", "run of /bin/true", "up", 0, OPTION(TURN_RUN)),
	ROW(COMMANDS, "run-datagrams", "run of /bin/true, through a service of datagrams", "up", 0,
	    OPTION(TURN_RUN_DATAGRAMS)),
};

static struct programs programs;

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct settings {
	unsigned int rounds, connections;
	int cpu;
	bool json, quiet, grid;
	const char *only;
	char cgroup[64], mount[256];
} settings = { .rounds = 15, .connections = 2000, .cpu = -1 };

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

static void progress(const char *what, unsigned int at, unsigned int of)
{
	if (!settings.quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "\r%-10s %3u of %u%s", what, at, of, at == of ? "\r\033[K" : "");
}

static unsigned int turn_count(enum turn_kind kind)
{
	return kind == TURN_CONNECT ? settings.connections : settings.connections * 50;
}

static bool asked_for(const char *key)
{
	size_t length = strlen(key);
	const char *at = settings.only;

	while (at && *at) {
		size_t word = strcspn(at, ",");

		if (word == length && !strncmp(at, key, length))
			return true;
		at += word + (at[word] == ',');
	}
	return !settings.only;
}

/* Whether a row is asked for, or is one that such a row is compared with. */
static bool wanted(const struct row *rows, size_t count, const struct row *row)
{
	bool needed = asked_for(row->key);

	for (size_t i = 0; !needed && i < count; i++)
		if (asked_for(rows[i].key))
			needed = !strcmp(rows[i].base, row->key) ||
				 (rows[i].below && !strcmp(rows[i].below, row->key));
	return needed;
}

static void row_measure(struct row *row, struct worker *worker, unsigned int round)
{
	struct turn turn = row->turn;
	char error[256] = "";

	turn.count = turn_count(turn.kind);
	if (worker_turn(worker, &turn, &row->sample[round], error, sizeof(error)))
		die(row->name, error);
}

static void warm_up(struct row *row, struct worker *worker)
{
	struct turn turn = row->turn;
	char error[256] = "";
	double ignored;

	turn.count = turn_count(turn.kind) / 10 + 1;
	if (worker_turn(worker, &turn, &ignored, error, sizeof(error)))
		die(row->name, error);
}

static void grid_make(void)
{
	static const struct size {
		unsigned int number;
		const char *text;
	} filters[GRID_FILTERS] = { { 1, "1 filter" },
				    { 10, "10 filters" },
				    { 100, "100 filters" },
				    { 1024, "1,024 filters" } },
	  prefixes[GRID_PREFIXES] = { { 1, "1 prefix" },
				      { 1000, "1,000 prefixes" },
				      { 1000000, "1,000,000 prefixes" } };
	static char names[GRID_ROWS][64], keys[GRID_ROWS][64];

	for (size_t i = 1; i < GRID_ROWS; i++) {
		bool nft = i > GRID_ROWS / 2;
		size_t cell = (i - 1) % (GRID_ROWS / 2);
		const struct size *filter = &filters[cell / GRID_PREFIXES];
		const struct size *prefix = &prefixes[cell % GRID_PREFIXES];

		snprintf(keys[i], sizeof(keys[i]), "%s-%u-%u", nft ? "nft" : "unmatched",
			 filter->number, prefix->number);
		snprintf(names[i], sizeof(names[i]), "%s, %s, %s", nft ? "nft" : "Waybill",
			 filter->text, prefix->text);
		grid_recipes[i] =
			(struct place_recipe){ nft ? PLACE_NFT_UNMATCHED : PLACE_UNMATCHED,
					       filter->number, prefix->number };
		grid[i] = grid[0];
		grid[i].key = keys[i];
		grid[i].name = names[i];
		grid[i].place = i;
		grid[i].target = nft ? 0 : 1.03;
	}
}

static void connects_measure(struct row *rows, size_t count, const struct place_recipe *recipes,
			     size_t places)
{
	static char missing[PLACES > GRID_ROWS ? PLACES : GRID_ROWS][256];
	struct worker workers[sizeof(missing) / sizeof(*missing)] = {};
	char cgroup[128];

	for (size_t place = 0; place < places; place++) {
		bool used = false;

		for (size_t i = 0; i < count; i++)
			used = used || (rows[i].place == place && wanted(rows, count, &rows[i]));
		progress("places", place + 1, places);
		snprintf(cgroup, sizeof(cgroup), "%s/%zu", settings.cgroup, place);
		if (used &&
		    worker_start(&workers[place], cgroup, settings.mount, &recipes[place], true,
				 settings.cpu, missing[place], sizeof(missing[place])) &&
		    recipes[place].kind != PLACE_NFT && recipes[place].kind != PLACE_NFT_UNMATCHED)
			die("a place", missing[place]);
	}
	for (size_t i = 0; i < count; i++) {
		struct row *row = &rows[i];

		row->skipped = !wanted(rows, count, row);
		if (missing[row->place][0])
			row->missing = missing[row->place];
		else if (!row->skipped)
			warm_up(row, &workers[row->place]);
	}
	for (unsigned int round = 0; round < settings.rounds; round++) {
		for (size_t i = 0; i < count; i++) {
			struct row *row = &rows[(i + round) % count];

			if (!row->missing && !row->skipped)
				row_measure(row, &workers[row->place], round);
		}
		progress("connects", round + 1, settings.rounds);
	}
	for (size_t place = 0; place < places; place++)
		worker_end(&workers[place]);
}

/* The kernel patches its code when the first program of a hook is attached, so it is detached. */
static void options_round(struct worker workers[STAGES], unsigned int round, bool warm)
{
	struct turn attach = { .kind = TURN_ATTACH }, detach = { .kind = TURN_DETACH };
	char error[256] = "";

	for (unsigned int i = 0; i < STAGES; i++) {
		unsigned int stage = (i + round) % STAGES;

		if (stage != ABSENT &&
		    worker_turn(&workers[stage], &attach, NULL, error, sizeof(error)))
			die("an instance", error);
		for (size_t j = 0; j < COUNT(options); j++) {
			struct row *row = &options[(j + round) % COUNT(options)];

			if (row->place != stage || row->skipped)
				continue;
			warm_up(row, &workers[stage]);
			if (!warm)
				row_measure(row, &workers[stage], round);
		}
		if (stage != ABSENT &&
		    worker_turn(&workers[stage], &detach, NULL, error, sizeof(error)))
			die("an instance", error);
	}
}

static void options_measure(void)
{
	static const struct place_recipe stages[STAGES] = {
		[ABSENT] = { .kind = PLACE_PLAIN },
		[BY_CGROUP] = { .kind = PLACE_REDIRECT },
		[BY_USER] = { .kind = PLACE_BY_USER },
		[UDP_UNMATCHED] = { .kind = PLACE_DATAGRAMS_UNMATCHED },
		[UDP_REDIRECTED] = { .kind = PLACE_DATAGRAMS },
	};
	struct worker workers[STAGES] = {};
	char cgroup[128], error[256] = "";
	bool any = false;

	for (size_t i = 0; i < COUNT(options); i++) {
		options[i].skipped = !wanted(options, COUNT(options), &options[i]);
		any = any || !options[i].skipped;
	}
	for (size_t i = 0; any && i < STAGES; i++) {
		snprintf(cgroup, sizeof(cgroup), "%s/o%zu", settings.cgroup, i);
		if (worker_start(&workers[i], cgroup, settings.mount, &stages[i], false,
				 settings.cpu, error, sizeof(error)))
			die("a place", error);
	}
	if (any)
		options_round(workers, 0, true);
	for (unsigned int round = 0; any && round < settings.rounds; round++) {
		options_round(workers, round, false);
		progress("options", round + 1, settings.rounds);
	}
	for (size_t i = 0; i < STAGES; i++)
		worker_end(&workers[i]);
}

static void commands_round(struct worker *worker, unsigned int round)
{
	struct turn down = { .kind = TURN_DOWN };
	char error[256] = "";

	for (size_t i = 0; i < COUNT(commands); i++) {
		struct row *row = &commands[(i + round) % COUNT(commands)];
		double *sample = NULL;

		if (row->skipped || row->turn.kind == TURN_DOWN)
			continue;
		row_measure(row, worker, round);
		if (row->turn.kind == TURN_UP)
			sample = &row[1].sample[round];
		if ((sample || row->turn.kind == TURN_UP_DATAGRAMS) &&
		    worker_turn(worker, &down, sample, error, sizeof(error)))
			die("down", error);
	}
}

static void commands_measure(void)
{
	static const struct place_recipe recipe = { .kind = PLACE_DATAGRAMS };
	struct worker worker = {};
	char cgroup[128], error[256] = "";
	bool any = false;

	for (size_t i = 0; i < COUNT(commands); i++) {
		commands[i].skipped = !wanted(commands, COUNT(commands), &commands[i]);
		any = any || !commands[i].skipped;
	}
	if (!any)
		return;
	snprintf(cgroup, sizeof(cgroup), "%s/c", settings.cgroup);
	if (worker_start(&worker, cgroup, settings.mount, &recipe, false, settings.cpu, error,
			 sizeof(error)) ||
	    programs_measure(&programs, error, sizeof(error)))
		die("commands", error);
	for (unsigned int round = 0; round < settings.rounds; round++) {
		commands_round(&worker, round);
		progress("commands", round + 1, settings.rounds);
	}
	worker_end(&worker);
}

static const char *processor(void)
{
	static char line[256];
	FILE *file = fopen("/proc/cpuinfo", "re");
	char *name = NULL;

	while (file && !name && fgets(line, sizeof(line), file))
		if (!strncmp(line, "model name", 10) && strchr(line, ':'))
			name = strchr(line, ':') + 2;
	if (file)
		fclose(file);
	if (!name)
		return "unknown processor";
	name[strcspn(name, "\n")] = '\0';
	return name;
}

static void report_rows(void)
{
	bool more = report_json(connects, COUNT(connects), settings.rounds, false);

	more = report_json(options, COUNT(options), settings.rounds, more);
	report_json(commands, COUNT(commands), settings.rounds, more);
}

static void report(void)
{
	struct utsname kernel;

	uname(&kernel);
	if (settings.json) {
		printf("{\n  \"kernel\": \"%s\",\n  \"processor\": \"%s\",\n  \"cpus\": %ld,\n"
		       "  \"rounds\": %u,\n  \"connections\": %u,\n  \"rows\": [",
		       kernel.release, processor(), sysconf(_SC_NPROCESSORS_ONLN), settings.rounds,
		       settings.connections);
		if (settings.grid)
			report_json(grid, GRID_ROWS, settings.rounds, false);
		else
			report_rows();
		printf("\n  ],\n  \"programs\": [");
		programs_json(&programs);
		printf("\n  ]\n}\n");
		return;
	}
	printf("Linux %s, %s, %ld CPUs; %u rounds, turns of %u connections or %u calls\n",
	       kernel.release, processor(), sysconf(_SC_NPROCESSORS_ONLN), settings.rounds,
	       settings.connections, turn_count(TURN_GET));
	if (settings.grid) {
		report_table(grid, GRID_ROWS, settings.rounds);
		return;
	}
	report_table(connects, COUNT(connects), settings.rounds);
	report_table(options, COUNT(options), settings.rounds);
	report_table(commands, COUNT(commands), settings.rounds);
	if (programs.count)
		programs_table(&programs);
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: bench [--grid] [--json] [--rounds N] [--connections N] [--cpu N] "
		"[--only KEYS]\n"
		"Measures what Waybill costs on this host, and prints ratios. Needs root.\n"
		"With --grid: a connection that no filter matches, with up to 1,024 filters and "
		"1,000,000 prefixes, in Waybill and in nft, which takes minutes to load.\n"
		"KEYS are names of rows as in --json; rows that others refer to come along.\n");
}

static void arguments(int argc, char **argv)
{
	static const struct option names[] = {
		{ "grid", no_argument, NULL, 'g' },
		{ "json", no_argument, NULL, 'j' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "connections", required_argument, NULL, 'c' },
		{ "cpu", required_argument, NULL, 'p' },
		{ "only", required_argument, NULL, 'o' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "h", names, NULL)) != -1) {
		switch (letter) {
		case 'g':
			settings.grid = true;
			break;
		case 'j':
			settings.json = true;
			break;
		case 'r':
			settings.rounds = atoi(optarg);
			break;
		case 'c':
			settings.connections = atoi(optarg);
			break;
		case 'p':
			settings.cpu = atoi(optarg);
			break;
		case 'o':
			settings.only = optarg;
			break;
		case 'q':
			settings.quiet = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind < argc || settings.rounds < 1 || settings.rounds > ROUNDS_MAX ||
	    settings.connections < 1 || settings.connections > 20000) {
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct message message;
	char path[512], why[256];
	cpu_set_t cpus;

	arguments(argc, argv);
	if (geteuid())
		die("needs root", "network namespaces, cgroups and eBPF (sudo make bench)");
	if (cgroup_mount(settings.mount, sizeof(settings.mount), &message))
		die("cgroups", message.text);
	/* The last CPU that we may use: the first one has the interrupts on most hosts. */
	for (int i = 0; settings.cpu < 0 && i < CPU_SETSIZE; i++)
		if (!sched_getaffinity(0, sizeof(cpus), &cpus) &&
		    CPU_ISSET(CPU_SETSIZE - 1 - i, &cpus))
			settings.cpu = CPU_SETSIZE - 1 - i;
	signal(SIGPIPE, SIG_IGN);
	snprintf(settings.cgroup, sizeof(settings.cgroup), "/waybill-bench-%d", getpid());
	snprintf(path, sizeof(path), "%s%s", settings.mount, settings.cgroup);
	if (place_cleaner(settings.cgroup, settings.mount) || mkdir(path, 0755)) {
		snprintf(why, sizeof(why), "%s", strerror(errno));
		die(path, why);
	}
	if (settings.grid) {
		grid_make();
		connects_measure(grid, GRID_ROWS, grid_recipes, GRID_ROWS);
	} else {
		commands_measure();
		options_measure();
		connects_measure(connects, COUNT(connects), recipes, PLACES);
	}
	report();
	return 0;
}
