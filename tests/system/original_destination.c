// SPDX-License-Identifier: BSD-2-Clause
/*
 * SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST, as netfilter's: the destination that was asked for, on
 * sockets that a service accepted, by the level of the family; EINVAL for a short buffer. On any
 * other socket the answer is the one that the kernel gives without Waybill.
 */
#include "records_tools.h"

#include <arpa/inet.h>

#define SO_ORIGINAL_DST 80
#define OTHER_PORT 8100 /* no filter */
#define KINDS 8

static int original(int descriptor, int level, void *buffer, socklen_t *size)
{
	return getsockopt(descriptor, level, SO_ORIGINAL_DST, buffer, size) ? -errno : 0;
}

struct answer {
	int result[2];
	socklen_t size[2];
};

static void ask(int descriptor, struct answer *answer)
{
	static const int levels[2] = { SOL_IP, SOL_IPV6 };
	unsigned char buffer[128];

	for (int i = 0; i < 2; i++) {
		answer->size[i] = sizeof(buffer);
		answer->result[i] = original(descriptor, levels[i], buffer, &answer->size[i]);
	}
}

/* Sockets that nobody redirected, of each kind. */
static void ask_all(struct answer *answer, int other_listener[2])
{
	int accepted, connected, n = 0;

	for (enum family family = V4; family <= V6; family++) {
		int fresh = socket_of(family, 0);
		int datagram =
			socket(family == V4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		ask(fresh, &answer[n++]);
		ask(datagram, &answer[n++]);
		connected = connect_to(family, OTHER_PORT);
		EXPECT(connected >= 0);
		ask(connected, &answer[n++]);
		accepted = accept_from(other_listener[family]);
		ask(accepted, &answer[n++]);
		close(accepted);
		close(connected);
		close(fresh);
		close(datagram);
	}
	EXPECT(n == KINDS);
}

static void expect_short_refused(int accepted, int level, socklen_t needed)
{
	unsigned char buffer[128];
	socklen_t size;

	for (socklen_t room = 0; room < needed; room++) {
		int result;

		memset(buffer, 0xa5, sizeof(buffer));
		size = room;
		result = original(accepted, level, buffer, &size);
		EXPECT(result == -EINVAL, "level %d, room %u: %s", level, room,
		       result_name(result));
		for (size_t i = 0; i < sizeof(buffer); i++)
			EXPECT(buffer[i] == 0xa5, "level %d, room %u", level, room);
	}
}

/* any: the service listens on [::] for both families. */
static void expect_original(struct world *world, enum family family, bool any,
			    const struct answer *plain)
{
	int listener = listener_of(world, 0, family == V6 ? V6 : V4, any);
	struct sockaddr_storage asked, mapped, told = {};
	socklen_t length, size = sizeof(told);
	struct answer answer;
	struct leg leg;

	redirect_application(world, 0, listener, family, &leg);
	/* IPv4 is IPv4, also for a client with an IPv6 socket. */
	length = address_of(family == V6 ? V6 : V4, SERVER_PORT, &asked);
	EXPECT_RESULT(original(leg.accepted, family == V6 ? SOL_IPV6 : SOL_IP, &told, &size), 0);
	EXPECT(size == length && !memcmp(&told, &asked, length));
	expect_short_refused(leg.accepted, family == V6 ? SOL_IPV6 : SOL_IP, length);
	if (any && family != V6) {
		length = address_of(MAPPED, SERVER_PORT, &mapped);
		size = sizeof(told);
		EXPECT_RESULT(original(leg.accepted, SOL_IPV6, &told, &size), 0);
		EXPECT(size == length && !memcmp(&told, &mapped, length));
		expect_short_refused(leg.accepted, SOL_IPV6, length);
	} else {
		/* The other level is not for this family. */
		ask(leg.accepted, &answer);
		EXPECT_RESULT(answer.result[family != V6],
			      plain[family == V6 ? 7 : 3].result[family != V6]);
	}
	size = length = sizeof(struct sockaddr_in) + (family == V6 ? 12 : 0);
	EXPECT_RESULT(query(leg.accepted, WAYBILL_ORIGINAL_DESTINATION, &told, &size), 0);
	EXPECT(size == length && !memcmp(&told, &asked, length));
	/* The client's end has none. */
	ask(leg.client, &answer);
	EXPECT(!memcmp(&answer, &plain[family == V4 ? 2 : 6], sizeof(answer)));
	close(leg.client);
	close(leg.accepted);
	close(listener);
}

int main(void)
{
	struct answer without[KINDS], with[KINDS];
	struct world world;
	int other[2];

	world_begin(&world, "original_destination");
	world.by_user = true; /* so that the hooks sit on every socket of the test */
	as_service(&world, 0);
	for (enum family family = V4; family <= V6; family++)
		other[family] = server_listener(family, OTHER_PORT);
	ask_all(without, other);
	for (int i = 0; i < KINDS; i++)
		EXPECT(without[i].result[0] < 0 && without[i].result[1] < 0);

	as_root(&world);
	world_up(&world);
	world_policy(&world, 1, NULL);
	as_service(&world, 0);
	ask_all(with, other);
	EXPECT(!memcmp(with, without, sizeof(with)), "sockets that were not redirected");
	for (enum family family = V4; family < FAMILIES; family++)
		for (int any = 0; any < 2; any++)
			expect_original(&world, family, any, without);
	as_root(&world);
	world_end(&world);
}
