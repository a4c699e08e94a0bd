/* SPDX-License-Identifier: BSD-2-Clause */
/* What stub.c answers and relay_records.c expects. */
#ifndef WAYBILL_TESTS_RELAY_STUB_H
#define WAYBILL_TESTS_RELAY_STUB_H

#define STUB_SERVICE_BEFORE 0x0b00000fU
#define STUB_SERVICE 0xa0000021U
#define STUB_FLOW 0x1234abcdULL

#endif
