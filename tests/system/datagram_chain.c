// SPDX-License-Identifier: BSD-2-Clause
/*
 * Datagrams through one to three services, as applications send them: each service sees each flow
 * once, and the application hears the peer that it asked for.
 */
#include "datagram_tools.h"

static enum family family;
static int services;

static struct iovec part_of(char *text)
{
	return (struct iovec){ .iov_base = text, .iov_len = strlen(text) };
}

static void unconnected(struct world *world)
{
	int fd = datagram_socket(family);

	for (int round = 0; round < 3; round++)
		for (unsigned int n = 0; n < 4; n++)
			datagram_check(fd, family, n, "to many");
	for (int i = 0; i < services; i++)
		expect_count("flows", &world->seen[i].accepted, 4);
	close(fd);
	for (int i = 0; i < services; i++)
		world->seen[i].accepted = 0;
}

static void expect_peer(int fd, unsigned int n)
{
	struct sockaddr_storage peer, wanted;
	socklen_t length = sizeof(peer);

	EXPECT(!getpeername(fd, (void *)&peer, &length), "%s", strerror(errno));
	datagram_address(family, n, &wanted);
	EXPECT(same_address(&peer, &wanted));
}

static void send_and_hear(int fd, unsigned int n, const char *text)
{
	EXPECT(send(fd, text, strlen(text), 0) == (ssize_t)strlen(text), "%s", strerror(errno));
	datagram_expect(fd, family, n, text);
}

static void connected(struct world *world)
{
	struct sockaddr_storage to;
	socklen_t length = datagram_address(family, 0, &to);
	struct sockaddr unspecified = { .sa_family = AF_UNSPEC };
	int fd = datagram_socket(family);

	EXPECT(!connect(fd, (void *)&to, length), "%s", strerror(errno));
	expect_peer(fd, 0);
	for (int i = 0; i < 3; i++)
		send_and_hear(fd, 0, "connected");
	for (int i = 0; i < services; i++)
		expect_count("flows", &world->seen[i].accepted, 1);

	/* To another one meanwhile: sent, but a connected socket does not hear the answer. */
	length = datagram_address(family, 1, &to);
	EXPECT(sendto(fd, "aside", 5, 0, (void *)&to, length) == 5, "%s", strerror(errno));
	expect_count("aside", &world->seen[services - 1].accepted, 2);
	send_and_hear(fd, 0, "connected still");

	/* Elsewhere. */
	length = datagram_address(family, 2, &to);
	EXPECT(!connect(fd, (void *)&to, length));
	expect_peer(fd, 2);
	send_and_hear(fd, 2, "reconnected");

	/* To nobody, and then to anybody. */
	EXPECT(!connect(fd, &unspecified, sizeof(unspecified)));
	EXPECT(send(fd, "x", 1, 0) < 0 && errno == EDESTADDRREQ);
	datagram_check(fd, family, 2, "once more");
	/* Of an IPv6 socket the kernel forgets only half of the peer: it hears nobody else again. */
	if (family != V6)
		datagram_check(fd, family, 3, "after all");
	close(fd);
	for (int i = 0; i < services; i++)
		world->seen[i].accepted = 0;
}

/* Looks twice at the same datagram, and has the same peer both times. */
static void peek(void)
{
	struct sockaddr_storage to, from;
	socklen_t length = datagram_address(family, 0, &to);
	char data[64];
	int fd = datagram_socket(family);

	EXPECT(sendto(fd, "look", 4, 0, (void *)&to, length) == 4);
	datagram_wait(fd);
	length = sizeof(from);
	EXPECT(recvfrom(fd, data, sizeof(data), MSG_PEEK, (void *)&from, &length) > 0);
	EXPECT(same_address(&from, &to));
	datagram_expect(fd, family, 0, "look");
	close(fd);
}

