// SPDX-License-Identifier: BSD-2-Clause
/*
 * A connection that nobody redirected has nothing to tell, at either end: ENOENT to a service
 * that was dialled directly, on an onward socket, and on the socket that the server accepted.
 */
#include "records_tools.h"

#include <arpa/inet.h>

static void expect_none(int descriptor, int option, const char *what)
{
	unsigned char buffer[WAYBILL_RECORDS_MAX];
	socklen_t size = sizeof(buffer);
	int result = query(descriptor, option, buffer, &size);

	EXPECT(result == -ENOENT && size == sizeof(buffer), "%s, option %d: %s", what, option,
	       result_name(result));
}

static int dial_service(enum family family, int i)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(SERVICE_PORT(i)) };
	int descriptor = socket_of(V6, 0);

	inet_pton(AF_INET6, family == V6 ? "::1" : "::ffff:127.0.0.1", &v6.sin6_addr);
	EXPECT(!connect(descriptor, (void *)&v6, sizeof(v6)), "%s", strerror(errno));
	return descriptor;
}

int main(void)
{
	int client, accepted, onward, listener;
	struct world world;
	struct leg leg;

	world_begin(&world, "option_not_redirected");
	world_up(&world);
	world_server(&world);
	world_policy(&world, 1, NULL);
	for (enum family family = V4; family <= V6; family++) {
		listener = listener_of(&world, 0, family, false);
		as_application(&world);
		client = dial_service(family, 0);
		as_service(&world, 0);
		accepted = accept_from(listener);
		for (int option = 1; option <= 4; option++)
			expect_none(accepted, option, "dialled directly");
		close(client);
		close(accepted);

		/* Without records, then with records; both reach the server. */
		onward = connect_to(family, SERVER_PORT);
		EXPECT(onward >= 0, "%s", strerror(-onward));
		for (int option = 1; option <= 4; option++)
			expect_none(onward, option, "onward without records");
		close(onward);
		redirect_application(&world, 0, listener, family, &leg);
		onward = onward_of(&world, 0, leg.accepted);
		EXPECT_RESULT(connect_socket(onward, family, SERVER_PORT), 0);
		expect_none(onward, WAYBILL_REDIRECT_RECORDS, "onward");
		expect_none(onward, WAYBILL_ORIGINAL_DESTINATION, "onward");
		close(onward);
		close(leg.client);
		close(leg.accepted);
		close(listener);
	}
	as_root(&world);
	world_end(&world);
}
