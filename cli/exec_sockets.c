// SPDX-License-Identifier: BSD-2-Clause
/* Listeners at a service's endpoint, and the protocol of sd_listen_fds(3), from the giving side. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <waybill/waybill.h>

#include "command.h"
#include "exec_sockets.h"

#define FIRST 3 /* SD_LISTEN_FDS_START */
#define INHERITED_MAX 1024

static void forget(void)
{
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
}

static int tell(size_t count)
{
	char number[16], pid[16];

	snprintf(number, sizeof(number), "%zu", count);
	snprintf(pid, sizeof(pid), "%d", getpid());
	return setenv("LISTEN_FDS", number, 1) || setenv("LISTEN_PID", pid, 1) ? -errno : 0;
}

size_t exec_sockets_inherited(void)
{
	const char *text = getenv("LISTEN_FDS");
	struct stat status;
	size_t count = 0, i;
	char end;

	if (!text)
		return 0;
	if (sscanf(text, "%zu%c", &count, &end) != 1 || count > INHERITED_MAX)
		count = 0;
	/* What was left over from somebody else is not handed over. */
	for (i = 0; i < count; i++)
		if (fstat(FIRST + i, &status) || !S_ISSOCK(status.st_mode))
			count = 0;
	if (!count)
		forget();
	return count;
}

int exec_sockets_pass_on(void)
{
	return tell(strtoul(getenv("LISTEN_FDS"), NULL, 10));
}

static int refuse(struct message *message, int error, const char *what, unsigned int port)
{
	const char *mend =
		error == -EADDRINUSE ? "stop what has it: ss -lntup shows it" :
		error == -EACCES     ? "is this the namespace, and the policy, of the service?" :
				       "see errno(3)";

	snprintf(message->text, sizeof(message->text), "cannot listen on %s, port %u: %s (%s)",
		 what, port, strerror(-error), mend);
	return error;
}

static void add(struct exec_sockets *sockets, int fd, const char *name)
{
	sockets->fd[sockets->count] = fd;
	sockets->name[sockets->count++] = name;
}

static int listen_stream(struct exec_sockets *sockets, const struct sockaddr *address,
			 socklen_t length)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, error;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (address->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (!bind(fd, address, length) && !listen(fd, SOMAXCONN)) {
		add(sockets, fd, "tcp");
		return 0;
	}
	error = -errno;
	close(fd);
	return error;
}

static int receive_datagrams(struct exec_sockets *sockets, uint16_t port)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), error;

	if (fd < 0 && errno == EAFNOSUPPORT)
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	error = waybill_bind_datagrams(fd, port);
	if (error)
		close(fd);
	else
		add(sockets, fd, "udp");
	return error;
}

int exec_sockets_listen(struct exec_sockets *sockets, const struct policy_service *service,
			struct message *message)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = service->tcp_port };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = service->tcp_port };
	unsigned int tcp = ntohs(service->tcp_port), udp = ntohs(service->udp_port);
	int error = 0;

	memcpy(&v4.sin_addr, service->address4, sizeof(service->address4));
	memcpy(&v6.sin6_addr, service->address6, sizeof(service->address6));
	if (tcp && service->has4)
		error = listen_stream(sockets, (struct sockaddr *)&v4, sizeof(v4));
	if (error)
		return refuse(message, error, "127.0.0.1", tcp);
	if (tcp && service->has6)
		error = listen_stream(sockets, (struct sockaddr *)&v6, sizeof(v6));
	/* Redirected IPv6 connections are refused without it, but there are none without IPv6. */
	if (error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL)
		error = 0;
	if (error)
		return refuse(message, error, "::1", tcp);
	if (udp)
		error = receive_datagrams(sockets, udp);
	return error ? refuse(message, error, "every address for datagrams", udp) : 0;
}

int exec_sockets_hand_over(struct exec_sockets *sockets)
{
	char names[64] = "";
	size_t i, used = 0;

	/* Out of the way first, so that none is overwritten. */
	for (i = 0; i < sockets->count; i++) {
		int fd = fcntl(sockets->fd[i], F_DUPFD_CLOEXEC, FIRST + EXEC_SOCKETS_MAX);

		if (fd < 0)
			return -errno;
		close(sockets->fd[i]);
		sockets->fd[i] = fd;
	}
	for (i = 0; i < sockets->count; i++) {
		if (dup2(sockets->fd[i], FIRST + i) < 0)
			return -errno;
		used += snprintf(names + used, sizeof(names) - used, "%s%s", used ? ":" : "",
				 sockets->name[i]);
	}
	return setenv("LISTEN_FDNAMES", names, 1) ? -errno : tell(sockets->count);
}
