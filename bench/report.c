// SPDX-License-Identifier: BSD-2-Clause
/*
 * The table. A ratio is the median of the ratios within each round, since both turns of a round
 * saw the same machine; beside it is an interval that holds the true median in 95 runs of 100.
 */
#include "bench.h"

#include <math.h>

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
	double median;
	double low, high; /* the interval; 0 and INFINITY: too few rounds for one */
	double quarter, three_quarters;
};

/*
 * How many ratios are left out at each end. A ratio is above the true median or below it with the
 * same chance, whatever else is true of it, so how many are above it is a binomial number.
 */
static unsigned int ranks_outside(unsigned int count)
{
	double chance = 1, sum = 0;
	unsigned int outside = 0;

	for (unsigned int i = 0; i < count; i++)
		chance /= 2;
	while (sum + chance <= 0.025) {
		sum += chance;
		outside++;
		chance = chance * (count - outside + 1) / outside;
	}
	return outside;
}

static struct ratio ratio_of(const struct row *row, const struct row *base, unsigned int rounds)
{
	unsigned int outside = ranks_outside(rounds);
	double ratios[ROUNDS_MAX];

	for (unsigned int i = 0; i < rounds; i++)
		ratios[i] = row->sample[i] / base->sample[i];
	qsort(ratios, rounds, sizeof(*ratios), compare);
	return (struct ratio){
		.median = quantile(ratios, rounds, 0.5),
		.low = outside ? ratios[outside - 1] : 0,
		.high = outside ? ratios[rounds - outside] : INFINITY,
		.quarter = quantile(ratios, rounds, 0.25),
		.three_quarters = quantile(ratios, rounds, 0.75),
	};
}

/* Whether a ratio does not exceed what it should; not told if that is within its interval. */
static const char *verdict(struct ratio ratio, double target)
{
	return ratio.high <= target ? "yes" : ratio.low > target ? "NO" : "within the noise";
}

static bool is_command(const struct row *row)
{
	return row->turn.kind >= TURN_UP;
}

static void targets_print(const struct row *rows, size_t count, const struct row *row,
			  unsigned int rounds)
{
	const struct row *base = row_of(rows, count, row->base);
	const struct row *below = row_of(rows, count, row->below);

	if (row->target && base)
		printf("   <= %.3f: %s", row->target,
		       verdict(ratio_of(row, base, rounds), row->target));
	if (below)
		printf("; below nft: %s", verdict(ratio_of(row, below, rounds), 1));
}

void report_table(const struct row *rows, size_t count, unsigned int rounds)
{
	const char *group = "";

	for (size_t i = 0; i < count; i++) {
		const struct row *row = &rows[i], *base = row_of(rows, count, row->base);
		struct ratio ratio;

		if (row->skipped)
			continue;
		if (strcmp(group, row->group)) {
			group = row->group;
			printf("\n%-58s %9s %6s %15s   %s\n", group, is_command(row) ? "ms" : "ns",
			       "ratio", "95 % interval", "target");
		}
		if (row->missing) {
			printf("  %-56s not measured: %s\n", row->name, row->missing);
			continue;
		}
		printf("  %-56s %9.0f", row->name,
		       row_median(row, rounds) / (is_command(row) ? 1e6 : 1));
		if (base) {
			ratio = ratio_of(row, base, rounds);
			printf(" %6.3f", ratio.median);
			if (base != row && isfinite(ratio.high))
				printf("   %5.3f - %5.3f", ratio.low, ratio.high);
			else
				printf("   %13s", base == row ? "" : "too few rounds");
		}
		targets_print(rows, count, row, rounds);
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

static void json_interval(double low, double high)
{
	if (isfinite(high))
		printf(", \"low\": %.4f, \"high\": %.4f", low, high);
	else
		printf(", \"low\": null, \"high\": null");
}

static void json_ratio(const struct row *rows, size_t count, const struct row *row,
		       unsigned int rounds)
{
	const struct row *base = row_of(rows, count, row->base);
	const struct row *below = row_of(rows, count, row->below);
	struct ratio ratio;

	if (!base)
		return;
	ratio = ratio_of(row, base, rounds);
	printf(", \"base\": \"%s\", \"ratio\": %.4f", base->key, ratio.median);
	json_interval(ratio.low, ratio.high);
	printf(", \"middle_half\": [%.4f, %.4f]", ratio.quarter, ratio.three_quarters);
	if (row->target)
		printf(", \"target\": %.3f, \"reached\": \"%s\"", row->target,
		       verdict(ratio, row->target));
	if (!below)
		return;
	ratio = ratio_of(row, below, rounds);
	printf(", \"below\": { \"key\": \"%s\", \"ratio\": %.4f", below->key, ratio.median);
	json_interval(ratio.low, ratio.high);
	printf(", \"reached\": \"%s\" }", verdict(ratio, 1));
}

bool report_json(const struct row *rows, size_t count, unsigned int rounds, bool more)
{
	for (size_t i = 0; i < count; i++) {
		const struct row *row = &rows[i];

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
		} else {
			printf(", \"nanoseconds\": %.1f, \"fastest\": %.1f",
			       row_median(row, rounds), quantile(row->sample, rounds, 0));
			json_ratio(rows, count, row, rounds);
		}
		printf(" }");
	}
	return more;
}
