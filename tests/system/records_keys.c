// SPDX-License-Identifier: BSD-2-Clause
/*
 * Keys can change under live connections: records made with the key before still pass, until the
 * expiry has gone since; then EKEYEXPIRED, and EBADMSG once the key's place in the ring was needed.
 * So many rotations that a key still good would be lost are refused with EBUSY.
 */
#include "records_tools.h"

#include "../../record/records.h"

static uint32_t key_of(const unsigned char *records)
{
	return ((const struct records_header *)records)->key;
}

static int rotate(struct world *world, uint32_t *id)
{
	struct message message = {};

	as_root(world);
	return instance_rotate_key(world->instance, id, &message);
}

int main(void)
{
	unsigned char first[WAYBILL_RECORDS_MAX], second[WAYBILL_RECORDS_MAX];
	unsigned char last[WAYBILL_RECORDS_MAX];
	struct world world;
	struct leg leg;
	int listener, onward;
	uint32_t id = 0, before;
	size_t size;

	world_begin(&world, "records_keys");
	world_up(&world);
	policy_limited(&world, 1, "records_expire: 1h");
	listener = listener_of(&world, 0, V4, false);
	redirect_application(&world, 0, listener, V4, &leg);
	onward = socket_of(V4, 0);
	size = records_of(leg.accepted, first);
	before = key_of(first);

	EXPECT_RESULT(rotate(&world, &id), 0);
	EXPECT(id != before);
	as_service(&world, 0);
	EXPECT(records_of(leg.accepted, second) == size && key_of(second) == id);
	EXPECT_RESULT(set_records(onward, first, size), 0);
	EXPECT_RESULT(set_records(onward, second, size), 0);
	/* A genuine blob does not become one of another key by saying so. */
	memcpy(last, first, size);
	((struct records_header *)last)->key = id;
	EXPECT_RESULT(set_records(onward, last, size), -EBADMSG);

	/* The ring has eight places: the first key is still good when the eighth rotation comes. */
	for (int i = 2; i < KEYS; i++)
		EXPECT_RESULT(rotate(&world, &id), 0);
	EXPECT_RESULT(rotate(&world, &id), -EBUSY);
	as_service(&world, 0);
	EXPECT_RESULT(set_records(onward, first, size), 0);
	EXPECT_RESULT(set_records(onward, second, size), 0);
	EXPECT(records_of(leg.accepted, last) == size && key_of(last) == id);

	/* The expiry is that of the policy in force. */
	as_root(&world);
	policy_limited(&world, 1, "records_expire: 1s");
	usleep(1100000);
	as_service(&world, 0);
	EXPECT_RESULT(set_records(onward, first, size), -EKEYEXPIRED);
	EXPECT_RESULT(rotate(&world, &id), 0);
	as_service(&world, 0);
	EXPECT_RESULT(set_records(onward, first, size), -EBADMSG);
	EXPECT_RESULT(set_records(onward, second, size), -EKEYEXPIRED);
	EXPECT_RESULT(state_of(onward), WAYBILL_REDIRECTED_BY_SELF);

	as_root(&world);
	policy_limited(&world, 1, "records_expire: 1h");
	as_service(&world, 0);
	EXPECT(records_of(leg.accepted, last) == size && key_of(last) == id);
	EXPECT_RESULT(set_records(onward, last, size), 0);
	EXPECT_RESULT(set_records(onward, first, size), -EBADMSG);
	EXPECT(counted(&world, COUNT_RECORDS_BAD) == 3);
	EXPECT(counted(&world, COUNT_RECORDS_EXPIRED) == 2);
	EXPECT(counted(&world, COUNT_RECORDS_SET) == 5);
	as_root(&world);
	world_end(&world);
}
