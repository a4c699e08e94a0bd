// SPDX-License-Identifier: BSD-2-Clause
/*
 * The keys of the records' MAC: random, made here, and from then on only in the kernel. A ring
 * of them, so that records of a retired key pass until they expire.
 */
#include "instance.h"

#include <bpf/bpf.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

int instance_keys(struct instance *instance, struct key_ring *ring, struct message *message)
{
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(instance->map[MAP_KEYS], &zero, ring))
		return fail(message, -errno, "map keys: %s (needs root)", strerror(errno));
	return 0;
}

static int key_make(struct key *key, uint32_t id, struct message *message)
{
	*key = (struct key){ .id = id };
	if (getrandom(&key->key, sizeof(key->key), 0) != sizeof(key->key))
		return fail(message, -EIO, "no random bytes for a key: %s", strerror(errno));
	return 0;
}

static int ring_write(struct instance *instance, const struct key_ring *ring,
		      struct message *message)
{
	uint32_t zero = 0;

	if (bpf_map_update_elem(instance->map[MAP_KEYS], &zero, ring, BPF_ANY))
		return fail(message, -errno, "map keys: %s", strerror(errno));
	return 0;
}

int keys_begin(struct instance *instance, struct message *message)
{
	struct key_ring ring = {};
	uint32_t id;
	int error;

	/* Ids begin anywhere, so that instances do not take each other's keys for their own. */
	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return fail(message, -EIO, "no random bytes for a key: %s", strerror(errno));
	id = (id & 0x7fffffff) + 1;
	ring.current = id;
	error = key_make(&ring.keys[id % KEYS], id, message);
	if (!error)
		error = ring_write(instance, &ring, message);
	explicit_bzero(&ring, sizeof(ring));
	return error;
}

static uint64_t records_expire(struct instance *instance)
{
	struct policy_image image;
	uint64_t expire = 0;

	if (!instance_policy(instance, &image, NULL)) {
		expire = ((const struct policy_header *)image.line)->records_expire;
		free(image.line);
	}
	return expire ? expire : 600000000000ULL;
}

int instance_rotate_key(struct instance *instance, uint32_t *id, struct message *message)
{
	uint64_t now = boot_time(), expire;
	struct key_ring ring;
	struct key *old, *fresh;
	uint32_t next;
	int lock, error;

	lock = bpffs_lock(message);
	if (lock < 0)
		return lock;
	error = instance_keys(instance, &ring, message);
	if (error)
		goto out;
	expire = records_expire(instance);
	old = &ring.keys[ring.current % KEYS];
	next = ring.current + 1 ? ring.current + 1 : 1;
	fresh = &ring.keys[next % KEYS];
	if (fresh->id && now - fresh->retired <= expire) {
		error = fail(
			message, -EBUSY,
			"%d keys were made in a short time, and records of the oldest are "
			"still good (wait %llu s)",
			KEYS,
			(unsigned long long)((expire - (now - fresh->retired)) / 1000000000 + 1));
		goto out;
	}
	error = key_make(fresh, next, message);
	/* In two steps: the new key is whole before anything is made with it. */
	if (!error)
		error = ring_write(instance, &ring, message);
	if (!error) {
		old->retired = now;
		ring.current = fresh->id;
		*id = fresh->id;
		error = ring_write(instance, &ring, message);
	}
out:
	explicit_bzero(&ring, sizeof(ring));
	bpffs_unlock(lock);
	return error;
}
