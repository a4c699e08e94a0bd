// SPDX-License-Identifier: BSD-2-Clause
/*
 * Words for what is wrong with a policy: the place, an excerpt that is safe to print on a
 * terminal, and the name that was probably meant.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "message.h"

int policy_error(struct message *message, const char *source, unsigned int line, const char *format,
		 ...)
{
	int length;
	va_list list;

	if (line)
		length =
			snprintf(message->text, sizeof(message->text), "%.512s:%u: ", source, line);
	else
		length = snprintf(message->text, sizeof(message->text), "%.512s: ", source);
	va_start(list, format);
	vsnprintf(message->text + length, sizeof(message->text) - length, format, list);
	va_end(list);
	return -EINVAL;
}

struct excerpt excerpt(const char *text)
{
	struct excerpt shown = { .text = "" };
	size_t length = strnlen(text, sizeof(shown.text)), i;
	bool cut = length >= sizeof(shown.text);

	if (cut) {
		length = sizeof(shown.text) - 4;
		/* Not in the middle of a UTF-8 character. */
		while (length && ((unsigned char)text[length] & 0xc0) == 0x80)
			length--;
	}
	for (i = 0; i < length; i++)
		shown.text[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
	if (cut)
		memcpy(shown.text + length, "...", 4);
	return shown;
}

#define WORD 40 /* longer words are not compared: nobody meant them */

/* Insertions, deletions, substitutions and transpositions of neighbours between two words. */
static unsigned int word_distance(const char *a, const char *b)
{
	size_t a_length = strlen(a), b_length = strlen(b), i, j;
	unsigned int row[3][WORD + 1], *above, *here, *twice_above, *swap;

	above = row[0];
	here = row[1];
	twice_above = row[2];
	for (j = 0; j <= b_length; j++)
		above[j] = j;
	for (i = 1; i <= a_length; i++) {
		here[0] = i;
		for (j = 1; j <= b_length; j++) {
			unsigned int least = above[j - 1] + (a[i - 1] != b[j - 1]);

			if (above[j] + 1 < least)
				least = above[j] + 1;
			if (here[j - 1] + 1 < least)
				least = here[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    twice_above[j - 2] + 1 < least)
				least = twice_above[j - 2] + 1;
			here[j] = least;
		}
		swap = twice_above;
		twice_above = above;
		above = here;
		here = swap;
	}
	return above[b_length];
}

void suggestion_begin(struct suggestion *suggestion, const char *word)
{
	size_t length = strlen(word);

	suggestion->word = length <= WORD ? word : NULL;
	suggestion->distance = length < 6 ? 2 : length / 3 + 1; /* it has to be less than this */
	suggestion->nearest[0] = 0;
}

void suggestion_offer(struct suggestion *suggestion, const char *candidate)
{
	unsigned int distance;

	if (!suggestion->word || strlen(candidate) > WORD || !*candidate)
		return;
	distance = word_distance(suggestion->word, candidate);
	if (distance >= suggestion->distance)
		return;
	suggestion->distance = distance;
	snprintf(suggestion->nearest, sizeof(suggestion->nearest), "%s", candidate);
}

struct mend suggestion_end(const struct suggestion *suggestion, const char *otherwise, ...)
{
	struct mend mend;
	va_list list;

	if (suggestion->nearest[0]) {
		snprintf(mend.text, sizeof(mend.text), " (did you mean \"%s\"?)",
			 excerpt(suggestion->nearest).text);
		return mend;
	}
	va_start(list, otherwise);
	vsnprintf(mend.text, sizeof(mend.text), otherwise, list);
	va_end(list);
	return mend;
}
