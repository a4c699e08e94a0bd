// SPDX-License-Identifier: BSD-2-Clause
/*
 * conditions: local address, group, interface and exceptions decide, for connections and for
 * datagrams, in both families; the group is the originator's also further down the chain; lists come
 * from files.
 */
#include "datagram_tools.h"

#include <arpa/inet.h>

static struct world world;

enum way { TCP, SENT, CONNECTED, WAYS }; /* the latter two are of datagrams */

struct attempt {
	enum family family;
	uint16_t port;
	const char *local;     /* bound to this address, or NULL */
	const char *interface; /* bound to this device, or NULL */
	enum way way;
};

/* 0 if the connect, or the datagram, is let go or redirected; else the errno. */
static int attempt(void *data)
{
	const struct attempt *a = data;
	int descriptor =
		socket(a->family == V4 ? AF_INET : AF_INET6, a->way ? SOCK_DGRAM : SOCK_STREAM, 0);
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct sockaddr_storage to;
	socklen_t length = address_of(a->family, a->port, &to);
	int result;

	if (a->local && a->family == V4) {
		inet_pton(AF_INET, a->local, &four.sin_addr);
		if (bind(descriptor, (void *)&four, sizeof(four)))
			return 1000 + errno;
	} else if (a->local) {
		inet_pton(AF_INET6, a->local, &six.sin6_addr);
		if (bind(descriptor, (void *)&six, sizeof(six)))
			return 1000 + errno;
	}
	if (a->interface &&
	    setsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, a->interface, strlen(a->interface)))
		return 1000 + errno;
	if (a->way == SENT)
		result = sendto(descriptor, "x", 1, 0, (void *)&to, length) == 1 ? 0 : errno;
	else
		result = connect(descriptor, (void *)&to, length) ? errno : 0;
	close(descriptor);
	return result;
}

/* world_as() gives user n the group n + 1000. */
static void expect(const char *leaf, uid_t user, struct attempt what, bool blocked, int line)
{
	for (what.way = TCP; what.way < WAYS; what.way++) {
		int got = world_as(&world, leaf, user, attempt, &what);

		EXPECT(got == (blocked ? ECONNREFUSED : 0), "line %d, way %d: %d", line, what.way,
		       got);
	}
}

#define BLOCKED(leaf, user, family, port, local, device)                                           \
	expect(leaf, user, (struct attempt){ family, port, local, device, TCP }, true, __LINE__)
#define PASSES(leaf, user, family, port, local, device)                                            \
	expect(leaf, user, (struct attempt){ family, port, local, device, TCP }, false, __LINE__)

/* Each blocks at a port of its own; LIST is the file. */
static const char *const conditions[] = {
	"match: { remote_port: 7001, local: [ 127.66.9.0/24, \"fd66:9::/64\" ] }",
	"match: { remote_port: 7002, group: 62000-62010 }",
	"match: { remote_port: 7003, interface: lo }",
	"match: { remote_port: 7004 }, except: { user: 61000 }",
	"match: { remote_port: 7005 }, except: { group: 62000 }",
	"match: { remote_port: 7006 }, except: { remote: [ 127.66.0.0/24 ] }",
	"match: { remote_port: 7007, cgroup: %C }, except: { cgroup: %C/app }",
	"match: { remote_port: 7008-7009 }, except: { remote_port: 7009 }",
	"match: { remote_port: 7010 }, except: { protocol: tcp }",
	"match: { remote_port: 7011, remote_file: LIST }",
	"match: { remote_port: 7012 }, except: { remote_file: LIST }",
	"match: { remote_port: 7013, local: 0.0.0.0 }",
	"match: { remote_port: 7014, local: \"::\" }",
};

static void policy_write(const char *list)
{
	char text[8192], *place;
	int length =
		snprintf(text, sizeof(text),
			 "version: 1\nservices:\n  - { name: a, weight: 2, endpoint: { tcp: 9001, "
			 "udp: 9001 }, identity: { cgroup: %%C/s0 } }\nfilters:\n");

	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		place = strstr(conditions[i], "LIST");
		length +=
			snprintf(text + length, sizeof(text) - length,
				 "  - { name: f%zu, service: a, action: block, %.*s%s%s }\n", i,
				 place ? (int)(place - conditions[i]) : (int)strlen(conditions[i]),
				 conditions[i], place ? list : "", place ? " }" : "");
	}
	EXPECT(!world_apply(&world, text));
}

