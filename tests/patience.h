/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long tests wait before they call something hung: as long as they say, times
 * WAYBILL_TEST_PATIENCE (a whole number, 1 if it is not set). A slow machine, such as one that is
 * emulated, sets more. Only limits are stretched; what a test does in a time of its own is not.
 */
#ifndef WAYBILL_TEST_PATIENCE_H
#define WAYBILL_TEST_PATIENCE_H

#include <stdlib.h>

/* An amount of time in any unit, or of tries. */
static inline int patience(int amount)
{
	const char *factor = getenv("WAYBILL_TEST_PATIENCE");
	int times = factor ? atoi(factor) : 1;

	return times > 1 ? amount * times : amount;
}

#endif
