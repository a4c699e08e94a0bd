// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Asks a policy image in the kernel, by the functions of the connect hook, about as many
 * connections as the test has put into the map.
 */
#include "../../kernel/policies.h"
#include "policy_ask.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, QUESTIONS);
	__type(key, __u32);
	__type(value, struct policy_question);
} questions SEC(".maps");

struct answer {
	const void *image;
	const struct match *match;
	__u64 *matching;
	__u32 from;
};

/* The next filter that matches. */
static long answer_one(__u32 unused, struct answer *answer)
{
	const struct policy_header *header = policy_line(answer->image, 0);
	__u32 filter = POLICY_FILTERS_MAX;

	if (header)
		filter = match_next(answer->image, header, answer->match, answer->from);
	if (filter >= POLICY_FILTERS_MAX)
		return 1;
	answer->matching[filter / 64] |= 1ULL << filter % 64;
	answer->from = filter + 1;
	return 0;
}

static long ask_one(__u32 i, const void **image)
{
	struct policy_question *asked = bpf_map_lookup_elem(&questions, &i);
	const struct policy_header *header = policy_line(*image, 0);
	struct match match = {};
	struct answer answer;
	__u32 application;

	if (!asked || !header)
		return 1;
	for (int word = 0; word < POLICY_WORDS; word++)
		asked->matching[word] = 0;
	if (!match_destination(*image, header, &asked->question.to, &match) ||
	    !match_rest(*image, header, &asked->question, &match, &application))
		return 0;
	answer.image = *image;
	answer.match = &match;
	answer.matching = asked->matching;
	answer.from = 0;
	bpf_loop(POLICY_FILTERS_MAX, answer_one, &answer, 0);
	return 0;
}

SEC("syscall")
int policy_ask(struct policy_questions *context)
{
	const void *image = policy_in_force();

	if (image)
		bpf_loop(context->count & (2 * QUESTIONS - 1), ask_one, &image, 0);
	return !image;
}

const char LICENSE[] SEC("license") = "Dual BSD/GPL";
