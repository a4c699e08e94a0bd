// SPDX-License-Identifier: BSD-2-Clause
/*
 * wildcard_listener: a service that listens on every address (0.0.0.0, [::]) does not make its port
 * a way around filters: a connect to that port of an address of this host that is not loopback, and
 * to that of another host, is blocked, or redirected with records, as the filter says. On loopback
 * the port is the service's own endpoint.
 */
#include "records_tools.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sys/ioctl.h>

#define HERE4 "198.51.100.1"

static socklen_t address_at(const char *text, struct sockaddr_storage *address)
{
	struct sockaddr_in6 *v6 = (void *)address;
	struct sockaddr_in *v4 = (void *)address;

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(SERVICE_PORT(0));
		return sizeof(*v4);
	}
	EXPECT(inet_pton(AF_INET6, text, &v6->sin6_addr) == 1);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(SERVICE_PORT(0));
	return sizeof(*v6);
}

/* A connected socket or a negative errno. */
static int dial(const char *text)
{
	struct sockaddr_storage address;
	socklen_t length = address_at(text, &address);
	int descriptor = socket_of(address.ss_family == AF_INET ? V4 : V6, 0), error;

	if (!connect(descriptor, (void *)&address, length))
		return descriptor;
	error = -errno;
	close(descriptor);
	return error;
}

/* An IPv4 address of this host that is not loopback. The IPv6 one is the server's. */
static void add_address(void)
{
	struct ifreq request = { .ifr_name = "lo:1" };
	struct sockaddr_in *address = (void *)&request.ifr_addr;
	int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	address->sin_family = AF_INET;
	inet_pton(AF_INET, HERE4, &address->sin_addr);
	EXPECT(!ioctl(descriptor, SIOCSIFADDR, &request), "%s", strerror(errno));
	inet_pton(AF_INET, "255.255.255.255", &address->sin_addr);
	EXPECT(!ioctl(descriptor, SIOCSIFNETMASK, &request), "%s", strerror(errno));
	close(descriptor);
	close(server_listener(V6, SERVER_PORT)); /* once this goes, so does the IPv6 address */
}

static int listen_everywhere(struct world *world, bool as_v6)
{
	struct sockaddr_storage address;
	socklen_t length = address_at(as_v6 ? "::" : "0.0.0.0", &address);
	int descriptor, one = 1;

	as_service(world, 0);
	descriptor = socket_of(as_v6 ? V6 : V4, 0);
	EXPECT(!setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	EXPECT(!bind(descriptor, (void *)&address, length), "%s", strerror(errno));
	EXPECT(!listen(descriptor, 16));
	return descriptor;
}

static void apply(struct world *world, const char *action)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "version: 1\n"
		 "services:\n"
		 "  - { name: a, weight: 1, endpoint: { tcp: %d }, identity: { cgroup: %%C/s0 } }\n"
		 "filters:\n"
		 "  - { name: all, service: a, action: %s }\n",
		 SERVICE_PORT(0), action);
	as_root(world);
	EXPECT(!world_apply(world, text));
}

static void try_all(struct world *world, bool as_v6)
{
	static const char *const away[] = { HERE4,           "198.51.100.2",
					    "::ffff:" HERE4, "::ffff:198.51.100.2",
					    SERVER6,         "fd66::2" };
	static const char *const own[] = { "127.0.0.1", "::ffff:127.0.0.1", "::1" };
	int listener = listen_everywhere(world, as_v6), descriptor, accepted;
	uint64_t before;

	/* The IPv6 addresses come last: nobody is there if the listener is an IPv4 one. */
	apply(world, "block");
	for (int i = 0; i < (as_v6 ? 6 : 4); i++) {
		before = counter(world, COUNT_BLOCKED);
		as_application(world);
		descriptor = dial(away[i]);
		EXPECT(descriptor == -ECONNREFUSED, "%s: %s", away[i], result_name(descriptor));
		as_root(world);
		EXPECT(counter(world, COUNT_BLOCKED) == before + 1, "%s", away[i]);
	}
	apply(world, "redirect");
	for (int i = 0; i < (as_v6 ? 6 : 4); i++) {
		struct waybill_address wanted;
		struct sockaddr_storage address;
		struct waybill_info info = {};
		socklen_t length = address_at(away[i], &address);

		EXPECT(!waybill_address_from_sockaddr((void *)&address, length, &wanted));
		as_application(world);
		descriptor = dial(away[i]);
		EXPECT(descriptor >= 0, "%s: %s", away[i], result_name(descriptor));
		as_service(world, 0);
		accepted = accept_from(listener);
		EXPECT(waybill_info_query(accepted, &info) == 0, "%s: no records", away[i]);
		EXPECT(info.state == WAYBILL_REDIRECTED_BY_SELF && info.hop_count == 1);
		EXPECT(info.original_destination.family == wanted.family &&
			       info.original_destination.port == wanted.port &&
			       !memcmp(info.original_destination.address, wanted.address, 16),
		       "%s", away[i]);
		close(accepted);
		close(descriptor);
	}
	for (int i = 0; i < (as_v6 ? 3 : 2); i++) {
		before = counted(world, COUNT_TO_SERVICE);
		as_application(world);
		descriptor = dial(own[i]);
		EXPECT(descriptor >= 0, "%s: %s", own[i], result_name(descriptor));
		as_service(world, 0);
		accepted = accept_from(listener);
		EXPECT_RESULT(state_of(accepted), -ENOENT);
		EXPECT(counted(world, COUNT_TO_SERVICE) == before + 1, "%s", own[i]);
		close(accepted);
		close(descriptor);
	}
	close(listener);
}

int main(void)
{
	struct world world;

	world_begin(&world, "wildcard_listener");
	world_up(&world);
	add_address();
	apply(&world, "redirect");
	try_all(&world, false);
	try_all(&world, true);
	as_root(&world);
	EXPECT(counter(&world, COUNT_TO_SERVICE) == 5);
	world_end(&world);
}
