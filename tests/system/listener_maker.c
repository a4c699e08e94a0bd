// SPDX-License-Identifier: BSD-2-Clause
/*
 * listener_maker: a service whose listener somebody else makes, as a supervisor does, and hands
 * over. If the policy says who, he may bind the port, and the service sees connections; if it does
 * not, they count as down. He is no service for that: his own connections are redirected, and
 * records are not for him. The service may make its listener itself as well.
 */
#include "records_tools.h"

#include <dirent.h>

#define FILTERS                                                                                    \
	"filters:\n  - { name: all, service: a, match: { remote_port: 8080 }, action: redirect }\n"
#define SERVICE                                                                                    \
	"version: 1\nservices:\n  - name: a\n    weight: 1\n    endpoint: { tcp: 9001 }\n"         \
	"    identity: { cgroup: %C/s0 }\n"

static struct world world;

/* Who makes the listener: user and cgroup of what would be another service. */
static void as_maker(void)
{
	as_service(&world, 1);
}

/* A listener of whoever the test is, at the endpoint of a; or a negative errno. */
static int listen_at_endpoint(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(0)) };
	int descriptor = socket_of(V4, 0), error = 0, one = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(descriptor, (void *)&address, sizeof(address)) || listen(descriptor, 16)) {
		error = -errno;
		close(descriptor);
	}
	return error ? error : descriptor;
}

static void apply(const char *listener)
{
	char text[512];

	as_root(&world);
	snprintf(text, sizeof(text), "%s%s%s", SERVICE, listener, FILTERS);
	EXPECT(!world_apply(&world, text));
}

/* A connection through the listener: accepted by a, and carried on to the server. */
static void expect_seen(int listener)
{
	struct leg leg;
	int onward;

	redirect_application(&world, 0, listener, V4, &leg);
	EXPECT_RESULT(state_of(leg.accepted), WAYBILL_REDIRECTED_BY_SELF);
	onward = onward_of(&world, 0, leg.accepted);
	EXPECT_RESULT(connect_socket(onward, V4, SERVER_PORT), 0);
	echo_check(onward, "handed over\n");
	close(onward);
	close(leg.accepted);
	close(leg.client);
}

static void expect_down(void)
{
	as_application(&world);
	EXPECT_RESULT(connect_to(V4, SERVER_PORT), -ECONNREFUSED);
}

/* The hooks of options are on so many cgroups. */
static void expect_hooks(int wanted)
{
	struct dirent *entry;
	char path[256];
	int found = 0;
	DIR *links;

	as_root(&world);
	snprintf(path, sizeof(path), "/sys/fs/bpf/waybill/%s/links", world.name);
	links = opendir(path);
	while ((entry = readdir(links)))
		found += !strncmp(entry->d_name, "set-", 4);
	closedir(links);
	EXPECT(found == wanted, "%d, not %d", found, wanted);
}

int main(void)
{
	unsigned char records[WAYBILL_RECORDS_MAX];
	int listener, descriptor;
	struct leg leg;
	size_t size;

	world_begin(&world, "listener_maker");
	world_up(&world);
	world_server(&world);

	/* Not told of: a stranger, before the policy could keep him from binding. */
	as_maker();
	listener = listen_at_endpoint();
	EXPECT(listener >= 0, "%s", result_name(listener));
	apply("");
	expect_down();

	/* By user and cgroup: both have to fit. The listener is older than the policy. */
	apply("    listener: { user: 60002, cgroup: %C/s1 }\n");
	expect_hooks(2);
	expect_seen(listener);
	close(listener);
	expect_down();
	as_root(&world);
	EXPECT_RESULT(listen_at_endpoint(), -EACCES);
	apply("    listener: { user: 60002, cgroup: %C/s2 }\n");
	as_maker();
	EXPECT_RESULT(listen_at_endpoint(), -EACCES);
	apply("    listener: { user: 60002, cgroup: %C/s1 }\n");
	as_maker();
	listener = listen_at_endpoint();
	EXPECT(listener >= 0, "%s", result_name(listener));
	expect_seen(listener);

	/* He is no service: he is redirected, and gets nothing from a's records. */
	redirect_application(&world, 0, listener, V4, &leg);
	size = records_of(leg.accepted, records);
	as_maker();
	descriptor = socket_of(V4, 0);
	EXPECT_RESULT(set_records(descriptor, records, size), -EACCES);
	EXPECT_RESULT(connect_socket(descriptor, V4, SERVER_PORT), 0);
	as_service(&world, 0);
	descriptor = accept_from(listener);
	EXPECT_RESULT(state_of(descriptor), WAYBILL_REDIRECTED_BY_SELF);
	EXPECT(records_of(descriptor, records) == 184);
	close(listener);

	/* By cgroup alone, one that a's is below: one hook is enough for both. */
	apply("    listener: { cgroup: %C }\n");
	expect_hooks(1);
	as_root(&world);
	listener = listen_at_endpoint();
	EXPECT(listener >= 0, "%s", result_name(listener));
	expect_seen(listener);
	close(listener);

	/* By user alone: he may be anywhere. */
	apply("    listener: { user: 60002 }\n");
	expect_hooks(1);
	as_maker();
	listener = listen_at_endpoint();
	EXPECT(listener >= 0, "%s", result_name(listener));
	expect_seen(listener);
	close(listener);

	/* The service itself. */
	as_service(&world, 0);
	listener = listen_at_endpoint();
	EXPECT(listener >= 0, "%s", result_name(listener));
	expect_seen(listener);
	as_root(&world);
	world_end(&world);
}
