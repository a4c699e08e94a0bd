/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop: waits for epoll, lets every watch have its turn, lets connections expire, ends.
 * Draining begins with the first SIGTERM or SIGINT and stops at its deadline or the second.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "message.h"
#include "relay.h"

#define EVENTS_MAX 256

/* Descriptors besides the two of each connection: listeners, logs, what was inherited. */
#define DESCRIPTORS_OTHER (RELAY_LISTENERS_MAX + 16)

int relay_watch(struct relay *relay, int fd, uint32_t events, struct watch *watch)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	return epoll_ctl(relay->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static void read_clock(struct relay *relay)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	relay->now = now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void end_all(struct relay *relay, const char *reason)
{
	struct connection *connection;

	while ((connection = TAILQ_FIRST(&relay->connecting)) ||
	       (connection = TAILQ_FIRST(&relay->flowing)))
		connection_end(relay, connection, reason);
}

static void drain(struct relay *relay)
{
	unsigned int seconds = relay->options->drain_timeout;

	if (relay->draining) {
		relay->drain_until = relay->now;
		return;
	}
	/* Clients in the kernel's queue are connected already: closing it would reset them. */
	listeners_accept_all(relay);
	relay->draining = true;
	relay->drain_until = relay->now + seconds * 1000LL;
	listeners_close(relay);
	if (relay->connection_count)
		message("ending: %zu connections have %u seconds to finish; a second signal ends "
			"them at once",
			relay->connection_count, seconds);
}

static void signals_ready(struct relay *relay, struct watch *watch, uint32_t events)
{
	struct signalfd_siginfo signal;
	int error;

	(void)watch;
	(void)events;
	while (read(relay->signal_fd, &signal, sizeof(signal)) == sizeof(signal)) {
		if (signal.ssi_signo != SIGHUP) {
			drain(relay);
			continue;
		}
		error = log_reopen(&relay->log, relay->options->log_path);
		if (error)
			message("cannot reopen %s: %s; the old file is written on",
				relay->options->log_path, strerror(-error));
		else
			relay_watch(relay, relay->log.fd, EPOLLOUT | EPOLLET, &relay->log_writable);
	}
}

static void log_ready(struct relay *relay, struct watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	log_flush(&relay->log);
}

static int open_signals(struct relay *relay)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (relay->options->log_path)
		sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	relay->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (relay->signal_fd < 0)
		return -errno;
	relay->signals.ready = signals_ready;
	return relay_watch(relay, relay->signal_fd, EPOLLIN, &relay->signals);
}

/* As many connections as were asked for, or as there may be descriptors. */
static size_t connections_that_fit(const struct relay_options *options)
{
	unsigned long long needed =
		(options->datagrams ? 3ULL : 2ULL) * options->connections_max + DESCRIPTORS_OTHER;
	struct rlimit limit;
	size_t fit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return options->connections_max;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max >= needed)
		return options->connections_max;
	fit = limit.rlim_max > DESCRIPTORS_OTHER + 3 ?
		      (limit.rlim_max - DESCRIPTORS_OTHER) / (options->datagrams ? 3 : 2) :
		      1;
	if (options->connections_max_given)
		message("--max-connections %u needs %llu file descriptors and %llu are allowed: "
			"%zu it is; raise the hard limit (ulimit -Hn, LimitNOFILE=)",
			options->connections_max, needed, (unsigned long long)limit.rlim_max, fit);
	return fit;
}

int relay_open(struct relay *relay, const struct relay_options *options)
{
	int error;

	memset(relay, 0, sizeof(*relay));
	relay->options = options;
	relay->signal_fd = relay->reserve_fd = -1;
	TAILQ_INIT(&relay->connecting);
	TAILQ_INIT(&relay->flowing);
	TAILQ_INIT(&relay->unfinished);
	TAILQ_INIT(&relay->ended);
	TAILQ_INIT(&relay->flows);
	TAILQ_INIT(&relay->flows_ended);
	for (size_t i = 0; i < FLOW_BUCKETS; i++)
		TAILQ_INIT(&relay->flow_buckets[i]);
	read_clock(relay);
	relay->connections_max = connections_that_fit(options);

	error = log_open(&relay->log, options->log_path);
	if (error) {
		message("cannot open the log %s: %s; name another file with --log FILE",
			options->log_path ? options->log_path : "on standard output",
			strerror(-error));
		relay->epoll = -1;
		return error;
	}
	relay->epoll = epoll_create1(EPOLL_CLOEXEC);
	error = relay->epoll < 0 ? -errno : open_signals(relay);
	if (error) {
		message("cannot wait for events: %s; is the limit of file descriptors too low?",
			strerror(-error));
		return error;
	}
	relay->log_writable.ready = log_ready;
	/* A plain file is always writable, and epoll refuses it. */
	relay_watch(relay, relay->log.fd, EPOLLOUT | EPOLLET, &relay->log_writable);
	error = handed_open(relay);
	if (!error)
		error = listeners_open(relay);
	return error ? error : datagrams_open(relay);
}

