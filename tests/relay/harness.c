/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of waybill-relay share; see harness.h. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../patience.h"
#include "harness.h"

#define PATIENCE patience(5) /* seconds for anything that must happen */
#define OPTIONS_MAX 24

static struct relay_process *running;

static void end_relay(void)
{
	char *said;

	if (!running || running->pid <= 0)
		return;
	kill(running->pid, SIGKILL);
	waitpid(running->pid, NULL, 0);
	said = memory_text(running->messages);
	fprintf(stderr, "the relay said:\n%s", said);
	free(said);
}

void check_failed(const char *file, int line, const char *condition, const char *format, ...)
{
	int error = errno;
	va_list arguments;

	fprintf(stderr, "%s:%d: not so: %s", file, line, condition);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, " (errno %s)\n", strerror(error));
	end_relay();
	exit(1);
}

int64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

void pause_milliseconds(long duration)
{
	struct timespec time = { duration / 1000, duration % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

char *memory_text(int fd)
{
	struct stat status;
	char *text;
	ssize_t size;

	fstat(fd, &status);
	text = malloc(status.st_size + 1);
	if (!text)
		abort();
	size = pread(fd, text, status.st_size, 0);
	text[size < 0 ? 0 : size] = '\0';
	return text;
}

static void wait_for_text(int fd, const char *what, size_t count)
{
	int64_t end = milliseconds() + PATIENCE * 1000;
	size_t found;
	char *text, *at;

	for (;;) {
		text = memory_text(fd);
		for (found = 0, at = text; (at = strstr(at, what)); at += strlen(what))
			found++;
		if (found == count || milliseconds() > end)
			break;
		free(text);
		pause_milliseconds(5);
	}
	CHECK(found == count, "%zu times and not %zu: %s\nin:\n%s", found, count, what, text);
	free(text);
}

void relay_logged(const struct relay_process *relay, const char *text, size_t count)
{
	wait_for_text(relay->output, text, count);
}

void relay_said(const struct relay_process *relay, const char *text)
{
	wait_for_text(relay->messages, text, 1);
}

void relay_start(struct relay_process *relay, int output, const char *const *options)
{
	const char *arguments[OPTIONS_MAX + 6] = { "waybill-relay", "--listen", "127.0.0.1:0" };
	const char *path = getenv("WAYBILL_RELAY");
	char ready_text[16], *said, *port, byte;
	int ready[2], count = 3;

	if (!path) {
		fprintf(stderr, "skipped: WAYBILL_RELAY does not name the relay to test\n");
		exit(TEST_SKIPPED);
	}
	/* A test that hangs is a test that failed, and its relay ends with it. */
	alarm(patience(120));
	signal(SIGPIPE, SIG_IGN);
	CHECK(!pipe(ready));
	snprintf(ready_text, sizeof(ready_text), "%d", ready[1]);
	arguments[count++] = "--ready-fd";
	arguments[count++] = ready_text;
	while (options && *options && count < OPTIONS_MAX)
		arguments[count++] = *options++;

	relay->output = output >= 0 ? output : memfd_create("output", MFD_CLOEXEC);
	relay->messages = memfd_create("messages", MFD_CLOEXEC);
	relay->pid = fork();
	CHECK(relay->pid >= 0);
	if (!relay->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		dup2(relay->output, STDOUT_FILENO);
		dup2(relay->messages, STDERR_FILENO);
		execv(path, (char *const *)arguments);
		_exit(127);
	}
	running = relay;
	close(ready[1]);
	CHECK(read(ready[0], &byte, 1) == 1 && byte == '\n', "the relay did not start");
	CHECK(read(ready[0], &byte, 1) == 0, "--ready-fd stays open");
	close(ready[0]);

	said = memory_text(relay->messages);
	port = strstr(said, "listening on 127.0.0.1:");
	CHECK(port);
	memset(&relay->address, 0, sizeof(relay->address));
	relay->address.sin_family = AF_INET;
	relay->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	relay->address.sin_port = htons(atoi(strrchr(strtok(port, "\n"), ':') + 1));
	free(said);
}

int relay_wait(struct relay_process *relay)
{
	int64_t end = milliseconds() + 2 * PATIENCE * 1000;
	int status;
	pid_t pid;

	while (!(pid = waitpid(relay->pid, &status, WNOHANG)) && milliseconds() < end)
		pause_milliseconds(5);
	CHECK(pid == relay->pid, "the relay did not end");
	relay->pid = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		char *said = memory_text(relay->messages);

		fprintf(stderr, "the relay said:\n%s", said);
		free(said);
	}
	CHECK(WIFEXITED(status), "it was ended by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

int relay_stop(struct relay_process *relay, int signal)
{
	kill(relay->pid, signal);
	return relay_wait(relay);
}

static FILE *open_process_file(const struct relay_process *relay, const char *name)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/%s", relay->pid, name);
	file = fopen(path, "re");
	CHECK(file, "%s", path);
	return file;
}

long relay_memory(const struct relay_process *relay)
{
	FILE *file = open_process_file(relay, "statm");
	long size, resident;
	int fields = fscanf(file, "%ld %ld", &size, &resident);

	fclose(file);
	CHECK(fields == 2);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

long relay_processor_time(const struct relay_process *relay)
{
	FILE *file = open_process_file(relay, "stat");
	unsigned long user, system;
	int fields =
		fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		       &user, &system);

	fclose(file);
	CHECK(fields == 2);
	return (user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

int relay_descriptors(const struct relay_process *relay)
{
	char path[64];
	int count = -2; /* . and .. */
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/fd", relay->pid);
	directory = opendir(path);
	CHECK(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

void relay_allow_descriptors(const struct relay_process *relay, int more)
{
	struct rlimit limit = { 0, 4096 };
	char path[64];

	/* The limit is on numbers, and there may be gaps. */
	for (;; limit.rlim_cur++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", relay->pid, (int)limit.rlim_cur);
		if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) && more-- == 0)
			break;
	}
	CHECK(!prlimit(relay->pid, RLIMIT_NOFILE, &limit, NULL));
}

static void be_patient(int fd)
{
	struct timeval limit = { PATIENCE, 0 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

void server_open(struct server *server, int backlog)
{
	socklen_t length = sizeof(server->address);

	memset(&server->address, 0, length);
	server->address.sin_family = AF_INET;
	inet_pton(AF_INET, "127.66.0.1", &server->address.sin_addr);
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(server->fd >= 0);
	CHECK(!bind(server->fd, (struct sockaddr *)&server->address, length));
	CHECK(!listen(server->fd, backlog));
	CHECK(!getsockname(server->fd, (struct sockaddr *)&server->address, &length));
	snprintf(server->text, sizeof(server->text), "127.66.0.1:%d",
		 ntohs(server->address.sin_port));
	be_patient(server->fd);
}

int server_accept(const struct server *server)
{
	int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);

	CHECK(fd >= 0);
	be_patient(fd);
	return fd;
}

int dial(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	be_patient(fd);
	CHECK(!connect(fd, (const struct sockaddr *)address, sizeof(*address)));
	return fd;
}

struct pair pair_open(const struct relay_process *relay, const struct server *server)
{
	struct pair pair;

	pair.client = dial(&relay->address);
	pair.server = server_accept(server);
	return pair;
}

void pair_talk(const struct pair *pair)
{
	send_text(pair->client, "?");
	expect_text(pair->server, "?");
	send_text(pair->server, "!");
	expect_text(pair->client, "!");
}

void send_text(int fd, const char *text)
{
	CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

void expect_text(int fd, const char *text)
{
	size_t length = strlen(text);
	char buffer[4096];

	CHECK(length <= sizeof(buffer));
	CHECK(recv(fd, buffer, length, MSG_WAITALL) == (ssize_t)length, "expecting %s", text);
	CHECK(!memcmp(buffer, text, length), "expecting %s", text);
}

void expect_end(int fd)
{
	char byte;

	CHECK(recv(fd, &byte, 1, 0) == 0);
}

void expect_reset(int fd)
{
	char byte;

	CHECK(recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET);
}

void expect_silence(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	CHECK(!poll(&ready, 1, 200));
}

void reset(int fd)
{
	struct linger no_linger = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &no_linger, sizeof(no_linger));
	close(fd);
}
