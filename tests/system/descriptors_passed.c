// SPDX-License-Identifier: BSD-2-Clause
/*
 * descriptors_passed [user]: sockets of a service in the hands of an application, which was passed
 * them (SCM_RIGHTS) or has inherited them, as the child of a service has that became somebody else.
 * What it connects is redirected as its own: an onward socket that bears records, TCP or UDP, is
 * worth them to their service alone, and a socket of its own on which a friend set some is worth
 * nothing. With a listener it gets what the service gave it, but no use of the records. A listener
 * that it passes to the service is none of the service's. "user": services are told by user.
 */
#include "records_tools.h"

#include <sys/wait.h>

static struct world world;

/* Runs in the application. 0 or an errno. */
static int connect_on(int descriptor, void *unused)
{
	return -connect_socket(descriptor, V4, SERVER_PORT);
}

/* Something came to the service that begins a chain of its own, by the application. */
static void expect_from_application(int listener)
{
	struct waybill_info info;
	int accepted;

	as_service(&world, 0);
	accepted = accept_from(listener);
	EXPECT_RESULT(waybill_info_query(accepted, &info), 0);
	EXPECT(info.hop_count == 1, "%u hops", info.hop_count);
	EXPECT(info.originator.uid == APPLICATION_UID, "user %u", info.originator.uid);
	close(accepted);
}

static void onward_socket(int listener, bool handed)
{
	uint64_t foreign = counted(&world, COUNT_RECORDS_FOREIGN);
	struct leg leg;
	int onward;

	redirect_application(&world, 0, listener, V4, &leg);
	onward = onward_of(&world, 0, leg.accepted);
	EXPECT(as_stranger(&world, onward, handed, connect_on, NULL) == 0);
	expect_from_application(listener);
	EXPECT(counted(&world, COUNT_RECORDS_FOREIGN) == foreign + 1);
	close(onward);
	close(leg.client);
	close(leg.accepted);
}

/* A child that stays the service may use them: servers do that. */
static void onward_socket_of_child(int listener)
{
	uint64_t redirected;
	struct leg leg;
	int onward, status;
	pid_t child;

	redirect_application(&world, 0, listener, V4, &leg);
	onward = onward_of(&world, 0, leg.accepted);
	redirected = counted(&world, COUNT_REDIRECTED);
	child = fork();
	if (!child)
		_exit(connect_on(onward, NULL));
	EXPECT(waitpid(child, &status, 0) == child && !status);
	EXPECT(counted(&world, COUNT_REDIRECTED) == redirected);
	echo_check(onward, "by the child\n");
	close(onward);
	close(leg.client);
	close(leg.accepted);
}

/* The friend is the service, and sets its records on the application's socket. */
static void socket_of_application(int listener)
{
	unsigned char records[WAYBILL_RECORDS_MAX];
	struct leg leg, own;
	size_t size;
	int error;

	redirect_application(&world, 0, listener, V4, &leg);
	size = records_of(leg.accepted, records);
	as_application(&world);
	own.client = socket_of(V4, 0);
	as_service(&world, 0);
	error = set_records(own.client, records, size);
	/* Where the application is, nothing answers to options, unless services are told by user. */
	if (world.by_user)
		EXPECT_RESULT(error, 0);
	else
		EXPECT(error == -EOPNOTSUPP || error == -ENOPROTOOPT, "%s", result_name(error));
	as_application(&world);
	EXPECT_RESULT(connect_socket(own.client, V4, SERVER_PORT), 0);
	expect_from_application(listener);
	close(own.client);
	close(leg.client);
	close(leg.accepted);
}

/* Runs in the application: it accepts what the service would have, and tries to use it. */
static int accept_on(int listener, void *unused)
{
	unsigned char records[WAYBILL_RECORDS_MAX];
	int accepted = accept_from(listener), own = socket_of(V4, 0), error;

	EXPECT_RESULT(state_of(accepted), WAYBILL_REDIRECTED_BY_SELF);
	error = set_records(own, records, records_of(accepted, records));
	EXPECT(error == -EACCES || error == -EOPNOTSUPP || error == -ENOPROTOOPT, "%s",
	       result_name(error));
	return connect_on(own, NULL);
}

