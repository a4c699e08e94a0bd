// SPDX-License-Identifier: BSD-2-Clause
/*
 * Decisions as they happen, through a ring buffer that the programs fill only while somebody
 * wants them: the wish has a time limit that we renew, so nothing of ours must clean up after a
 * monitor that was killed.
 */
#include "instance.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECOND 1000000000ULL
#define WISH (3 * SECOND)

struct monitor {
	struct instance *instance;
	const struct monitoring *wanted;
	struct watch_settings *watch; /* the kernel half's */
	volatile sig_atomic_t *stop;
	uint64_t renewed, left_out, lost;
	int result;
};

static void tell_missed(struct monitor *monitor, bool first)
{
	uint64_t counters[COUNTERS], left_out, lost;

	if (!monitor->wanted->missed || instance_counters(monitor->instance, counters, NULL))
		return;
	left_out = counters[COUNT_EVENTS_LEFT_OUT] - monitor->left_out;
	lost = counters[COUNT_EVENTS_LOST] - monitor->lost;
	monitor->left_out += left_out;
	monitor->lost += lost;
	if (!first && (left_out || lost))
		monitor->wanted->missed(monitor->wanted->data, left_out, lost);
}

static void wish_until(struct watch_settings *watch, uint64_t until)
{
	__atomic_store_n(&watch->until, until, __ATOMIC_RELEASE);
}

static void renew(struct monitor *monitor)
{
	uint64_t now = boot_time();

	if (now - monitor->renewed < SECOND)
		return;
	tell_missed(monitor, !monitor->renewed);
	monitor->renewed = now;
	wish_until(monitor->watch, now + WISH);
}

/* Where events keep coming this is called without end, so what a second brings is done here too. */
static int take(void *context, void *bytes, size_t size)
{
	struct monitor *monitor = context;

	if (size < sizeof(struct event))
		return 0;
	renew(monitor);
	monitor->result = monitor->wanted->each(monitor->wanted->data, bytes);
	return monitor->result || *monitor->stop ? -ECANCELED : 0;
}

static int drop(void *context, void *bytes, size_t size)
{
	return 0;
}

/* One at a time; a lock dies with its process. A private instance
 * has one owner, and no directory. */
static int lock_watch(struct instance *instance, int *lock, struct message *message)
{
	char path[PATH_MAX];

	*lock = -1;
	if (!instance->directory[0])
		return 0;
	snprintf(path, sizeof(path), "%s/programs", instance->directory);
	*lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*lock >= 0 && !flock(*lock, LOCK_EX | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK)
		return fail(message, -EBUSY,
			    "instance %s: another monitor is reading (end it first)",
			    instance->name);
	return fail(message, -errno, "%s: %s", path, strerror(errno));
}

static void wish(struct watch_settings *watch, const struct monitoring *wanted)
{
	watch->decisions = wanted->decisions ? wanted->decisions : ~0U;
	watch->service = wanted->service;
	watch->user = wanted->user;
	watch->by_user = wanted->by_user;
	watch->rate = wanted->rate;
}

static int run(struct monitor *monitor, struct ring_buffer *ring, struct message *message)
{
	int error = 0;

	while (!*monitor->stop && !monitor->result && error >= 0) {
		renew(monitor);
		error = ring_buffer__poll(ring, 1000);
		if (error == -EINTR || error == -ECANCELED)
			error = 0;
		else if (error < 0)
			fail(message, error, "cannot read the events: %s", strerror(-error));
	}
	wish_until(monitor->watch, 0);
	tell_missed(monitor, false);
	return error < 0 ? error : monitor->result;
}

int instance_monitor(struct instance *instance, const struct monitoring *wanted,
		     volatile sig_atomic_t *stop, struct message *message)
{
	struct monitor monitor = { .instance = instance, .wanted = wanted, .stop = stop };
	int events = instance->map[MAP_EVENTS], lock, error;
	struct ring_buffer *stale, *ring = NULL;

	error = lock_watch(instance, &lock, message);
	if (error)
		goto out;
	monitor.watch = mmap(NULL, sizeof(*monitor.watch), PROT_READ | PROT_WRITE, MAP_SHARED,
			     instance->map[MAP_WATCH], 0);
	if (monitor.watch == MAP_FAILED) {
		error = fail(message, -errno, "map watch: %s", strerror(errno));
		goto out;
	}
	/* What a monitor that was killed left unread is not news; and it may have just been so. */
	wish_until(monitor.watch, 0);
	stale = ring_buffer__new(events, drop, NULL, NULL);
	if (stale)
		ring_buffer__consume(stale);
	ring_buffer__free(stale);
	ring = ring_buffer__new(events, take, &monitor, NULL);
	if (ring) {
		wish(monitor.watch, wanted);
		error = run(&monitor, ring, message);
	} else {
		error = fail(message, -errno, "cannot read the events: %s", strerror(errno));
	}
	ring_buffer__free(ring);
	munmap(monitor.watch, sizeof(*monitor.watch));
out:
	if (lock >= 0)
		close(lock);
	return error;
}
