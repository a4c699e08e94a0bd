// SPDX-License-Identifier: BSD-2-Clause
/*
 * unheard: a connection to a loopback address where nobody listens is refused at once, though it
 * would be redirected, so that a client that tries ::1 first goes on to 127.0.0.1; unless the policy
 * says that something else answers there. One to elsewhere is redirected whoever listens.
 */
#include <arpa/inet.h>

#include "records_tools.h"

#define PORT 8085

static const char rest[] = WORLD_TWO_SERVICES
	"filters:\n"
	"  - { name: a, service: a, action: redirect, match: { remote_port: 8085 } }\n";

static struct world world;

static void apply(const char *unheard)
{
	char text[1024];

	snprintf(text, sizeof(text), "limits: { unheard: %s }\n%s", unheard, rest);
	as_root(&world);
	EXPECT(!world_apply(&world, text));
	as_application(&world);
}

static int connect_loopback(int family, const char *text)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int descriptor = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error;

	if (family == AF_INET) {
		inet_pton(AF_INET, text, &four.sin_addr);
		error = connect(descriptor, (void *)&four, sizeof(four)) ? -errno : 0;
	} else {
		inet_pton(AF_INET6, text, &six.sin6_addr);
		error = connect(descriptor, (void *)&six, sizeof(six)) ? -errno : 0;
	}
	close(descriptor);
	return error == -EINPROGRESS ? 0 : error;
}

int main(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	uint64_t redirected;
	int server;

	world_begin(&world, "unheard");
	world_up(&world);
	apply("refuse");
	listener_of(&world, 0, V4, false);
	listener_of(&world, 0, V6, false);
	as_root(&world);
	server = socket_of(V4, 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT(!bind(server, (void *)&at, sizeof(at)) && !listen(server, 16));
	as_application(&world);

	EXPECT_RESULT(connect_loopback(AF_INET6, "::1"), -ECONNREFUSED);
	EXPECT_RESULT(connect_loopback(AF_INET, "127.0.0.2"), -ECONNREFUSED);
	EXPECT_RESULT(connect_loopback(AF_INET6, "::ffff:127.0.0.2"), -ECONNREFUSED);
	/* The unspecified address is this host's. */
	EXPECT_RESULT(connect_loopback(AF_INET6, "::"), -ECONNREFUSED);
	EXPECT(counted(&world, COUNT_UNHEARD) == 4 && counted(&world, COUNT_REDIRECTED) == 0);
	EXPECT_RESULT(connect_loopback(AF_INET, "127.0.0.1"), 0);
	EXPECT_RESULT(connect_loopback(AF_INET6, "::ffff:127.0.0.1"), 0);
	EXPECT_RESULT(connect_loopback(AF_INET, "0.0.0.0"), 0);
	EXPECT_RESULT(connect_loopback(AF_INET, "192.0.2.1"), 0);
	EXPECT_RESULT(connect_loopback(AF_INET6, "2001:db8::1"), 0);
	EXPECT(counted(&world, COUNT_UNHEARD) == 4 && counted(&world, COUNT_REDIRECTED) == 5);

	apply("redirect");
	redirected = counted(&world, COUNT_REDIRECTED);
	EXPECT_RESULT(connect_loopback(AF_INET6, "::1"), 0);
	EXPECT_RESULT(connect_loopback(AF_INET, "127.0.0.2"), 0);
	EXPECT(counted(&world, COUNT_REDIRECTED) == redirected + 2);
	EXPECT(counted(&world, COUNT_UNHEARD) == 4);
	as_root(&world);
	world_end(&world);
}
