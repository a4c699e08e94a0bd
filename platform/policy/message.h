/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How what is wrong with a policy is put into words: "FILE:LINE: what (how to mend it)". Text
 * from the file is shortened and cleaned before it is shown, and names have near misses offered.
 */
#ifndef WAYBILL_PLATFORM_POLICY_MESSAGE_H
#define WAYBILL_PLATFORM_POLICY_MESSAGE_H

#include "policy.h"

/* Writes the message; line 0 leaves the line out. Returns -EINVAL, for the caller to return. */
__attribute__((format(printf, 4, 5))) int policy_error(struct message *message, const char *source,
						       unsigned int line, const char *format, ...);

/* What of a text from the file is fit to be shown: no control characters, 60 bytes at most. */
struct excerpt {
	char text[64];
};

struct excerpt excerpt(const char *text);

/* The nearest of the words offered, if it is near enough to be meant. */
struct suggestion {
	const char *word;
	unsigned int distance;
	char nearest[48];
};

void suggestion_begin(struct suggestion *suggestion, const char *word);
void suggestion_offer(struct suggestion *suggestion, const char *candidate);

/* A mend for the end of a message: ' (did you mean "dlp"?)', or otherwise if nothing is near. */
struct mend {
	char text[256];
};

__attribute__((format(printf, 2, 3))) struct mend
suggestion_end(const struct suggestion *suggestion, const char *otherwise, ...);

#endif
