// SPDX-License-Identifier: BSD-2-Clause
/*
 * forgets_records KINDS [user]: a chain in which services carry the records on (r) or forget them
 * (f), in every order: "rf", "fr", "ff", "frf" ... No loop, each service once, the server once,
 * in every family; services that forget are counted.
 */
#include "world.h"

int main(int argc, char **argv)
{
	const char *kinds = argc > 1 ? argv[1] : "fr";
	int services = strlen(kinds), forgetful = 0;
	struct world world;

	world_begin(&world, "forgets_records");
	world.by_user = argc > 2;
	world_up(&world);
	world_server(&world);
	for (int i = 0; i < services; i++) {
		world_service(&world, i, kinds[i] == 'f' ? SERVICE_FORGETS : SERVICE_RECORDS);
		forgetful += kinds[i] == 'f';
	}
	world_policy(&world, services, NULL);
	for (int round = 1; round <= 2 * FAMILIES; round++) {
		enum family family = round % FAMILIES;
		int descriptor = connect_to(family, SERVER_PORT);

		EXPECT(descriptor >= 0, "%s", strerror(-descriptor));
		echo_check(descriptor, "once each\n");
		close(descriptor);
		expect_count("server", &SERVER_SEEN(&world)->accepted, round);
		for (int i = 0; i < services; i++)
			expect_count("service", &world.seen[i].accepted, round);
	}
	EXPECT(counter(&world, COUNT_REDIRECTED) == (uint64_t)services * 2 * FAMILIES);
	EXPECT(counter(&world, COUNT_NO_RECORDS) == (uint64_t)forgetful * 2 * FAMILIES);
	for (int i = 0; i < services; i++) {
		struct service_counters counters;
		char name[2] = { 'a' + i };

		EXPECT(!instance_service_counters(world.instance, policy_service_id(name),
						  &counters));
		EXPECT(counters.no_records == (kinds[i] == 'f' ? 2 * FAMILIES : 0));
		EXPECT(counters.redirected == 2 * FAMILIES);
	}
	world_end(&world);
}
