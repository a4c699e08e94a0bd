/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small world for a test: a network namespace, a cgroup tree and an instance of their own, a
 * server, and up to three redirect services as processes. All of it is gone when the test ends,
 * however it ends: every process dies with the test, and the last to go removes the rest.
 */
#ifndef WAYBILL_TEST_WORLD_H
#define WAYBILL_TEST_WORLD_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <errno.h>

#include <waybill/waybill.h>

#include "../patience.h"
#include "../../platform/instance.h"
#include "../../platform/platform.h"

#define SERVICES_MAX 10
#define SERVER_PORT 8080
#define SERVICE_PORT(i) (9001 + (i))
#define SERVICE_UID(i) (60001 + (i))
#define APPLICATION_UID 61000
#define SERVER4 "127.66.0.1"
#define SERVER6 "fd66::1"

enum family { V4, V6, MAPPED, FAMILIES };

/* What a service does with a connection. */
enum service_kind {
	SERVICE_RECORDS, /* carries the records on */
	SERVICE_FORGETS, /* does not, and knows no option but SO_ORIGINAL_DST */
	SERVICE_HOLDS,   /* accepts, and keeps the connection without reading it */
	SERVICE_LISTENS, /* listens with room for one, and never accepts */
	SERVICE_WAITS,   /* as SERVICE_RECORDS, but accepts only once go is set */
};

/* What a service, or the server, saw. Shared with the test. */
struct seen {
	atomic_int ready, go;
	atomic_int accepted;
	atomic_int direct; /* not redirected: refused */
	atomic_int failed; /* no onward connection */
	atomic_int last_error;
	struct waybill_info info; /* of the last redirected connection */
	unsigned char records[WAYBILL_RECORDS_MAX];
	size_t records_size;
	unsigned char context[WAYBILL_CONTEXT_MAX];
	ssize_t context_size;             /* negative errno if there is none */
	struct sockaddr_storage original; /* as SO_ORIGINAL_DST says */
	struct sockaddr_storage peer;
};

struct world {
	char cgroup[128]; /* of the world, below the mount; services in /s0 .., the test in /app */
	char mount[256];
	char name[40]; /* of its instance */
	uint32_t connections; /* room for so many; 0: as usual */
	struct instance *instance;
	struct seen *seen; /* of services 0.., and of the server at SERVICES_MAX */
	pid_t service[SERVICES_MAX], server;
	bool by_user;             /* services are told by user, else by cgroup */
	const char *service_leaf; /* with by_user: the cgroup that services start in, or "other" */
};

#define SERVER_SEEN(w) (&(w)->seen[SERVICES_MAX])

/* Makes the world; the calling process is then in its application cgroup. Skips without root. */
void world_begin(struct world *world, const char *name);
/* The instance, as `waybill up` makes it. */
void world_up(struct world *world);
/* All that: up, with the server, and services 0 and 1 that carry records on. */
void world_begin_two(struct world *world, const char *name);
/* Starts service number i, in its cgroup or under its user. */
void world_service(struct world *world, int i, enum service_kind kind);
/* Only its process: true in it. The parent waits for seen->ready. */
bool world_service_fork(struct world *world, int i);
bool world_server_fork(struct world *world);
void world_service_end(struct world *world, int i);
void world_server(struct world *world);
/* Ends the world and exits with the result. */
void world_end(struct world *world) __attribute__((noreturn));

/*
 * A policy with services a, b, c .. (weights 300, 290, 280 ..) and one filter each that redirects
 * all TCP to ports 8080 to 8099. extra is added to each service.
 */
void world_policy(struct world *world, int services, const char *extra);
/* The same for another protocol; limits is NULL, or a line of the policy. */
void world_policy_for(struct world *world, const char *protocol, int services, const char *limits,
		      const char *extra);
/* Any policy, as text; %C stands for the world's cgroup. Returns as instance_apply does. */
int world_apply(struct world *world, const char *text);
/* How the text begins that has services a and b, told by their cgroups; filters follow. */
#define WORLD_TWO_SERVICES                                                                         \
	"version: 1\n"                                                                             \
	"services:\n"                                                                              \
	"  - { name: a, weight: 2, endpoint: { tcp: 9001 }, identity: { cgroup: %C/s0 } }\n"       \
	"  - { name: b, weight: 1, endpoint: { tcp: 9002 }, identity: { cgroup: %C/s1 } }\n"

/* Moves the calling process into a cgroup of the world: "app", "other", "s0" .. */
void world_enter(const struct world *world, const char *leaf);
/* Runs a function in a child in that cgroup and under that user; returns what it returned. */
int world_as(struct world *world, const char *leaf, uid_t user, int (*function)(void *),
	     void *data);

/* Sockets of the test. */
socklen_t address_of(enum family family, uint16_t port, struct sockaddr_storage *address);
int socket_of(enum family family, int flags);
/* A connected socket to the server, or a negative errno. */
int connect_to(enum family family, uint16_t port);
/* Sends a line through the connection and checks that the server echoes it. */
void echo_check(int descriptor, const char *text);
/* Waits up to two seconds for a number to become what it should. */
void expect_count(const char *what, atomic_int *number, int wanted);
uint64_t counter(struct world *world, enum counter which);
/* How many entries a map has; for "nothing lingers". */
int map_entries(struct world *world, const char *name);
/* Redirected connections that are counted: those that live, and others that nobody has looked at. */
int connections_counted(struct world *world);

/* Fails the test with a line that says where. */
#define EXPECT(condition, ...)                                                                     \
	do {                                                                                       \
		if (!(condition))                                                                  \
			world_fail(__FILE__, __LINE__, #condition, " " __VA_ARGS__);               \
	} while (0)
void world_fail(const char *file, int line, const char *condition, const char *format, ...)
	__attribute__((noreturn, format(printf, 4, 5)));
void world_skip(const char *reason) __attribute__((noreturn));

#endif
