// SPDX-License-Identifier: BSD-2-Clause
/*
 * Names are resolved through two services: by dig, and by glibc's own resolver.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <sched.h>
#include <sys/mount.h>

#include "datagram_tools.h"

/* Answers every question for an address: 192.0.2.N, N being the length of the first label. */
static void name_server(struct seen *seen)
{
	static const unsigned char four[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2 };
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(53) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned char packet[1500];
	struct sockaddr_storage from;

	inet_pton(AF_INET, SERVER4, &at.sin_addr);
	EXPECT(!bind(fd, (void *)&at, sizeof(at)));
	seen->ready = 1;
	for (;;) {
		socklen_t length = sizeof(from);
		ssize_t size = recvfrom(fd, packet, 512, 0, (void *)&from, &length), end = 12;

		if (size < 17)
			continue;
		seen->accepted++;
		while (packet[end] && end < size - 5)
			end += packet[end] + 1;
		end += 5;
		packet[2] = 0x81;
		packet[3] = 0x80;
		memset(packet + 6, 0, 6);
		if (packet[end - 3] == 1) { /* A; of all else there is none */
			packet[7] = 1;
			memcpy(packet + end, four, sizeof(four));
			packet[end + sizeof(four)] = packet[12];
			end += sizeof(four) + 1;
		}
		sendto(fd, packet, end, 0, (void *)&from, length);
	}
}

static int resolve(void *unused)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found;
	FILE *file = fopen("/tmp/resolv.conf", "w");
	char text[64];

	(void)unused;
	EXPECT(file && fputs("nameserver " SERVER4 "\noptions timeout:2 attempts:1\n", file) > 0);
	EXPECT(!fclose(file));
	EXPECT(!mount("/tmp/resolv.conf", "/etc/resolv.conf", NULL, MS_BIND, NULL), "%s",
	       strerror(errno));
	for (int i = 0; i < 3; i++) {
		int error = getaddrinfo("waybill.example", "80", &hints, &found);

		EXPECT(!error, "%s", gai_strerror(error));
		inet_ntop(AF_INET, &((struct sockaddr_in *)found->ai_addr)->sin_addr, text,
			  sizeof(text));
		EXPECT(!strcmp(text, "192.0.2.7"), "%s", text);
		freeaddrinfo(found);
	}
	return 0;
}

int main(void)
{
	struct world world;
	char answer[128] = "";
	FILE *dig;

	world_begin(&world, "datagram_dns");
	/* A /tmp and an /etc/resolv.conf of our own. */
	EXPECT(!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	EXPECT(!mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
	world_up(&world);
	if (world_server_fork(&world))
		name_server(SERVER_SEEN(&world));
	expect_count("name server", &SERVER_SEEN(&world)->ready, 1);
	EXPECT(!world_apply(&world,
			    "version: 1\nservices:\n"
			    "- { name: a, weight: 2, endpoint: { udp: 9001 }, identity: { cgroup: "
			    "%C/s0 } }\n"
			    "- { name: b, weight: 1, endpoint: { udp: 9002 }, identity: { cgroup: "
			    "%C/s1 } }\n"
			    "filters:\n"
			    "- { name: dns, service: a, action: redirect, match: { protocol: udp, "
			    "remote_port: 53 } }\n"
			    "- { name: dns, service: b, action: redirect, match: { protocol: udp, "
			    "remote_port: 53 } }\n"));
	datagram_service(&world, 0, DATAGRAMS_RECORDS);
	datagram_service(&world, 1, DATAGRAMS_MESSAGES);
	EXPECT(!resolve(NULL));
	EXPECT(world.seen[0].accepted >= 3 && world.seen[1].accepted == world.seen[0].accepted);
	EXPECT(!world.seen[0].failed && !world.seen[1].failed);
	if (system("command -v dig >/dev/null"))
		world_skip("needs dig");
	dig = popen("dig +short +time=2 +tries=1 @" SERVER4 " dig.example A", "r");
	EXPECT(dig && fgets(answer, sizeof(answer), dig));
	EXPECT(!pclose(dig));
	EXPECT(!strcmp(answer, "192.0.2.3\n"), "\"%s\"", answer);
	world_end(&world);
}
