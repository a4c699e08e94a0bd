/* SPDX-License-Identifier: BSD-2-Clause */
/* Who holds addresses that are for connections and flows, for people and as JSON. */
#ifndef WAYBILL_CLI_HOLDERS_H
#define WAYBILL_CLI_HOLDERS_H

#include <jansson.h>

#include "../platform/platform.h"

#define HOLDERS_SHOWN 8
#define HOLDERS_MEND                                                                               \
	"end it, or give it another address: those of 127.96.0.0/11 and fd57:6179:6269:6c6c::/64 " \
	"are Waybill's"

/* The first of them as text, and all as JSON. */
struct holders {
	struct {
		char text[272]; /* "python3[4711] has tcp 127.112.0.9:5000" */
	} shown[HOLDERS_SHOWN];
	size_t count;
	json_t *array; /* for json_decref() */
};

/* What was found is filled in, whatever it returns. */
int holders_find(struct instance *instance, struct holders *holders, struct message *message);

#endif
