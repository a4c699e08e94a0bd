// SPDX-License-Identifier: BSD-2-Clause
/*
 * bind_numbers: the addresses that are numbers, of connections and of flows, are the engine's to
 * give: nobody else binds one inside of the instance, by any protocol or family, root neither; so
 * nobody comes from the address of another's connection.
 */
#include <arpa/inet.h>

#include "world.h"

static int bind_to(int family, int type, const char *text)
{
	int descriptor = socket(family, type | SOCK_CLOEXEC, 0), error;
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };

	EXPECT(descriptor >= 0, "%s", strerror(errno));
	if (family == AF_INET) {
		EXPECT(inet_pton(AF_INET, text, &four.sin_addr) == 1);
		error = bind(descriptor, (void *)&four, sizeof(four)) ? -errno : 0;
	} else {
		EXPECT(inet_pton(AF_INET6, text, &six.sin6_addr) == 1);
		error = bind(descriptor, (void *)&six, sizeof(six)) ? -errno : 0;
	}
	close(descriptor);
	return error;
}

int main(void)
{
	static const char *const numbers[][2] = {
		{ "127.112.0.0", "::ffff:127.112.0.0" },
		{ "127.127.255.255", "::ffff:127.127.255.255" },
		{ "127.96.0.1", "::ffff:127.96.0.1" },
		{ "127.111.255.255", "::ffff:127.111.255.255" },
		{ NULL, "fd57:6179:6269:6c6c::1" },
	};
	static const char *const others[][2] = {
		{ "127.95.255.255", "::ffff:127.95.255.255" },
		{ "127.128.0.0", "::ffff:127.128.0.0" },
		{ "0.0.0.0", "::" },
		{ NULL, "::1" },
	};
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM };
	uint64_t refused = 0;
	struct world world;

	world_begin(&world, "bind_numbers");
	world_up(&world);
	for (int policy = 0; policy < 2; policy++) {
		if (policy)
			world_policy(&world, 1, NULL);
		for (size_t type = 0; type < 2; type++) {
			for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
				for (int six = numbers[i][0] ? 0 : 1; six < 2; six++) {
					EXPECT(bind_to(six ? AF_INET6 : AF_INET, types[type],
						       numbers[i][six]) == -EADDRNOTAVAIL,
					       "%s", numbers[i][six]);
					EXPECT(counter(&world, COUNT_BIND_REFUSED) == ++refused);
				}
			for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
				for (int six = others[i][0] ? 0 : 1; six < 2; six++)
					EXPECT(!bind_to(six ? AF_INET6 : AF_INET, types[type],
							others[i][six]),
					       "%s: %s", others[i][six], strerror(errno));
		}
	}
	world_end(&world);
}
