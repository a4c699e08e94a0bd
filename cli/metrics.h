/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `waybill metrics` shows: families of samples, gathered as JSON, which is what --json prints.
 * From that the text is made that Prometheus reads.
 */
#ifndef WAYBILL_CLI_METRICS_H
#define WAYBILL_CLI_METRICS_H

#include <jansson.h>

#include "command.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/*
 * metrics_gather.c: an array of { name, type, help, samples: [ { labels, value } ] }, or NULL
 * without memory. An instance that is not up, or cannot be read, is a sample that says so; then
 * the return value of instance_open(), or of what failed, is in *error, with message.
 */
json_t *metrics_gather(const char *instance, int *error, struct message *message);

/* metrics_text.c: the same in the text format 0.0.4, for free(); NULL without memory. */
char *metrics_text(json_t *families);

/*
 * metrics_server.c: serves it until SIGINT or SIGTERM, whether the instance is up or not. Returns
 * an exit code, after a complaint.
 */
int metrics_serve(const char *instance, const char *listen);

#endif
