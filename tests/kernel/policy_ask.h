/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What policy_ask.bpf.c is asked, and answers. */
#ifndef WAYBILL_TESTS_POLICY_ASK_H
#define WAYBILL_TESTS_POLICY_ASK_H

#include "../../kernel/policy.h"

#define QUESTIONS 1024

struct policy_question {
	struct waybill_address remote, local;
	struct policy_query_more more; /* its address is that above */
	__u32 udp, uid, cgroup_line;
	__u32 reserved;
	__u64 matching[POLICY_WORDS]; /* the answer: a bit for each filter */
};

/* The context of the program. */
struct policy_questions {
	__u32 count;
};

#endif
