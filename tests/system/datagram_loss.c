// SPDX-License-Identifier: BSD-2-Clause
/*
 * Datagrams are lost, the first of a flow among them: the first that arrives brings its records,
 * and nothing is attributed to another flow.
 */
#include <poll.h>

#include "datagram_tools.h"

#define FLOWS 60

int main(int argc, char **argv)
{
	enum family family = family_of(argv[1]);
	int fd[FLOWS], lost = 0, heard = 0;
	struct world world;
	char text[32];

	(void)argc;
	world_begin(&world, "datagram_loss");
	if (system("nft add table inet lossy 2>/dev/null"))
		world_skip("needs nft");
	/* One of four on its way to a service. */
	EXPECT(!system(
		"nft 'add chain inet lossy in { type filter hook input priority 0; }' && "
		"nft 'add rule inet lossy in udp dport 9001-9002 numgen random mod 4 == 0 drop'"));
	world_up(&world);
	datagram_server(&world);
	datagram_policy(&world, 2, NULL);
	datagram_service(&world, 0, DATAGRAMS_RECORDS);
	datagram_service(&world, 1, DATAGRAMS_MESSAGES);
	for (int n = 0; n < FLOWS; n++)
		fd[n] = datagram_socket(family);
	for (int round = 0; round < 6 || (round < 60 && world.seen[0].accepted < FLOWS); round++)
		for (int n = 0; n < FLOWS; n++) {
			struct sockaddr_storage to;
			socklen_t length = datagram_address(family, n, &to);
			struct pollfd wait = { .fd = fd[n], .events = POLLIN };

			snprintf(text, sizeof(text), "%d of %d", round, n);
			EXPECT(sendto(fd[n], text, strlen(text), 0, (void *)&to, length) > 0);
			if (poll(&wait, 1, 30) == 0) {
				lost++;
				continue;
			}
			datagram_expect(fd[n], family, n, text);
			heard++;
		}
	EXPECT(lost > 50 && heard > 50, "%d lost, %d heard", lost, heard);
	expect_count("flows", &world.seen[0].accepted, FLOWS);
	EXPECT(world.seen[1].accepted <= FLOWS && world.seen[1].accepted > FLOWS / 2);
	EXPECT(!world.seen[0].failed && !world.seen[0].direct && !world.seen[1].failed);
	world_end(&world);
}
