// SPDX-License-Identifier: BSD-2-Clause
/* Ports that the kernel gives out, as /proc/sys has them. */
#include <stdio.h>

#include "ports.h"

static void range(unsigned int *first, unsigned int *last)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

	*first = 1;
	*last = 0;
	if (file && fscanf(file, "%u %u", first, last) != 2)
		*last = 0;
	if (file)
		fclose(file);
}

/* Whether a port is kept from being given out: a list of ports and ranges. */
static bool is_reserved(unsigned int port)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_reserved_ports", "re");
	unsigned int from, to;
	bool found = false;

	while (file && !found && fscanf(file, "%u", &from) == 1) {
		if (fscanf(file, "-%u", &to) != 1)
			to = from;
		found = port >= from && port <= to;
		if (fgetc(file) != ',')
			break;
	}
	if (file)
		fclose(file);
	return found;
}

unsigned int ports_begin(void)
{
	unsigned int first, last;

	range(&first, &last);
	return first;
}

bool port_is_given_out(unsigned int port)
{
	unsigned int first, last;

	range(&first, &last);
	return port >= first && port <= last && !is_reserved(port);
}
