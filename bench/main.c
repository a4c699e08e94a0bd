// SPDX-License-Identifier: BSD-2-Clause
/*
 * bench: what Waybill costs, next to what there is without it. Every row is measured in every
 * round, in turns that follow each other, and each round has an order of its own: the machine
 * drifts, and ratios of neighbours do not; a turn suffers from what the one before has left.
 */
#include "bench.h"

#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define CONNECTS "connect, accept, query, close"
#define CONNECTS6 "the same by IPv6"
#define ORDINARY "the same, closed without a reset"
#define ORDINARY6 "the same by IPv6, closed without a reset"
#define OPENS "connect, accept, query, close, while others are open"
#define QUERIES "one query, connection established"
#define OPTIONS "one call, no connection"
#define DATAGRAMS "sendto and recvfrom"
#define COMMANDS "a command, executed"

/* What is aimed at. */
#define TARGET_FIRST 1.10
#define TARGET_THIRD 1.15
#define TARGET_OPEN 1.15
#define TARGET_UNMATCHED 1.015
#define TARGET_INSIDE 1.03
#define TARGET_NO_POLICY 1.005
#define TARGET_OPTION 1.02

enum {
	PLAIN,
	NFT,
	REDIRECT,
	CHAIN,
	NO_POLICY,
	F1_P1,
	F10_P1000,
	F1024_P1000000,
	NEAR_MISS,
	INSIDE,
	USER,
	PLAIN6,
	NFT6,
	REDIRECT6,
	CLOSED_PLAIN,
	CLOSED_NFT,
	CLOSED_REDIRECT,
	CLOSED_CHAIN,
	CLOSED_F10_P1000,
	CLOSED_PLAIN6,
	CLOSED_NFT6,
	CLOSED_REDIRECT6,
	PLACES
};

