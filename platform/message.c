// SPDX-License-Identifier: BSD-2-Clause
/* Messages for people: one line that names the thing, the reason and the mend. */
#include "instance.h"

#include <stdarg.h>
#include <stdio.h>

int fail(struct message *message, int error, const char *format, ...)
{
	va_list arguments;

	if (message) {
		va_start(arguments, format);
		vsnprintf(message->text, sizeof(message->text), format, arguments);
		va_end(arguments);
	}
	return error;
}