static int64_t idle_deadline(const struct relay *relay, const struct connection *connection)
{
	return connection->active + relay->options->idle_timeout * 1000LL;
}

static int64_t connect_deadline(const struct relay *relay, const struct connection *connection)
{
	return connection->started + relay->options->connect_timeout * 1000LL;
}

static void expire(struct relay *relay)
{
	struct connection *connection;

	while (relay->options->connect_timeout && (connection = TAILQ_FIRST(&relay->connecting)) &&
	       connect_deadline(relay, connection) <= relay->now)
		connection_end(relay, connection, "connect failed: ETIMEDOUT");
	while (relay->options->idle_timeout && (connection = TAILQ_FIRST(&relay->flowing)) &&
	       idle_deadline(relay, connection) <= relay->now)
		connection_end(relay, connection, "idle");
	datagrams_expire(relay);
	if (relay->draining && relay->drain_until <= relay->now)
		end_all(relay, "drained");
	if (relay->draining && !relay->connection_count)
		relay->stop = true;
}

static void earliest(int64_t *deadline, int64_t candidate)
{
	if (*deadline < 0 || candidate < *deadline)
		*deadline = candidate;
}

/* Milliseconds until something is to be done that epoll does not tell, -1 for never. */
static int wait_time(const struct relay *relay)
{
	const struct connection *connecting = TAILQ_FIRST(&relay->connecting);
	const struct connection *flowing = TAILQ_FIRST(&relay->flowing);
	int64_t deadline = -1;

	if (!TAILQ_EMPTY(&relay->unfinished))
		return 0;
	if (connecting && relay->options->connect_timeout)
		earliest(&deadline, connect_deadline(relay, connecting));
	if (flowing && relay->options->idle_timeout)
		earliest(&deadline, idle_deadline(relay, flowing));
	if (datagrams_deadline(relay) >= 0)
		earliest(&deadline, datagrams_deadline(relay));
	if (relay->draining)
		earliest(&deadline, relay->drain_until);
	if (relay->accept_after > relay->now)
		earliest(&deadline, relay->accept_after);
	if (deadline < 0)
		return -1;
	deadline -= relay->now;
	return deadline < 0 ? 0 : deadline > 3600000 ? 3600000 : deadline;
}

/* Those that join the list meanwhile wait for the next turn. */
static void continue_unfinished(struct relay *relay)
{
	struct connection *last = TAILQ_LAST(&relay->unfinished, connection_list);
	struct connection *connection;

	while (last && (connection = TAILQ_FIRST(&relay->unfinished))) {
		TAILQ_REMOVE(&relay->unfinished, connection, turn);
		connection->unfinished = false;
		connection_turn(relay, connection);
		if (connection == last)
			break;
	}
}

static void free_ended(struct relay *relay)
{
	struct connection *connection;

	while ((connection = TAILQ_FIRST(&relay->ended))) {
		TAILQ_REMOVE(&relay->ended, connection, link);
		connection_free(connection);
	}
}

int relay_run(struct relay *relay)
{
	struct epoll_event events[EVENTS_MAX];
	struct watch *watch;
	int count, i;

	while (!relay->stop) {
		count = epoll_wait(relay->epoll, events, EVENTS_MAX, wait_time(relay));
		if (count < 0 && errno != EINTR) {
			message("cannot wait for events: %s", strerror(errno));
			return -errno;
		}
		read_clock(relay);
		for (i = 0; i < count; i++) {
			watch = events[i].data.ptr;
			watch->ready(relay, watch, events[i].events);
		}
		continue_unfinished(relay);
		expire(relay);
		listeners_update(relay);
		free_ended(relay);
		datagrams_free_ended(relay);
	}
	return 0;
}

void relay_close(struct relay *relay)
{
	end_all(relay, "drained");
	free_ended(relay);
	datagrams_close(relay);
	listeners_close(relay);
	if (relay->signal_fd >= 0)
		close(relay->signal_fd);
	if (relay->epoll >= 0)
		close(relay->epoll);
	log_close(&relay->log);
}
