// SPDX-License-Identifier: BSD-2-Clause
/*
 * No user space can make or change records: random bytes, a right header with a wrong MAC, any
 * byte of a genuine blob edited, a blob cut, lengthened, its hops reordered, one taken out or put
 * twice, two blobs mixed. All are EBADMSG, counted, and leave the socket without records.
 */
#include "records_tools.h"

#include <sys/random.h>

#include "../../record/verify.h"

#define SERVICES 3

static unsigned char genuine[WAYBILL_RECORDS_MAX + 64], forged[WAYBILL_RECORDS_MAX + 64];
static size_t size;
static int onward;
static uint64_t refused;

static void expect_refused(const char *what, size_t length, size_t at)
{
	int result = set_records(onward, forged, length);

	EXPECT(result == -EBADMSG, "%s, %zu bytes, at %zu: %s", what, length, at,
	       result_name(result));
	refused++;
}

static void begin(void)
{
	memset(forged, 0, sizeof(forged));
	memcpy(forged, genuine, size);
}

/* The header says what the parts then are, so that only the MAC is wrong. */
static void header_mend(size_t length, int hops)
{
	struct records_header *header = (void *)forged;
	const struct records_hop *last =
		(void *)(forged + length - RECORDS_MAC_SIZE - RECORDS_HOP_SIZE);

	header->length = length;
	header->hop_count = hops;
	header->service = last->service;
	header->flow = last->flow;
}

static void edit(void)
{
	for (size_t at = 0; at < size; at++)
		for (int bit = 0; bit < 8; bit++) {
			begin();
			forged[at] ^= 1 << bit;
			expect_refused("bit flipped", size, at);
		}
	for (size_t at = 0; at < size; at++) {
		begin();
		forged[at] = ~forged[at];
		expect_refused("byte inverted", size, at);
	}
}

static void cut_and_lengthen(void)
{
	for (size_t length = 0; length < size; length++) {
		begin();
		expect_refused("truncated", length, 0);
		if (length < 160 || length % 8)
			continue;
		((struct records_header *)forged)->length = length;
		expect_refused("truncated, header mended", length, 0);
		memcpy(forged + length - RECORDS_MAC_SIZE, genuine + size - RECORDS_MAC_SIZE,
		       RECORDS_MAC_SIZE);
		expect_refused("truncated, header and MAC mended", length, 0);
	}
	for (size_t more = 1; more <= 24; more++) {
		begin();
		expect_refused("lengthened", size + more, 0);
		((struct records_header *)forged)->length = size + more;
		expect_refused("lengthened, header mended", size + more, 0);
	}
}

static void *hop(int i)
{
	return forged + RECORDS_HEADER_SIZE + RECORDS_ORIGINATOR_SIZE + i * RECORDS_HOP_SIZE;
}

static void rearrange(void)
{
	unsigned char kept[RECORDS_HOP_SIZE];

	for (int i = 0; i < SERVICES; i++) {
		/* One cut out, with all that comes after moved up. */
		begin();
		memmove(hop(i), hop(i + 1),
			size - RECORDS_HEADER_SIZE - RECORDS_ORIGINATOR_SIZE -
				(i + 1) * RECORDS_HOP_SIZE);
		header_mend(size - RECORDS_HOP_SIZE, SERVICES - 1);
		expect_refused("hop cut out", size - RECORDS_HOP_SIZE, i);
		for (int j = 0; j < i; j++) {
			begin();
			memcpy(kept, hop(i), sizeof(kept));
			memcpy(hop(i), hop(j), sizeof(kept));
			memcpy(hop(j), kept, sizeof(kept));
			header_mend(size, SERVICES);
			expect_refused("hops reordered", size, i);
		}
	}
	begin();
	memmove(hop(1), hop(0), size - RECORDS_HEADER_SIZE);
	header_mend(size + RECORDS_HOP_SIZE, SERVICES + 1);
	expect_refused("hop put twice", size + RECORDS_HOP_SIZE, 0);
}

static void key_mac(const struct record_key *key, size_t length)
{
	__u64 mac[2];

	records_mac(forged, length - RECORDS_MAC_SIZE, key, mac);
	memcpy(forged + length - RECORDS_MAC_SIZE, mac, sizeof(mac));
}

static void forge(void)
{
	struct record_key guess = {};
	__u64 mac[2];

	for (size_t length = 1; length <= WAYBILL_RECORDS_MAX; length += 13) {
		EXPECT(getrandom(forged, length, 0) == (ssize_t)length);
		expect_refused("random bytes", length, 0);
	}
	for (int i = 0; i < 64; i++) {
		begin();
		EXPECT(getrandom(forged + size - RECORDS_MAC_SIZE, RECORDS_MAC_SIZE, 0) == 16);
		expect_refused("random MAC", size, 0);
	}
	begin();
	records_mac(forged, size - RECORDS_MAC_SIZE, &guess, mac);
	memcpy(forged + size - RECORDS_MAC_SIZE, mac, sizeof(mac));
	expect_refused("MAC of a guessed key", size, 0);
	/* Keys before and after it, and none: places in the ring that hold nothing. */
	for (int other = -20; other <= 20; other++) {
		begin();
		((struct records_header *)forged)->key += other;
		if (!other)
			((struct records_header *)forged)->key = 0;
		records_mac(forged, size - RECORDS_MAC_SIZE, &guess, mac);
		memcpy(forged + size - RECORDS_MAC_SIZE, mac, sizeof(mac));
		expect_refused("unknown key", size, other);
	}
}