static void list_write(char *path, size_t size, const char *text)
{
	FILE *file;

	snprintf(path, size, "/tmp/waybill-list-%d", getpid());
	file = fopen(path, "we");
	EXPECT(file && fputs(text, file) >= 0 && !fclose(file));
}

int main(void)
{
	char list[64];

	world_begin(&world, "conditions");
	world_up(&world);
	servers_listen(7001, 7014);
	list_write(
		list, sizeof(list),
		"# published by somebody\n\n127.66.0.0/24   # the server\n fd66::/64 ; and here\n");
	policy_write(list);
	EXPECT(!unlink(list));
	EXPECT(!system("ip address add fd66:9::1/128 dev lo nodad"));
	BLOCKED("app", 0, V4, 7001, "127.66.9.1", NULL);
	PASSES("app", 0, V4, 7001, "127.66.8.1", NULL);
	PASSES("app", 0, V4, 7001, NULL, NULL);
	BLOCKED("app", 0, V6, 7001, "fd66:9::1", NULL);
	PASSES("app", 0, V6, 7001, NULL, NULL);
	for (enum family family = V4; family <= V6; family++) {
		BLOCKED("app", 61000, family, 7002, NULL, NULL);
		BLOCKED("app", 61010, family, 7002, NULL, NULL);
		PASSES("app", 61011, family, 7002, NULL, NULL);
		PASSES("app", 62000, family, 7002, NULL, NULL);
		BLOCKED("app", 0, family, 7003, NULL, "lo");
		PASSES("app", 0, family, 7003, NULL, NULL);
		PASSES("app", 61000, family, 7004, NULL, NULL);
		BLOCKED("app", 61001, family, 7004, NULL, NULL);
		PASSES("app", 61000, family, 7005, NULL, NULL);
		BLOCKED("app", 61001, family, 7005, NULL, NULL);
		PASSES("app", 0, family, 7007, NULL, NULL);
		BLOCKED("other", 0, family, 7007, NULL, NULL);
		BLOCKED("app", 0, family, 7008, NULL, NULL);
		PASSES("app", 0, family, 7009, NULL, NULL);
		BLOCKED("app", 0, family, 7011, NULL, NULL);
		PASSES("app", 0, family, 7012, NULL, NULL);
	}
	/* Bound to nothing, in the family in which it goes. */
	BLOCKED("app", 0, V4, 7013, NULL, NULL);
	BLOCKED("app", 0, MAPPED, 7013, NULL, NULL);
	PASSES("app", 0, V6, 7013, NULL, NULL);
	PASSES("app", 0, MAPPED, 7013, "::ffff:127.66.9.1", NULL);
	BLOCKED("app", 0, V6, 7014, NULL, NULL);
	PASSES("app", 0, V4, 7014, NULL, NULL);
	PASSES("app", 0, MAPPED, 7014, NULL, NULL);
	PASSES("app", 0, V4, 7006, NULL, NULL);
	BLOCKED("app", 0, V6, 7006, NULL, NULL);
	/* The exception is TCP's. */
	{
		struct attempt what = { .family = V4, .port = 7010 };

		EXPECT(world_as(&world, "app", 0, attempt, &what) == 0);
		what.way = SENT;
		EXPECT(world_as(&world, "app", 0, attempt, &what) == ECONNREFUSED);
	}
	/* b asks for the group of whoever began the chain; a, in between, has another one. */
	world_server(&world);
	world_service(&world, 0, SERVICE_RECORDS);
	world_service(&world, 1, SERVICE_RECORDS);
	EXPECT(!world_apply(
		&world, WORLD_TWO_SERVICES
		"filters:\n"
		"  - { name: all, service: a, match: { remote_port: 8080 }, action: redirect }\n"
		"  - { name: group, service: b, match: { remote_port: 8080, group: 62000 }, action: redirect }\n"));
	{
		struct attempt what = { .family = V4, .port = SERVER_PORT };

		EXPECT(world_as(&world, "app", 61000, attempt, &what) == 0);
		expect_count("service b", &world.seen[1].accepted, 1);
		EXPECT(world_as(&world, "app", 61001, attempt, &what) == 0);
		expect_count("service a", &world.seen[0].accepted, 2);
		usleep(100000);
		EXPECT(world.seen[1].accepted == 1);
	}
	world_end(&world);
}
