/* SPDX-License-Identifier: BSD-2-Clause */
/* `waybill monitor --rates`, beside the lines of monitor.c. */
#ifndef WAYBILL_CLI_MONITOR_H
#define WAYBILL_CLI_MONITOR_H

#include "command.h"

/* Until it is ended. Returns an exit code, after a complaint. */
int monitor_rates(const struct common *common);

#endif
