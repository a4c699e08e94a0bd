/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ports that the kernel gives to whoever connects: one that is such a service's may be in use when
 * the service starts.
 */
#ifndef WAYBILL_CLI_PORTS_H
#define WAYBILL_CLI_PORTS_H

#include <stdbool.h>

unsigned int ports_begin(void); /* the first of them */
bool port_is_given_out(unsigned int port);

#endif
