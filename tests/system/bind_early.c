// SPDX-License-Identifier: BSD-2-Clause
/*
 * bind_early: listeners older than `up`. The service's is recognised, on either family. Another's on
 * the port of a service is not, whatever it is bound to and whoever holds it: the service is down,
 * and he gets nothing. Nobody can take his place: binding is refused with EACCES, and counted.
 */
#include "records_tools.h"

#include <arpa/inet.h>
#include <poll.h>

static struct world world;

static int bind_to(enum family family, const char *text, uint16_t port)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int descriptor = socket_of(family, 0), one = 1, error;

	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	EXPECT(inet_pton(family == V4 ? AF_INET : AF_INET6, text,
			 family == V4 ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr) == 1);
	if (!(family == V4 ? bind(descriptor, (void *)&v4, sizeof(v4)) :
			     bind(descriptor, (void *)&v6, sizeof(v6))) &&
	    !listen(descriptor, 16))
		return descriptor;
	error = -errno;
	close(descriptor);
	return error;
}

int main(void)
{
	/* Where somebody else listens: at the endpoint itself, and so that he covers it. */
	static const struct {
		enum family family;
		const char *address;
	} places[] = { { V4, "127.0.0.1" }, { V4, "0.0.0.0" }, { V6, "::" }, { V6, "::1" } };
	const size_t count = sizeof(places) / sizeof(*places);
	int own[2], stranger;
	uint64_t down = 0;
	struct leg leg;

	world_begin(&world, "bind_early");
	own[V4] = listener_of(&world, 0, V4, false);
	own[V6] = listener_of(&world, 0, V6, false);
	as_application(&world);
	stranger = bind_to(V4, "127.0.0.1", SERVICE_PORT(1));
	EXPECT(stranger >= 0);
	as_root(&world);
	world_up(&world);
	world_policy(&world, 2, NULL);
	for (enum family family = V4; family <= V6; family++) {
		redirect_application(&world, 0, own[family], family, &leg);
		EXPECT_RESULT(state_of(leg.accepted), WAYBILL_REDIRECTED_BY_SELF);
		close(leg.client);
		/* On the way to b, whose port somebody else has. */
		leg.client = onward_of(&world, 0, leg.accepted);
		EXPECT_RESULT(connect_socket(leg.client, family, SERVER_PORT), -ECONNREFUSED);
		EXPECT(counted(&world, COUNT_DOWN_BLOCKED) == ++down);
		close(leg.client);
		close(leg.accepted);
		close(own[family]);
	}
	close(stranger);

	for (size_t i = 0; i < count; i++) {
		struct pollfd wait = { .events = POLLIN };

		as_root(&world);
		EXPECT(!world_apply(&world, "version: 1\nservices: []\nfilters: []\n"));
		as_application(&world);
		wait.fd = bind_to(places[i].family, places[i].address, SERVICE_PORT(0));
		EXPECT(wait.fd >= 0, "%s: %s", places[i].address, result_name(wait.fd));
		as_root(&world);
		world_policy(&world, 1, NULL);
		as_application(&world);
		for (enum family family = V4; family < FAMILIES; family++)
			EXPECT_RESULT(connect_to(family, SERVER_PORT), -ECONNREFUSED);
		EXPECT(poll(&wait, 1, 0) == 0, "%s has got something", places[i].address);
		close(wait.fd);
		EXPECT_RESULT(bind_to(places[i].family, places[i].address, SERVICE_PORT(0)),
			      -EACCES);
		EXPECT(counted(&world, COUNT_BIND_REFUSED) == i + 1);
	}
	as_root(&world);
	world_end(&world);
}
