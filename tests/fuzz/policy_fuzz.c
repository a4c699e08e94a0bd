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
	struct waybill_address remote = { .family = 2, .address = { [10] = 0xff, 0xff, 10 } };
	struct policy_query query = {
		.remote = &remote,
		.cgroup_line = header->cgroup_none,
	};
	struct policy_match match;
	uint32_t filter;

	if (header->magic != POLICY_MAGIC || header->lines != image->lines)
		abort();
	if (!policy_match(image, header, &query, &match))
		return;
	filter = policy_next(header, &match, 0);
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