static void many_at_once(void)
{
	struct mmsghdr out[4] = { 0 }, in[4] = { 0 };
	struct sockaddr_storage to[4], from[4];
	struct iovec out_part[4], in_part[4];
	char text[4][16], data[4][64], name[64], all[128];
	int fd = datagram_socket(family), got = 0, seen = 0;

	for (int i = 0; i < 4; i++) {
		snprintf(text[i], sizeof(text[i]), "number %d", i);
		out_part[i] = part_of(text[i]);
		in_part[i] = (struct iovec){ .iov_base = data[i], .iov_len = sizeof(data[i]) - 1 };
		out[i].msg_hdr =
			(struct msghdr){ .msg_name = &to[i],
					 .msg_namelen = datagram_address(family, i, &to[i]),
					 .msg_iov = &out_part[i],
					 .msg_iovlen = 1 };
		in[i].msg_hdr = (struct msghdr){ .msg_name = &from[i],
						 .msg_namelen = sizeof(from[i]),
						 .msg_iov = &in_part[i],
						 .msg_iovlen = 1 };
	}
	EXPECT(sendmmsg(fd, out, 4, 0) == 4, "%s", strerror(errno));
	while (got < 4) {
		int some;

		datagram_wait(fd);
		some = recvmmsg(fd, in + got, 4 - got, MSG_DONTWAIT, NULL);
		EXPECT(some > 0, "%s", strerror(errno));
		got += some;
	}
	for (int i = 0; i < 4; i++) {
		data[i][in[i].msg_len] = '\0';
		for (int n = 0; n < 4; n++) {
			datagram_name(family, n, name);
			snprintf(all, sizeof(all), "%s|%s", name, text[n]);
			if (!strcmp(all, data[i])) {
				EXPECT(same_address(&from[i], &to[n]));
				seen |= 1 << n;
			}
		}
	}
	EXPECT(seen == 15, "%x", seen);
	close(fd);
}

/* One socket of both families. */
static void both_families(void)
{
	int fd = datagram_socket(V6);

	datagram_check(fd, V6, 0, "six");
	datagram_check(fd, MAPPED, 0, "four");
	datagram_check(fd, V6, 1, "six");
	datagram_check(fd, MAPPED, 1, "four");
	close(fd);
}

static void expect_records(struct world *world)
{
	for (int i = 0; i < services; i++) {
		struct seen *seen = &world->seen[i];
		struct waybill_records records;
		struct sockaddr_storage to;
		char context[8];

		EXPECT(!waybill_records_decode(seen->records, seen->records_size, &records));
		EXPECT(records.hop_count == (uint32_t)i + 1, "%u hops", records.hop_count);
		for (int j = 0; j <= i; j++)
			EXPECT(records.hops[j].service ==
			       waybill_service_id((char[]){ 'a' + j, 0 }));
		EXPECT(records.hops[0].client.pid == (uint32_t)getpid());
		EXPECT(seen->info.hop_count == (uint32_t)i + 1);
		EXPECT(seen->info.state == WAYBILL_REDIRECTED_BY_SELF);
		EXPECT(seen->info.originator.pid == (uint32_t)getpid());
		EXPECT(seen->info.records_size == seen->records_size);
		snprintf(context, sizeof(context), "for %c", 'a' + i);
		EXPECT(seen->context_size == 5 && !memcmp(seen->context, context, 5));
		datagram_address(family == MAPPED ? V4 : family, 0, &to);
		EXPECT(same_address(&seen->original, &to));
		EXPECT(!seen->failed, "%d failed: %s", seen->failed, strerror(seen->last_error));
		EXPECT(!seen->direct);
	}
}

int main(int argc, char **argv)
{
	struct world world;
	int fd;

	family = family_of(argv[1]);
	services = strlen(argv[2]);
	world_begin(&world, "datagram_chain");
	world.by_user = argc > 3;
	world_up(&world);
	datagram_server(&world);
	datagram_policy(&world, services, NULL);
	for (int i = 0; i < services; i++)
		datagram_service(&world, i,
				 argv[2][i] == 'm' ? DATAGRAMS_MESSAGES :
				 argv[2][i] == 'f' ? DATAGRAMS_FORGETS :
						     DATAGRAMS_RECORDS);
	fd = datagram_socket(family);
	datagram_check(fd, family, 0, "first");
	if (!strchr(argv[2], 'f'))
		expect_records(&world);
	for (int i = 0; i < services; i++)
		world.seen[i].accepted = 0;
	close(fd);
	unconnected(&world);
	connected(&world);
	peek();
	many_at_once();
	if (family != V4)
		both_families();
	for (int i = 0; i < services; i++)
		EXPECT(!world.seen[i].failed && !world.seen[i].direct, "%d, %d",
		       world.seen[i].failed, world.seen[i].direct);
	EXPECT(!counter(&world, COUNT_HOP_LIMIT));
	EXPECT(!!counter(&world, COUNT_NO_RECORDS) == !!strchr(argv[2], 'f'));
	world_end(&world);
}
