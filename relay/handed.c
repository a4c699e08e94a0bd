// SPDX-License-Identifier: BSD-2-Clause
/*
 * Sockets that whoever started the relay made for it, by the protocol of sd_listen_fds(3): they
 * begin at descriptor 3, LISTEN_FDS says how many there are, LISTEN_PID for whom.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "message.h"
#include "relay.h"

#define FIRST 3 /* SD_LISTEN_FDS_START */

size_t handed_count(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	size_t handed = 0;

	if (pid && count && strtol(pid, NULL, 10) == getpid())
		handed = strtoul(count, NULL, 10);
	/* They are not for anybody that we start. */
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return handed;
}

static int integer_of(int fd, int option)
{
	socklen_t size = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) ? -1 : value;
}

static int adopt(struct relay *relay, int fd)
{
	struct address address = { .length = sizeof(address.storage) };
	int domain = integer_of(fd, SO_DOMAIN), type = integer_of(fd, SO_TYPE);

	if (domain != AF_INET && domain != AF_INET6)
		return -EAFNOSUPPORT;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) || fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) ||
	    getsockname(fd, &address.any, &address.length))
		return -errno;
	if (type == SOCK_DGRAM)
		return datagrams_adopt(relay, fd, ntohs(address_port(&address)));
	if (type == SOCK_STREAM && integer_of(fd, SO_ACCEPTCONN) == 1)
		return listener_adopt(relay, fd);
	return -EINVAL;
}

int handed_open(struct relay *relay)
{
	for (size_t i = 0; i < relay->options->handed; i++) {
		int error = adopt(relay, FIRST + i);

		if (!error)
			continue;
		message("descriptor %zu, which was handed over, is of no use: %s; hand over TCP "
			"sockets that listen (with systemd Accept=no), or UDP sockets that are bound "
			"to every address",
			FIRST + i, strerror(-error));
		return error;
	}
	return 0;
}