static void listener_of_service(int listener, bool handed)
{
	int client;

	as_application(&world);
	client = connect_to(V4, SERVER_PORT);
	EXPECT(client >= 0);
	as_service(&world, 0);
	EXPECT(as_stranger(&world, listener, handed, accept_on, NULL) == 0);
	expect_from_application(listener);
	close(client);
}

static void datagram_socket(int listener)
{
	uint64_t foreign = counted(&world, COUNT_RECORDS_FOREIGN);
	uint64_t flows = counted(&world, COUNT_FLOWS);
	unsigned char records[WAYBILL_RECORDS_MAX];
	int receiver, onward;
	struct leg leg;
	size_t size;

	redirect_application(&world, 0, listener, V4, &leg);
	receiver = socket(AF_INET, SOCK_DGRAM, 0);
	EXPECT_RESULT(waybill_bind_datagrams(receiver, SERVICE_PORT(0)), 0);
	size = records_of(leg.accepted, records);
	for (int stranger = 0; stranger < 2; stranger++) {
		onward = socket(AF_INET, SOCK_DGRAM, 0);
		EXPECT_RESULT(set_records(onward, records, size), 0);
		EXPECT(!(stranger ? as_stranger(&world, onward, true, connect_on, NULL) :
				    connect_on(onward, NULL)));
		EXPECT(counted(&world, COUNT_FLOWS) == flows + stranger);
		EXPECT(counted(&world, COUNT_RECORDS_FOREIGN) == foreign + stranger);
		close(onward);
	}
	close(receiver);
	close(leg.client);
	close(leg.accepted);
}

/* The maker counts, not the holder. */
static void listener_of_application(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	int descriptor, one = 1;

	as_root(&world);
	EXPECT(!world_apply(&world, "version: 1\nservices: []\nfilters: []\n"));
	as_application(&world);
	descriptor = socket_of(V4, 0);
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT(!bind(descriptor, (void *)&address, sizeof(address)) && !listen(descriptor, 8));
	as_root(&world);
	world_policy(&world, 1, NULL);
	/* It is the service's now, as far as descriptors go. */
	as_service(&world, 0);
	EXPECT(!listen(descriptor, 8));
	as_application(&world);
	EXPECT_RESULT(connect_to(V4, SERVER_PORT), -ECONNREFUSED);
	close(descriptor);
}

static void policy(void)
{
	char text[512];

	snprintf(
		text, sizeof(text),
		"version: 1\nservices:\n"
		"  - { name: a, weight: 1, endpoint: { tcp: 9001, udp: 9001 }, identity: { %s } }\n"
		"filters:\n"
		"  - { name: all, service: a, match: { remote_port: 8080 }, action: redirect }\n",
		world.by_user ? "user: 60001" : "cgroup: %C/s0");
	EXPECT(!world_apply(&world, text));
}

/* Its records hold for nobody any more, and spare nobody a service that is there. */
static void records_of_one_who_left(int listener)
{
	char text[512];
	int left, onward;
	struct leg leg;

	as_root(&world);
	snprintf(text, sizeof(text),
		 "version: 1\nservices:\n"
		 "  - { name: b, weight: 1, endpoint: { tcp: 9002 }, identity: { %s } }\n"
		 "filters:\n"
		 "  - { name: all, service: b, match: { remote_port: 8080 }, action: redirect }\n",
		 world.by_user ? "user: 60002" : "cgroup: %C/s1");
	EXPECT(!world_apply(&world, text));
	left = listener_of(&world, 1, V4, false);
	redirect_application(&world, 1, left, V4, &leg);
	onward = onward_of(&world, 1, leg.accepted);
	as_root(&world);
	policy();
	EXPECT(as_stranger(&world, onward, true, connect_on, NULL) == 0);
	expect_from_application(listener);
	close(onward);
	close(leg.client);
	close(leg.accepted);
	close(left);
}

int main(int argc, char **argv)
{
	int listener;

	world_begin(&world, "descriptors_passed");
	world.by_user = argc > 1 && !strcmp(argv[1], "user");
	world_up(&world);
	world_server(&world);
	policy();
	listener = listener_of(&world, 0, V4, false);
	for (int handed = 0; handed < 2; handed++) {
		onward_socket(listener, handed);
		listener_of_service(listener, handed);
	}
	onward_socket_of_child(listener);
	socket_of_application(listener);
	datagram_socket(listener);
	records_of_one_who_left(listener);
	close(listener);
	listener_of_application();
	as_root(&world);
	world_end(&world);
}
