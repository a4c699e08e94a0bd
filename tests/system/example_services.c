// SPDX-License-Identifier: BSD-2-Clause
/*
 * example_services FIRST SECOND [v6|mapped]: the example services (c: $WAYBILL_MINIMAL_SERVICE,
 * python: $WAYBILL_SERVICE_PY) in a chain, as two unprivileged users. Each sees the connection
 * once, bytes arrive whole in both directions, and a half-close passes through as one.
 */
#include "records_tools.h"

#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>

static void start_service(struct world *world, int i, const char *kind, enum family family)
{
	bool python = !strcmp(kind, "python");
	const char *name = python ? "WAYBILL_SERVICE_PY" : "WAYBILL_MINIMAL_SERVICE";
	const char *program = getenv(name);
	char where[32];
	pid_t parent = getpid();

	if (!program || access(program, R_OK)) {
		fprintf(stderr, "%s does not name the example\n", name);
		exit(1);
	}
	snprintf(where, sizeof(where), family == V6 ? "[::1]:%d" : "127.0.0.1:%d", SERVICE_PORT(i));
	world->service[i] = fork();
	EXPECT(world->service[i] >= 0);
	if (!world->service[i]) {
		as_service(world, i);
		/* For good, unlike the test itself. */
		EXPECT(!setresuid(0, 0, 0) && !setgroups(0, NULL));
		EXPECT(!setresgid(SERVICE_UID(i), SERVICE_UID(i), SERVICE_UID(i)));
		EXPECT(!setresuid(SERVICE_UID(i), SERVICE_UID(i), SERVICE_UID(i)));
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		alarm(0);
		signal(SIGPIPE, SIG_DFL);
		if (python)
			execlp("python3", "python3", program, where, NULL);
		else
			execl(program, program, where, NULL);
		perror(program);
		_exit(1);
	}
	for (int try = 0; try < 1000; try++) {
		if (listened(family, SERVICE_PORT(i)))
			return;
		usleep(10000);
	}
	EXPECT(false, "%s does not listen", program);
}

int main(int argc, char **argv)
{
	enum family family = argc > 3 && !strcmp(argv[3], "v6")     ? V6 :
			     argc > 3 && !strcmp(argv[3], "mapped") ? MAPPED :
								      V4;
	struct service_counters counters;
	struct sockaddr_storage address;
	int listener, client, server;
	struct world world;
	socklen_t length;

	if (argc < 3) {
		fprintf(stderr, "usage: example_services c|python c|python [v6|mapped]\n");
		return 1;
	}
	world_begin(&world, "example_services");
	world.by_user = true;
	world_up(&world);
	world_policy(&world, 2, NULL);
	for (int i = 0; i < 2; i++)
		start_service(&world, i, argv[1 + i], family);
	as_root(&world);
	listener = server_listener(family == V6 ? V6 : V4, SERVER_PORT);

	for (int round = 1; round <= 3; round++) {
		as_application(&world);
		client = socket_of(family, 0);
		EXPECT_RESULT(connect_socket(client, family, SERVER_PORT), 0);
		as_root(&world);
		server = accept_from(listener);
		converse(client, server, true);
		close(client);
		close(server);
		for (int i = 0; i < 2; i++) {
			char service[2] = { 'a' + i };

			EXPECT(!instance_service_counters(world.instance,
							  waybill_service_id(service), &counters));
			EXPECT((int)counters.redirected == round, "service %d", i);
			EXPECT(counters.no_records == 0);
		}
		EXPECT((int)counter(&world, COUNT_RECORDS_SET) == 2 * round);
	}
	EXPECT(counter(&world, COUNT_RECORDS_BAD) + counter(&world, COUNT_RECORDS_FOREIGN) == 0);
	/* Dialled directly, both refuse: a reset and no bytes. */
	for (int i = 0; i < 2; i++) {
		as_application(&world);
		client = socket_of(family == V6 ? V6 : V4, 0);
		length = address_of(family == V6 ? V6 : V4, SERVICE_PORT(i), &address);
		if (family == V6)
			((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
		else
			((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		EXPECT(!connect(client, (void *)&address, length));
		EXPECT(recv(client, &(char[1]){}, 1, 0) <= 0);
		close(client);
	}
	as_root(&world);
	world_end(&world);
}