static const struct place_recipe recipes[PLACES] = {
	[PLAIN] = { .kind = PLACE_PLAIN },
	[NFT] = { .kind = PLACE_NFT },
	[REDIRECT] = { .kind = PLACE_REDIRECT },
	[CHAIN] = { .kind = PLACE_CHAIN },
	[NO_POLICY] = { .kind = PLACE_NO_POLICY },
	[F1_P1] = { PLACE_UNMATCHED, 1, 1 },
	[F10_P1000] = { PLACE_UNMATCHED, 10, 1000 },
	[F1024_P1000000] = { PLACE_UNMATCHED, 1024, 1000000 },
	[NEAR_MISS] = { PLACE_NEAR_MISS, 1024, 1000000 },
	[INSIDE] = { PLACE_UNMATCHED, 10, 1000, .inside = true },
	[USER] = { PLACE_UNMATCHED, 10, 1000, .by_user = true },
	[PLAIN6] = { .kind = PLACE_PLAIN, .by_ipv6 = true },
	[NFT6] = { .kind = PLACE_NFT, .by_ipv6 = true },
	[REDIRECT6] = { .kind = PLACE_REDIRECT, .by_ipv6 = true },
	/* Places of their own: sockets in TIME_WAIT make later connects there slower. */
	[CLOSED_PLAIN] = { .kind = PLACE_PLAIN },
	[CLOSED_NFT] = { .kind = PLACE_NFT },
	[CLOSED_REDIRECT] = { .kind = PLACE_REDIRECT },
	[CLOSED_CHAIN] = { .kind = PLACE_CHAIN },
	[CLOSED_F10_P1000] = { PLACE_UNMATCHED, 10, 1000 },
	[CLOSED_PLAIN6] = { .kind = PLACE_PLAIN, .by_ipv6 = true },
	[CLOSED_NFT6] = { .kind = PLACE_NFT, .by_ipv6 = true },
	[CLOSED_REDIRECT6] = { .kind = PLACE_REDIRECT, .by_ipv6 = true },
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
	ROW(CONNECTS, "records", "first hop, WAYBILL_REDIRECT_RECORDS", "direct", REDIRECT,
	    CONNECT(QUERY_RECORDS), .target = TARGET_FIRST, .below = "nft"),
	ROW(CONNECTS, "info", "first hop, WAYBILL_REDIRECT_INFO", "direct", REDIRECT,
	    CONNECT(QUERY_INFO)),
	ROW(CONNECTS, "original", "first hop, SO_ORIGINAL_DST", "direct", REDIRECT,
	    CONNECT(QUERY_ORIGINAL)),
	ROW(CONNECTS, "unasked", "first hop, no query", "direct", REDIRECT, CONNECT(QUERY_NOTHING)),
	ROW(CONNECTS, "third", "third hop, WAYBILL_REDIRECT_RECORDS set and got", "direct", CHAIN,
	    CONNECT(QUERY_RECORDS), .target = TARGET_THIRD),
	ROW(CONNECTS, "no-policy", "attached, no policy", "direct", NO_POLICY, CONNECT(QUERY_NAME),
	    .target = TARGET_NO_POLICY),
	ROW(CONNECTS, "unmatched-1-1", "unmatched, 1 filter, 1 prefix", "direct", F1_P1,
	    CONNECT(QUERY_NAME), .target = TARGET_UNMATCHED),
	ROW(CONNECTS, "unmatched-10-1000", "unmatched, 10 filters, 1,000 prefixes", "direct",
	    F10_P1000, CONNECT(QUERY_NAME), .target = TARGET_UNMATCHED),
	ROW(CONNECTS, "unmatched-1024-1000000", "unmatched, 1,024 filters, 1,000,000 prefixes",
	    "direct", F1024_P1000000, CONNECT(QUERY_NAME), .target = TARGET_UNMATCHED),
	ROW(CONNECTS, "near-miss", "the same, each condition met by half the filters", "direct",
	    NEAR_MISS, CONNECT(QUERY_NAME), .target = TARGET_UNMATCHED),
	ROW(CONNECTS, "unmatched-inside", "unmatched, 10 and 1,000, inside the service's cgroup",
	    "direct", INSIDE, CONNECT(QUERY_NAME), .target = TARGET_INSIDE),
	ROW(CONNECTS, "unmatched-user", "unmatched, 10 and 1,000, service told by user", "direct",
	    USER, CONNECT(QUERY_NAME), .target = TARGET_INSIDE),
	ROW(CONNECTS6, "direct6", "direct, getsockname", "direct6", PLAIN6, CONNECT(QUERY_NAME)),
	ROW(CONNECTS6, "nft6", "nft REDIRECT, IP6T_SO_ORIGINAL_DST", "direct6", NFT6,
	    CONNECT(QUERY_ORIGINAL)),
	ROW(CONNECTS6, "records6", "first hop, WAYBILL_REDIRECT_RECORDS", "direct6", REDIRECT6,
	    CONNECT(QUERY_RECORDS), .target = TARGET_FIRST, .below = "nft6"),
	ROW(ORDINARY, "closed-direct", "direct, getsockname", "closed-direct", CLOSED_PLAIN,
	    CONNECT(QUERY_NAME, .ordinary = true)),
	ROW(ORDINARY, "closed-nft", "nft REDIRECT, SO_ORIGINAL_DST", "closed-direct", CLOSED_NFT,
	    CONNECT(QUERY_ORIGINAL, .ordinary = true)),
	ROW(ORDINARY, "closed-records", "first hop, WAYBILL_REDIRECT_RECORDS", "closed-direct",
	    CLOSED_REDIRECT, CONNECT(QUERY_RECORDS, .ordinary = true), .target = TARGET_FIRST,
	    .below = "closed-nft"),
	ROW(ORDINARY, "closed-third", "third hop, WAYBILL_REDIRECT_RECORDS set and got",
	    "closed-direct", CLOSED_CHAIN, CONNECT(QUERY_RECORDS, .ordinary = true),
	    .target = TARGET_THIRD),
	ROW(ORDINARY, "closed-unmatched", "unmatched, 10 filters, 1,000 prefixes", "closed-direct",
	    CLOSED_F10_P1000, CONNECT(QUERY_NAME, .ordinary = true), .target = TARGET_UNMATCHED),
	ROW(ORDINARY6, "closed-direct6", "direct, getsockname", "closed-direct6", CLOSED_PLAIN6,
	    CONNECT(QUERY_NAME, .ordinary = true)),
	ROW(ORDINARY6, "closed-nft6", "nft REDIRECT, IP6T_SO_ORIGINAL_DST", "closed-direct6",
	    CLOSED_NFT6, CONNECT(QUERY_ORIGINAL, .ordinary = true)),
	ROW(ORDINARY6, "closed-records6", "first hop, WAYBILL_REDIRECT_RECORDS", "closed-direct6",
	    CLOSED_REDIRECT6, CONNECT(QUERY_RECORDS, .ordinary = true), .target = TARGET_FIRST,
	    .below = "closed-nft6"),
	ROW(QUERIES, "query-direct", "direct, getsockname", "query-nft", PLAIN, QUERY(QUERY_NAME)),
	ROW(QUERIES, "query-nft", "nft REDIRECT, SO_ORIGINAL_DST", "query-nft", NFT,
	    QUERY(QUERY_ORIGINAL)),
	ROW(QUERIES, "query-original", "Waybill, SO_ORIGINAL_DST", "query-nft", REDIRECT,
	    QUERY(QUERY_ORIGINAL)),
	ROW(QUERIES, "query-records", "Waybill, WAYBILL_REDIRECT_RECORDS", "query-nft", REDIRECT,
	    QUERY(QUERY_RECORDS)),
	ROW(QUERIES, "query-third", "the same, of three hops", "query-nft", CHAIN,
	    QUERY(QUERY_RECORDS)),
	ROW(QUERIES, "set-third", "WAYBILL_REDIRECT_RECORDS of two hops set, not connected",
	    "query-nft", CHAIN, OPTION(TURN_RECORDS)),
	ROW(QUERIES, "query-info", "Waybill, WAYBILL_REDIRECT_INFO", "query-nft", REDIRECT,
	    QUERY(QUERY_INFO)),
};