/* Two genuine blobs of the same service: the parts of one with the MAC, or a hop, of the other. */
static void mix(int other)
{
	unsigned char second[WAYBILL_RECORDS_MAX];

	EXPECT(records_of(other, second) == size);
	begin();
	memcpy(forged + size - RECORDS_MAC_SIZE, second + size - RECORDS_MAC_SIZE,
	       RECORDS_MAC_SIZE);
	expect_refused("MAC of other records", size, 0);
	for (int i = 0; i < SERVICES; i++) {
		begin();
		memcpy(hop(i), second + RECORDS_HEADER_SIZE + RECORDS_ORIGINATOR_SIZE + i * RECORDS_HOP_SIZE,
		       RECORDS_HOP_SIZE);
		header_mend(size, SERVICES);
		expect_refused("hop of other records", size, i);
	}
}

/* With the very key: what the kernel half would never sign. */
static void sign(struct world *world)
{
	struct records_header *header = (void *)forged;
	struct key_ring ring;
	struct message message;
	struct record_key key;

	as_root(world);
	EXPECT(!instance_keys(world->instance, &ring, &message), "%s", message.text);
	key = ring.keys[ring.current % KEYS].key;
	as_service(world, SERVICES - 1);

	begin();
	key_mac(&key, size);
	EXPECT_RESULT(set_records(onward, forged, size), 0);
	begin();
	header->flow++;
	key_mac(&key, size);
	expect_refused("flow of the header not that of the last hop", size, 0);
	begin();
	((struct records_hop *)hop(SERVICES - 1))->flow++;
	key_mac(&key, size);
	expect_refused("flow of the last hop not that of the header", size, 0);
	begin();
	((struct records_hop *)hop(SERVICES - 1))->service =
		((struct records_hop *)hop(0))->service;
	key_mac(&key, size);
	expect_refused("service of the last hop not that of the header", size, 0);
	begin();
	header->hop_count--;
	key_mac(&key, size);
	expect_refused("fewer hops in the header", size, 0);
	begin();
	((struct records_hop *)hop(1))->length = 104;
	key_mac(&key, size);
	expect_refused("a hop that is too short", size, 0);
	begin();
	((struct records_hop *)hop(SERVICES - 1))->length += 8;
	key_mac(&key, size);
	expect_refused("a part beyond the parts", size, 0);
	/* A part of another implementer's is carried on; one that leaves no room for a hop is not. */
	for (size_t room = 8; room <= 1600; room += 1592) {
		size_t length = size + room;

		begin();
		memset(hop(SERVICES), 0, room);
		*(__u32 *)hop(SERVICES) = 0x4000 | room << 16;
		header->length = length;
		key_mac(&key, length);
		EXPECT_RESULT(set_records(onward, forged, length), room == 8 ? 0 : -ELOOP);
	}
}

int main(void)
{
	struct leg leg[SERVICES], other[SERVICES];
	struct world world;
	int listener[SERVICES];

	world_begin(&world, "records_forged");
	world_up(&world);
	world_policy(&world, SERVICES, NULL);
	for (int i = 0; i < SERVICES; i++)
		listener[i] = listener_of(&world, i, V4, false);
	redirect_chain(&world, SERVICES, listener, V4, leg);
	redirect_chain(&world, SERVICES, listener, V4, other);
	refused = counted(&world, COUNT_RECORDS_BAD);
	EXPECT(refused == 0);
	size = records_of(leg[SERVICES - 1].accepted, genuine);
	EXPECT(size == RECORDS_HEADER_SIZE + RECORDS_ORIGINATOR_SIZE + SERVICES * RECORDS_HOP_SIZE +
			       RECORDS_MAC_SIZE);
	onward = socket_of(V4, 0);
	edit();
	cut_and_lengthen();
	rearrange();
	forge();
	mix(other[SERVICES - 1].accepted);
	EXPECT(counted(&world, COUNT_RECORDS_BAD) == refused);
	EXPECT_RESULT(state_of(onward), -ENOTCONN);
	sign(&world);
	EXPECT(counted(&world, COUNT_RECORDS_BAD) == refused);
	/* And it was none of this that kept the genuine ones from passing. */
	EXPECT_RESULT(set_records(onward, genuine, size), 0);
	EXPECT_RESULT(state_of(onward), WAYBILL_REDIRECTED_BY_SELF);
	as_root(&world);
	world_end(&world);
}
