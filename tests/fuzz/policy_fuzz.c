// SPDX-License-Identifier: BSD-2-Clause
/*
 * Fuzzes the text of policies (libFuzzer). What loads is compiled too, and a connection is asked
 * of the image; what does not has to come with one line that says why.
 */
#include <stdlib.h>
#include <string.h>

#include "../../platform/policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct policy_image *image)
{
	const struct policy_header *header = policy_line(image, 0);
	struct question question = {
		.to.destination = { .family = 2, .address = { [10] = 0xff, 0xff, 10 } },
	};
	uint32_t filter, application;
	struct match match;

	if (header->magic != POLICY_MAGIC || header->lines != image->lines)
		abort();
	if (!match_destination(image, header, &question.to, &match) ||
	    !match_rest(image, header, &question, &match, &application))
		return;
	filter = match_next(image, header, &match, 0);
	if (filter != POLICY_FILTERS_MAX && !policy_filter(image, header, filter))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct policy_target target = { .cgroup_root = "/nonexistent" };
	struct message message = { .text = "" };
	struct policy_image image;
	struct policy *policy;
	int error = policy_load_text("fuzz", (const char *)data, size, &policy, &message);

	if (!error)
		error = policy_compile(policy, &target, &image, &message);
	if (!error) {
		ask(&image);
		free(image.line);
	} else if (strncmp(message.text, "fuzz:", 5) || strpbrk(message.text, "\n\r\x1b")) {
		abort();
	}
	policy_free(policy);
	return 0;
}
