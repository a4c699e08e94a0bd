// SPDX-License-Identifier: BSD-2-Clause
/*
 * A thousand flows from one socket: every datagram goes to its own destination, and every reply
 * comes from there.
 */
#include "datagram_tools.h"

#define FLOWS 1000
#define AT_ONCE 50

static void round_of(int fd, enum family family, unsigned int from)
{
	char text[32], data[128], name[64], all[160];
	bool heard[AT_ONCE] = { false };
	struct sockaddr_storage to, peer;
	socklen_t length;
	ssize_t size;

	for (unsigned int n = from; n < from + AT_ONCE; n++) {
		length = datagram_address(family, n, &to);
		snprintf(text, sizeof(text), "to %u", n);
		EXPECT(sendto(fd, text, strlen(text), 0, (void *)&to, length) > 0, "%s",
		       strerror(errno));
	}
	for (int i = 0; i < AT_ONCE; i++) {
		unsigned int n;

		datagram_wait(fd);
		length = sizeof(peer);
		size = recvfrom(fd, data, sizeof(data) - 1, 0, (void *)&peer, &length);
		EXPECT(size > 0);
		data[size] = '\0';
		EXPECT(strchr(data, '|') && sscanf(strchr(data, '|'), "|to %u", &n) == 1, "%s",
		       data);
		EXPECT(n >= from && n < from + AT_ONCE && !heard[n - from], "%u", n);
		heard[n - from] = true;
		datagram_address(family, n, &to);
		EXPECT(same_address(&peer, &to), "%u", n);
		datagram_name(family, n, name);
		snprintf(all, sizeof(all), "%s|to %u", name, n);
		EXPECT(!strcmp(data, all), "\"%s\", not \"%s\"", data, all);
	}
}

int main(int argc, char **argv)
{
	enum family family = family_of(argv[1]);
	int services = strlen(argv[2]), fd;
	struct world world;

	(void)argc;
	world_begin(&world, "datagram_many");
	world_up(&world);
	datagram_server(&world);
	datagram_policy(&world, services, NULL);
	for (int i = 0; i < services; i++)
		datagram_service(&world, i,
				 argv[2][i] == 'm' ? DATAGRAMS_MESSAGES : DATAGRAMS_RECORDS);
	fd = datagram_socket(family);
	for (int round = 0; round < 2; round++)
		for (unsigned int from = 0; from < FLOWS; from += AT_ONCE)
			round_of(fd, family, from);
	for (int i = 0; i < services; i++) {
		expect_count("flows", &world.seen[i].accepted, FLOWS);
		EXPECT(!world.seen[i].failed && !world.seen[i].direct);
	}
	EXPECT(counter(&world, COUNT_FLOWS) == (uint64_t)FLOWS * services);
	EXPECT(!counter(&world, COUNT_NO_RECORDS));
	close(fd);
	world_end(&world);
}
