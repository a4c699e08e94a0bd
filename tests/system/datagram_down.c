// SPDX-License-Identifier: BSD-2-Clause
/*
 * A service that is down: its datagrams are refused or go on, as its policy says, from the first
 * after its death, those of live flows too. When it is back it is told of all of them.
 */
#include "datagram_tools.h"

static struct world world;
static enum family family;

static void expect_refused(int fd)
{
	struct sockaddr_storage to;
	socklen_t length = datagram_address(family, 0, &to);
	int fresh = datagram_socket(family);

	EXPECT(sendto(fd, "x", 1, 0, (void *)&to, length) < 0 && errno == ECONNREFUSED, "%s",
	       strerror(errno));
	EXPECT(sendto(fresh, "x", 1, 0, (void *)&to, length) < 0 && errno == ECONNREFUSED);
	EXPECT(connect(fresh, (void *)&to, length) < 0 && errno == ECONNREFUSED);
	close(fresh);
}

static void policy(const char *when_down, const char *extra)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { udp: 9001 }\n"
		 "  identity: { cgroup: %%C/s0 }\n  when_down: %s\nfilters:\n"
		 "- { name: all, service: a, action: redirect, match: { remote_port: 8080 } }\n%s",
		 when_down, extra);
	EXPECT(!world_apply(&world, text));
}

int main(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length;
	int fd, bound;

	(void)argc;
	family = family_of(argv[1]);
	world_begin(&world, "datagram_down");
	world_up(&world);
	datagram_server(&world);
	policy("block", "");
	fd = datagram_socket(family);
	expect_refused(fd);
	datagram_service(&world, 0, DATAGRAMS_RECORDS);
	datagram_check(fd, family, 0, "up");
	expect_count("flows", &world.seen[0].accepted, 1);
	world_service_end(&world, 0);
	expect_refused(fd);

	policy("pass", "");
	datagram_check(fd, family, 0, "past it");
	datagram_service(&world, 0, DATAGRAMS_RECORDS);
	datagram_check(fd, family, 0, "back");
	datagram_check(fd, family, 0, "back");
	expect_count("flows", &world.seen[0].accepted, 1);
	world_service_end(&world, 0);
	datagram_check(fd, family, 0, "past it again");

	/* A socket that is not the service's is no service. */
	policy("block", "");
	world_enter(&world, "s1");
	bound = datagram_socket(V6);
	world_enter(&world, "app");
	EXPECT(waybill_bind_datagrams(bound, SERVICE_PORT(0)) == -EACCES);
	expect_refused(fd);
	close(bound);

	/* A filter that blocks, and one that permits. */
	policy("block", "- { name: no, service: a, weight: 5, action: block, match: { remote_port: "
			"8080 } }\n");
	expect_refused(fd);
	policy("block", "- { name: yes, service: a, weight: 9, action: permit }\n");
	datagram_check(fd, family, 0, "permitted");

	/* A socket that does not reach loopback. */
	policy("pass", "");
	if (system("ip link add d0 type veth peer name d1 2>/dev/null && ip link set d0 up"))
		world_skip("needs veth");
	EXPECT(!setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "d0", 3));
	datagram_service(&world, 0, DATAGRAMS_RECORDS);
	policy("block", "");
	length = datagram_address(family, 0, &to);
	EXPECT(sendto(fd, "x", 1, 0, (void *)&to, length) < 0 && errno == ECONNREFUSED);
	world_end(&world);
}
