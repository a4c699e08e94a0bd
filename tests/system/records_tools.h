/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests that hold every socket of a chain in one process: the test is in turn the
 * application and each of the services, as the kernel half takes whoever is the current task.
 */
#ifndef WAYBILL_TEST_RECORDS_TOOLS_H
#define WAYBILL_TEST_RECORDS_TOOLS_H

#include "world.h"

/*
 * Who the test is from now on. Services and the application are unprivileged; root is nobody to
 * the policy, and applies it, reads counters, and ends the world.
 */
void as_root(struct world *world);
void as_application(struct world *world);
void as_service(struct world *world, int i);

/*
 * Runs a function in a process of the application that has a descriptor: one that was handed to it
 * (SCM_RIGHTS), or that it has inherited. Returns what it returned, 0 to 255.
 */
int as_stranger(struct world *world, int descriptor, bool handed,
		int (*function)(int descriptor, void *data), void *data);

/* services as world_policy() has them, with limits ("hops: 1", "records_expire: 2s"). */
void policy_limited(struct world *world, int services, const char *limits);
/* A counter, whoever the test is at the moment. */
uint64_t counted(struct world *world, enum counter which);

/* The listener of service i for a family, on its loopback address or (any) on all of them. */
int listener_of(struct world *world, int i, enum family family, bool any);
/* A listener of whoever the test is, at the server's address. */
int server_listener(enum family family, uint16_t port);
/* Accepts within two seconds. */
int accept_from(int listener);
/* 0 or a negative errno. */
int connect_socket(int descriptor, enum family family, uint16_t port);
void disconnect(int descriptor);

/* One redirected connection: the socket that connected, and the one that its service accepted. */
struct leg {
	int client, accepted;
};

/* The application's connect to the server, redirected to service i. The test is then service i. */
void redirect_application(struct world *world, int i, int listener, enum family family,
			  struct leg *leg);
/* An onward socket of service i that carries the records of accepted, not connected yet. */
int onward_of(struct world *world, int i, int accepted);
/* leg[0] is redirect_application() to service 0, leg[n] the onward socket of n-1 to n. */
void redirect_chain(struct world *world, int services, const int *listener, enum family family,
		    struct leg *leg);

/*
 * Three megabytes from the client to the server and as many back, checked byte for byte. half_close:
 * the client ends its direction before the answer begins, and both ends come through as such.
 */
void converse(int client, int server, bool half_close);
/* Whether somebody listens on a port of this namespace. */
bool listened(enum family family, uint16_t port);

/* The socket options themselves. 0 or a negative errno. */
int query(int descriptor, int option, void *buffer, socklen_t *size);
int set_records(int descriptor, const void *records, size_t size);
/* Size of the records, which must be there. */
size_t records_of(int accepted, void *records);
/* State as the info has it, or a negative errno. */
int state_of(int descriptor);

/* Fails unless the number is that; shows errnos by name. */
#define EXPECT_RESULT(call, wanted)                                                                \
	do {                                                                                       \
		int result_ = (call), wanted_ = (wanted);                                          \
		EXPECT(result_ == wanted_, #call ": %s, not %s", result_name(result_),             \
		       result_name(wanted_));                                                      \
	} while (0)
const char *result_name(int result);

/* A descriptor handed over by a socket of AF_UNIX. */
void send_descriptor(int channel, int descriptor);
int receive_descriptor(int channel);

#endif
