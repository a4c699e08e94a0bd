/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conditions that compare whole numbers, being compiled: applications and network namespaces. For
 * each number that the policy names, a result line; and one for all others.
 */
#ifndef WAYBILL_PLATFORM_POLICY_NUMBER_H
#define WAYBILL_PLATFORM_POLICY_NUMBER_H

#include "compile.h"

/*
 * Sets what is about numbers. *any: whether a filter has such a condition. Returns 0, or a negative
 * errno, with message if it knows more.
 */
int numbers_compile(struct compilation *compilation, struct policy_more *more, bool *any);

#endif