/*
 * Measured by themselves: open sockets, in whichever namespace, are in the one table of the kernel
 * through which all others are found.
 */
enum { OPEN_PLAIN, OPEN_PLAIN_MANY, OPEN_FEW, OPEN_MANY, OPEN_PLACES };

#define MANY 100000

static const struct place_recipe open_recipes[OPEN_PLACES] = {
	[OPEN_PLAIN] = { .kind = PLACE_PLAIN },
	[OPEN_PLAIN_MANY] = { .kind = PLACE_PLAIN, .open = MANY },
	[OPEN_FEW] = { .kind = PLACE_REDIRECT, .open = 10 },
	[OPEN_MANY] = { .kind = PLACE_REDIRECT, .open = MANY },
};

static struct row opens[] = {
	ROW(OPENS, "open-direct", "direct, none open here", "open-direct", OPEN_PLAIN,
	    CONNECT(QUERY_NAME)),
	ROW(OPENS, "open-direct-100000", "direct, 100,000 open", "open-direct", OPEN_PLAIN_MANY,
	    CONNECT(QUERY_NAME)),
	ROW(OPENS, "open-10", "first hop, 10 open", "open-direct", OPEN_FEW, CONNECT(QUERY_RECORDS),
	    .target = TARGET_FIRST),
	ROW(OPENS, "open-100000", "first hop, 100,000 open", "open-direct", OPEN_MANY,
	    CONNECT(QUERY_RECORDS), .target = TARGET_OPEN),
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
	    OPTION(TURN_GET), .target = TARGET_OPTION),
	ROW(OPTIONS, "get-inside", "SO_ERROR, inside a service's cgroup", "get", BY_CGROUP,
	    OPTION(TURN_GET, .inside = true)),
	ROW(OPTIONS, "get-user", "SO_ERROR, anywhere, service told by user", "get", BY_USER,
	    OPTION(TURN_GET)),
	ROW(OPTIONS, "set", "TCP_NODELAY, no instance", "set", ABSENT, OPTION(TURN_SET)),
	ROW(OPTIONS, "set-outside", "TCP_NODELAY, outside services' cgroups", "set", BY_CGROUP,
	    OPTION(TURN_SET), .target = TARGET_OPTION),
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
} settings = { .rounds = 301, .connections = 300, .cpu = -1 };

