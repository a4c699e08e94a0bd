// SPDX-License-Identifier: BSD-2-Clause
/*
 * Decisions as they happen, through a ring buffer that the programs fill only while somebody
 * wants them: the wish is a time limit that we renew, so nothing of ours must clean up after a
 * monitor that was killed.
 */
#include "instance.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#define WISH 3000000000ULL /* ns; renewed every second */

struct watch {
	int (*each)(void *data, const struct event *event);
	void *data;
	int result;
};

static int wish(struct instance *instance, uint64_t until)
{
	uint32_t zero = 0;

	instance->control.watch_until = until;
	return bpf_map_update_elem(instance->map[MAP_CONTROL], &zero, &instance->control,
				   BPF_EXIST);
}

static int take(void *context, void *bytes, size_t size)
{
	struct watch *watch = context;

	if (size < sizeof(struct event) || watch->result)
		return 0;
	watch->result = watch->each(watch->data, bytes);
	return watch->result ? -ECANCELED : 0;
}

static int drop(void *context, void *bytes, size_t size)
{
	return 0;
}

int instance_monitor(struct instance *instance, volatile sig_atomic_t *stop,
		     int (*each)(void *data, const struct event *event), void *data,
		     struct message *message)
{
	struct watch watch = { .each = each, .data = data };
	struct ring_buffer *stale, *ring;
	int lock = -1, error = 0;

	if (instance->directory[0]) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/programs", instance->directory);
		lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB)) {
			error = errno == EWOULDBLOCK ?
					fail(message, -EBUSY,
					     "instance %s: another monitor is reading (end it first)",
					     instance->name) :
					fail(message, -errno, "%s: %s", path, strerror(errno));
			goto out;
		}
	}
	/* What a monitor that was killed left unread is not news. */
	stale = ring_buffer__new(instance->map[MAP_EVENTS], drop, NULL, NULL);
	if (stale)
		ring_buffer__consume(stale);
	ring_buffer__free(stale);
	ring = ring_buffer__new(instance->map[MAP_EVENTS], take, &watch, NULL);
	if (!ring) {
		error = fail(message, -errno, "cannot read the events: %s", strerror(errno));
		goto out;
	}
	while (!*stop && !watch.result) {
		if (wish(instance, boot_time() + WISH)) {
			error = fail(message, -errno, "map control: %s", strerror(errno));
			break;
		}
		error = ring_buffer__poll(ring, 1000);
		if (error == -EINTR || error >= 0)
			error = 0;
		else if (!watch.result)
			fail(message, error, "cannot read the events: %s", strerror(-error));
		if (error)
			break;
	}
	wish(instance, 0);
	ring_buffer__free(ring);
out:
	if (lock >= 0)
		close(lock);
	return watch.result ? watch.result : error;
}
