/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages for people, on standard error. Nobody may read it: a full pipe there must not stop
 * traffic any more than one on standard output, so a message that does not fit is lost.
 */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "message.h"

void message(const char *format, ...)
{
	struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };
	char text[1024] = "waybill-relay: ";
	size_t length = strlen(text);
	va_list arguments;
	int added;

	va_start(arguments, format);
	added = vsnprintf(text + length, sizeof(text) - length - 1, format, arguments);
	va_end(arguments);
	if (added < 0)
		return;
	length += added;
	if (length > sizeof(text) - 2)
		length = sizeof(text) - 2;
	text[length++] = '\n';
	if (poll(&ready, 1, 0) != 1 || write(STDERR_FILENO, text, length) < 0)
		return;
}