/* Of what is no connection: it takes long, or differs little. */
#define ROUNDS_FEW 15

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

/*
 * What closes in the ordinary way leaves sockets in TIME_WAIT for a minute. So it takes shorter
 * turns: a place never has as many of them as there are ports that the kernel likes best.
 */
static unsigned int turn_count(const struct turn *turn)
{
	switch (turn->kind) {
	case TURN_CONNECT:
		return turn->ordinary ? (settings.connections + 2) / 3 : settings.connections;
	case TURN_QUERY:
	case TURN_RECORDS:
		return settings.connections * 20;
	default:
		return settings.connections * 200;
	}
}

static unsigned int rounds_few(void)
{
	return settings.rounds < ROUNDS_FEW ? settings.rounds : ROUNDS_FEW;
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

/* The others are measured all the same. */
static bool any_failed;

static void row_fail(struct row *row, const char *why)
{
	fprintf(stderr, "bench: %s (%s): %s\n", row->name, row->key, why);
	row->missing = strdup(why);
	any_failed = true;
}

static void row_measure(struct row *row, struct worker *worker, unsigned int round)
{
	struct turn turn = row->turn;
	char error[256] = "";

	turn.count = turn_count(&turn);
	if (worker_turn(worker, &turn, &row->sample[round], error, sizeof(error)))
		row_fail(row, error);
}

static void warm_up(struct row *row, struct worker *worker)
{
	struct turn turn = row->turn;
	char error[256] = "";
	double ignored;

	turn.count = turn_count(&turn) / 10 + 1;
	if (worker_turn(worker, &turn, &ignored, error, sizeof(error)))
		row_fail(row, error);
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
			(struct place_recipe){ .kind = nft ? PLACE_NFT_UNMATCHED : PLACE_UNMATCHED,
					       .filters = filter->number,
					       .prefixes = prefix->number };
		grid[i] = grid[0];
		grid[i].key = keys[i];
		grid[i].name = names[i];
		grid[i].place = i;
		grid[i].target = nft ? 0 : TARGET_UNMATCHED;
	}
}

#define LARGER(a, b) ((a) > (b) ? (a) : (b))
#define PLACES_MAX LARGER(PLACES, GRID_ROWS)
#define ROWS_MAX LARGER(COUNT(connects), GRID_ROWS)

/* Another order for each round, and the same ones in each run. */
static void shuffle(size_t *order, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		size_t other = random() % i, kept = order[i - 1];

		order[i - 1] = order[other];
		order[other] = kept;
	}
}

/* What this host may not have: then its rows are missing, and the others are measured. */
static bool may_be_missing(const struct place_recipe *recipe)
{
	return recipe->kind == PLACE_NFT || recipe->kind == PLACE_NFT_UNMATCHED || recipe->open;
}

static void rounds_measure(const char *what, struct row *rows, size_t count, struct worker *workers)
{
	size_t order[ROWS_MAX], used = 0;

	for (size_t i = 0; i < count; i++)
		if (!rows[i].missing && !rows[i].skipped)
			order[used++] = i;
	for (size_t i = 0; i < used; i++)
		warm_up(&rows[order[i]], &workers[rows[order[i]].place]);
	for (unsigned int round = 0; used && round < settings.rounds; round++) {
		shuffle(order, used);
		for (size_t i = 0; i < used; i++)
			if (!rows[order[i]].missing)
				row_measure(&rows[order[i]], &workers[rows[order[i]].place], round);
		progress(what, round + 1, settings.rounds);
	}
}

