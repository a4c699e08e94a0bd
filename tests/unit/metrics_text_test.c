// SPDX-License-Identifier: BSD-2-Clause
/* The text format: what is escaped where, how values are written, and that empty families are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../cli/metrics.h"

static void check(json_t *families, const char *expected)
{
	char *text = metrics_text(families);

	assert_non_null(families);
	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
	json_decref(families);
}

static void escapes(void **state)
{
	check(json_pack("[{s:s, s:s, s:s, s:[{s:{s:s, s:s}, s:i}]}]", "name", "waybill_x", "type",
			"gauge", "help", "A \\ \"b\"\nc.", "samples", "labels", "instance",
			"a\"b\\c\nd", "service", "e", "value", 7),
	      "# HELP waybill_x A \\\\ \"b\"\\nc.\n# TYPE waybill_x gauge\n"
	      "waybill_x{instance=\"a\\\"b\\\\c\\nd\",service=\"e\"} 7\n");
}

static void values(void **state)
{
	check(json_pack("[{s:s, s:s, s:s, s:[{s:{s:s}, s:f}, {s:{s:s}, s:I}]}]", "name",
			"waybill_x", "type", "gauge", "help", "X.", "samples", "labels", "l", "1",
			"value", 1795548319.1234, "labels", "l", "2", "value",
			(json_int_t)INT64_MAX),
	      "# HELP waybill_x X.\n# TYPE waybill_x gauge\n"
	      "waybill_x{l=\"1\"} 1795548319.123\nwaybill_x{l=\"2\"} 9223372036854775807\n");
}

static void empty(void **state)
{
	check(json_pack("[{s:s, s:s, s:s, s:[]}]", "name", "waybill_x", "type", "gauge", "help",
			"X.", "samples"),
	      "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes),
		cmocka_unit_test(values),
		cmocka_unit_test(empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
