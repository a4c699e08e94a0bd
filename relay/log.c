/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where log lines go. Standard output is shared with strangers, so it is never made nonblocking:
 * that would change it for them too. It is opened again through /proc instead, which gives the
 * same pipe or terminal with flags of our own.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "message.h"

#define LOG_FLAGS (O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define LOG_LAST_WAIT 1000 /* milliseconds */

static int log_open_file(const char *path)
{
	int fd = open(path, LOG_FLAGS | O_CREAT | O_APPEND, 0640);

	return fd < 0 ? -errno : fd;
}

static int log_open_output(struct log *log)
{
	char again[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
	struct stat status;
	int fd;

	if (fstat(STDOUT_FILENO, &status))
		return -errno;
	if (S_ISSOCK(status.st_mode)) {
		log->kind = LOG_SOCKET;
	} else if (!S_ISREG(status.st_mode)) {
		snprintf(again, sizeof(again), "/proc/self/fd/%d", STDOUT_FILENO);
		fd = open(again, LOG_FLAGS);
		if (fd >= 0)
			return fd;
		log->kind = LOG_POLLED;
	}
	fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

int log_open(struct log *log, const char *path)
{
	memset(log, 0, sizeof(*log));
	log->fd = -1;
	log->buffer = malloc(LOG_BUFFER_SIZE);
	if (!log->buffer)
		return -ENOMEM;
	log->fd = path ? log_open_file(path) : log_open_output(log);
	return log->fd < 0 ? log->fd : 0;
}

int log_reopen(struct log *log, const char *path)
{
	int fd = log_open_file(path);

	if (fd < 0)
		return fd;
	log_flush(log);
	close(log->fd);
	log->fd = fd;
	log->failing = false;
	return 0;
}

static ssize_t log_write_some(struct log *log)
{
	struct pollfd ready = { .fd = log->fd, .events = POLLOUT };
	size_t length = log->length;

	if (log->kind == LOG_SOCKET)
		return send(log->fd, log->buffer, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (log->kind == LOG_POLLED) {
		if (poll(&ready, 1, 0) != 1) {
			errno = EAGAIN;
			return -1;
		}
		/* A pipe that poll() calls writable has room for this much. */
		if (length > PIPE_BUF)
			length = PIPE_BUF;
	}
	return write(log->fd, log->buffer, length);
}

void log_flush(struct log *log)
{
	ssize_t written;

	while (log->length) {
		written = log_write_some(log);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0 && errno == EAGAIN)
			return;
		if (written <= 0) {
			if (!log->failing)
				message("cannot write the log: %s; lines are kept while "
					"they fit into %d KiB, then lost",
					strerror(errno), LOG_BUFFER_SIZE / 1024);
			log->failing = true;
			return;
		}
		log->failing = false;
		log->length -= written;
		memmove(log->buffer, log->buffer + written, log->length);
	}
}

void log_write(struct log *log, const char *line, size_t length)
{
	if (log->length + length + 1 > LOG_BUFFER_SIZE)
		log_flush(log);
	if (log->length + length + 1 > LOG_BUFFER_SIZE) {
		log->lost++;
		return;
	}
	memcpy(log->buffer + log->length, line, length);
	log->length += length;
	log->buffer[log->length++] = '\n';
	log_flush(log);
}

static int64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

void log_close(struct log *log)
{
	struct pollfd ready = { .fd = log->fd, .events = POLLOUT };
	int64_t end = milliseconds() + LOG_LAST_WAIT, left;
	size_t i;

	if (log->fd >= 0) {
		log_flush(log);
		while (log->length && !log->failing && (left = end - milliseconds()) > 0)
			if (poll(&ready, 1, left) > 0)
				log_flush(log);
		close(log->fd);
	}
	for (i = 0; i < log->length; i++)
		log->lost += log->buffer[i] == '\n';
	if (log->lost)
		message("%llu log lines were lost because their reader did not take them; "
			"write to a file with --log FILE, or read faster",
			(unsigned long long)log->lost);
	free(log->buffer);
	log->buffer = NULL;
	log->fd = -1;
}