/* what: for the progress, and the name of the places' cgroups. */
static void connects_measure(const char *what, struct row *rows, size_t count,
			     const struct place_recipe *recipes, size_t places)
{
	/* Rows refer to them. */
	char(*missing)[256] = calloc(places, sizeof(*missing));
	struct worker workers[PLACES_MAX] = {};
	char cgroup[128];

	if (!missing)
		die("places", strerror(ENOMEM));
	for (size_t place = 0; place < places; place++) {
		bool used = false;

		for (size_t i = 0; i < count; i++)
			used = used || (rows[i].place == place && wanted(rows, count, &rows[i]));
		progress("places", place + 1, places);
		snprintf(cgroup, sizeof(cgroup), "%s/%s%zu", settings.cgroup, what, place);
		if (used &&
		    worker_start(&workers[place], cgroup, settings.mount, &recipes[place], true,
				 settings.cpu, missing[place], sizeof(missing[place])) &&
		    !may_be_missing(&recipes[place]))
			die("a place", missing[place]);
	}
	for (size_t i = 0; i < count; i++) {
		rows[i].skipped = !wanted(rows, count, &rows[i]);
		if (missing[rows[i].place][0])
			rows[i].missing = missing[rows[i].place];
	}
	rounds_measure(what, rows, count, workers);
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

			if (row->place != stage || row->skipped || row->missing)
				continue;
			warm_up(row, &workers[stage]);
			if (!warm && !row->missing)
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
		[BY_USER] = { .kind = PLACE_REDIRECT, .by_user = true },
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
	for (unsigned int round = 0; any && round < rounds_few(); round++) {
		options_round(workers, round, false);
		progress("options", round + 1, rounds_few());
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

		if (row->skipped || row->missing || row->turn.kind == TURN_DOWN)
			continue;
		row_measure(row, worker, round);
		if (row->turn.kind == TURN_UP)
			sample = &row[1].sample[round];
		if (sample && row->missing)
			row[1].missing = row->missing;
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
	for (unsigned int round = 0; round < rounds_few(); round++) {
		commands_round(&worker, round);
		progress("commands", round + 1, rounds_few());
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

	more = report_json(opens, COUNT(opens), settings.rounds, more);
	more = report_json(options, COUNT(options), rounds_few(), more);
	report_json(commands, COUNT(commands), rounds_few(), more);
}

static void report(void)
{
	struct utsname kernel;

	uname(&kernel);
	if (settings.json) {
		printf("{\n  \"kernel\": \"%s\",\n  \"processor\": \"%s\",\n  \"cpus\": %ld,\n"
		       "  \"rounds\": %u,\n  \"rounds_of_calls\": %u,\n"
		       "  \"connections\": %u,\n  \"rows\": [",
		       kernel.release, processor(), sysconf(_SC_NPROCESSORS_ONLN), settings.rounds,
		       rounds_few(), settings.connections);
		if (settings.grid)
			report_json(grid, GRID_ROWS, settings.rounds, false);
		else
			report_rows();
		printf("\n  ],\n  \"programs\": [");
		programs_json(&programs);
		printf("\n  ]\n}\n");
		return;
	}
	printf("Linux %s, %s, %ld CPUs; %u rounds, turns of %u connections; "
	       "%u rounds of calls and commands\n",
	       kernel.release, processor(), sysconf(_SC_NPROCESSORS_ONLN), settings.rounds,
	       settings.connections, rounds_few());
	if (settings.grid) {
		report_table(grid, GRID_ROWS, settings.rounds);
		return;
	}
	report_table(connects, COUNT(connects), settings.rounds);
	report_table(opens, COUNT(opens), settings.rounds);
	report_table(options, COUNT(options), rounds_few());
	report_table(commands, COUNT(commands), rounds_few());
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
		connects_measure("grid", grid, GRID_ROWS, grid_recipes, GRID_ROWS);
	} else {
		commands_measure();
		options_measure();
		connects_measure("opens", opens, COUNT(opens), open_recipes, OPEN_PLACES);
		connects_measure("connects", connects, COUNT(connects), recipes, PLACES);
	}
	report();
	return any_failed;
}
