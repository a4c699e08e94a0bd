// SPDX-License-Identifier: BSD-2-Clause
/*
 * chain FAMILY SERVICES [user]: a connection goes through so many services, each once, in order
 * of weight, with records that name all before, and then to the server; nobody configured an
 * exclusion, and every service's filter matches every other's traffic.
 */
#include "world.h"

int main(int argc, char **argv)
{
	enum family family = argc > 1 && !strcmp(argv[1], "v6")     ? V6 :
			     argc > 1 && !strcmp(argv[1], "mapped") ? MAPPED :
								      V4;
	int services = argc > 2 ? atoi(argv[2]) : 2, connection;
	struct sockaddr_storage asked, name;
	socklen_t length = sizeof(name);
	struct waybill_records records;
	struct world world;

	world_begin(&world, "chain");
	world.by_user = argc > 3;
	world_up(&world);
	world_server(&world);
	for (int i = 0; i < services; i++)
		world_service(&world, i, SERVICE_RECORDS);
	world_policy(&world, services, NULL);

	connection = connect_to(family, SERVER_PORT);
	EXPECT(connection >= 0, "%s", strerror(-connection));
	echo_check(connection, "through all of them\n");
	expect_count("server", &SERVER_SEEN(&world)->accepted, 1);

	/* The application believes that it talks to the server. */
	EXPECT(!getpeername(connection, (void *)&name, &length));
	EXPECT(length == address_of(family, SERVER_PORT, &asked) && !memcmp(&name, &asked, length));

	for (int i = 0; i < services; i++) {
		struct seen *seen = &world.seen[i];
		char context[8];

		expect_count("service", &seen->accepted, 1);
		EXPECT(seen->info.size == sizeof(seen->info));
		EXPECT(seen->info.state == WAYBILL_REDIRECTED_BY_SELF);
		EXPECT((int)seen->info.hop_count == i + 1);
		EXPECT(seen->info.originator.pid == (uint32_t)getpid());
		EXPECT((int)seen->info.client.pid == (i ? world.service[i - 1] : getpid()));
		snprintf(context, sizeof(context), "for %c", 'a' + i);
		EXPECT(seen->context_size == 5 && !memcmp(seen->context, context, 5));
		EXPECT(seen->info.context_size == 5);
		EXPECT(seen->info.records_size == seen->records_size);
		EXPECT(!waybill_records_decode(seen->records, seen->records_size, &records));
		EXPECT((int)records.hop_count == i + 1);
		for (int hop = 0; hop <= i; hop++) {
			char service[2] = { 'a' + hop };

			EXPECT(records.hops[hop].service == waybill_service_id(service));
			EXPECT(ntohs(records.hops[hop].destination.port) == SERVER_PORT);
			EXPECT(records.hops[hop].destination.family ==
			       (family == V6 ? AF_INET6 : AF_INET));
		}
		EXPECT(!memcmp(&seen->original, &asked, family == MAPPED ? 0 : length));
		EXPECT(family != MAPPED || seen->original.ss_family == AF_INET);
	}
	world_end(&world);
}
