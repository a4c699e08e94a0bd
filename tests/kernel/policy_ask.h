/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What policy_ask.bpf.c is asked, and answers. */
#ifndef WAYBILL_TESTS_POLICY_ASK_H
#define WAYBILL_TESTS_POLICY_ASK_H

#include "../../decision/decide.h"

#define QUESTIONS 1024

struct policy_question {
	struct question question;
	__u64 matching[POLICY_WORDS]; /* the answer: a bit for each filter */
};

/* The context of the program. */
struct policy_questions {
	__u32 count;
};

#endif
