// SPDX-License-Identifier: BSD-2-Clause
/*
 * The table. A ratio is the median of the ratios within each round, since both turns of a round
 * saw the same machine; the range beside it holds the middle half of the rounds.
 */
#include "bench.h"

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(const double *values, unsigned int count, double part)
{
	double sorted[ROUNDS_MAX], place = part * (count - 1);
	unsigned int below = place;

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	if (below + 1 >= count)
		return sorted[below];
	return sorted[below] + (sorted[below + 1] - sorted[below]) * (place - below);
}

double row_median(const struct row *row, unsigned int rounds)
{
	return quantile(row->sample, rounds, 0.5);
}

static const struct row *row_of(const struct row *rows, size_t count, const char *key)
{
	for (size_t i = 0; key && i < count; i++)
		if (!strcmp(rows[i].key, key) && !rows[i].missing && !rows[i].skipped)
			return &rows[i];
	return NULL;
}

struct ratio {
	double low, median, high;
};

static struct ratio ratio_of(const struct row *row, const struct row *base, unsigned int rounds)
{
	double ratios[ROUNDS_MAX];

	for (unsigned int i = 0; i < rounds; i++)
		ratios[i] = row->sample[i] / base->sample[i];
	return (struct ratio){ quantile(ratios, rounds, 0.25), quantile(ratios, rounds, 0.5),
			       quantile(ratios, rounds, 0.75) };
}

/* Whether a row reaches what it should: 1, 0, or -1 if it should nothing. */
static int met(const struct row *rows, size_t count, const struct row *row, unsigned int rounds)
{
	const struct row *base = row_of(rows, count, row->base);
	const struct row *other = row_of(rows, count, row->below);

	if (!row->target || !base)
		return -1;
	/* As it is printed: to two digits. */
	if (ratio_of(row, base, rounds).median >= row->target + 0.005)
		return 0;
	return !other || ratio_of(row, other, rounds).median < 1;
}

static bool is_command(const struct row *row)
{
	return row->turn.kind >= TURN_UP;
}

void report_table(const struct row *rows, size_t count, unsigned int rounds)
{
	const char *group = "";

	for (size_t i = 0; i < count; i++) {
		const struct row *row = &rows[i], *base = row_of(rows, count, row->base);
		int reached = met(rows, count, row, rounds);
		struct ratio ratio;

		if (row->skipped)
			continue;
		if (strcmp(group, row->group)) {
			group = row->group;
			printf("\n%-58s %9s %6s %13s\n", group, is_command(row) ? "ms" : "ns",
			       "ratio", "middle half");
		}
		if (row->missing) {
			printf("  %-56s not measured: %s\n", row->name, row->missing);
			continue;
		}
		printf("  %-56s %9.0f", row->name,
		       row_median(row, rounds) / (is_command(row) ? 1e6 : 1));
		if (base) {
			ratio = ratio_of(row, base, rounds);
			printf(" %6.2f   %4.2f - %4.2f", ratio.median, ratio.low, ratio.high);
		}
		if (reached >= 0) {
			printf("   <= %.2f", row->target);
			if (row_of(rows, count, row->below))
				printf(" and below nft");
			printf(reached ? ": yes" : ": NO");
		}
		printf("\n");
	}
}

static void json_text(const char *key, const char *text)
{
	printf("\"%s\": \"", key);
	for (; *text; text++)
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text >= ' ')
			putchar(*text);
	printf("\"");
}

/* Rows of a JSON array, without what is around them. Returns whether there was one. */
bool report_json(const struct row *rows, size_t count, unsigned int rounds, bool more)
{
	for (size_t i = 0; i < count; i++) {
		const struct row *row = &rows[i], *base = row_of(rows, count, row->base);
		int reached = met(rows, count, row, rounds);
		struct ratio ratio;

		if (row->skipped)
			continue;
		printf("%s\n    { ", more ? "," : "");
		more = true;
		json_text("key", row->key);
		printf(", ");
		json_text("group", row->group);
		printf(", ");
		json_text("name", row->name);
		if (row->missing) {
			printf(", ");
			json_text("missing", row->missing);
			printf(" }");
			continue;
		}
		printf(", \"nanoseconds\": %.1f, \"fastest\": %.1f", row_median(row, rounds),
		       quantile(row->sample, rounds, 0));
		if (base) {
			ratio = ratio_of(row, base, rounds);
			printf(", \"base\": \"%s\", \"ratio\": %.4f, \"low\": %.4f, \"high\": %.4f",
			       base->key, ratio.median, ratio.low, ratio.high);
		}
		if (reached >= 0)
			printf(", \"target\": %.2f, \"reached\": %s", row->target,
			       reached ? "true" : "false");
		printf(" }");
	}
	return more;
}
