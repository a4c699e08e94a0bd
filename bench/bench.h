/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the bench share. A place is a network namespace and a cgroup with, or
 * without, an instance of Waybill; a worker is a process that lives in one place, is pinned to
 * one CPU, and takes turns when it is told to. Workers never run at the same time.
 */
#ifndef WAYBILL_BENCH_H
#define WAYBILL_BENCH_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <waybill/abi.h>

#include "../platform/platform.h"

#define ROUNDS_MAX 501
#define SERVER_ADDRESS "127.66.0.1" /* whom the client asks for; by IPv6 ::1 */
#define SERVER_PORT 8080
#define SERVICE_PORT 9001
#define FIRST_PORT 9002 /* of the services before it, in a chain */
#define SECOND_PORT 9003
#define SERVICE_UID 60001 /* in places that tell services by user */

/* What a place has, other than a namespace and a cgroup. */
enum place_kind {
	PLACE_PLAIN,               /* nothing */
	PLACE_NFT,                 /* one REDIRECT rule, and so connection tracking */
	PLACE_NFT_UNMATCHED,       /* a rule with a set for each of the filters that do not match */
	PLACE_NO_POLICY,           /* an instance */
	PLACE_REDIRECT,            /* an instance, and a policy that redirects to the listener */
	PLACE_UNMATCHED,           /* an instance, and a policy with filters that do not match */
	PLACE_NEAR_MISS,           /* the same, but every condition is met by half of the filters */
	PLACE_CHAIN,               /* an instance, and three services: the listener is the last */
	PLACE_DATAGRAMS,           /* an instance, and a policy that redirects datagrams */
	PLACE_DATAGRAMS_UNMATCHED, /* the same, but those of another port */
};

struct place_recipe {
	enum place_kind kind;
	unsigned int filters, prefixes; /* of ..._UNMATCHED and PLACE_NEAR_MISS, in all */
	bool by_ipv6;                   /* the client connects by IPv6; the listener takes both */
	bool inside;                    /* client and listener are in the service's cgroup */
	bool by_user;                   /* the service is told by its user, not by its cgroup */
	unsigned int open;              /* connections that are held open meanwhile */
};

/* So many that each needs fewer descriptors than a process may have on most hosts. */
#define HOLDERS 16

struct place {
	struct place_recipe recipe;
	char directory[512]; /* of its cgroup; app/, service/ and more below it: see place.c */
	char cgroup[256];    /* the same below the mount of cgroup2 */
	struct instance *instance;
	struct sockaddr_storage to; /* whom the client asks for */
	socklen_t to_length;
	int listener, first, second; /* the last two in a chain */
	int bearer; /* in a chain: the second service's end of a connection, which has records */
	unsigned char records[WAYBILL_RECORDS_MAX]; /* that the client sets before it connects */
	socklen_t records_length;                   /* 0: none */
	pid_t holder[HOLDERS];                      /* processes that hold connections open */
	int outside, inside;         /* sockets made in app/ and in service/, not connected */
	int sender, server, service; /* of datagrams; server and service receive */
};

/* What the listener's side asks about each connection. */
enum query {
	QUERY_NOTHING,
	QUERY_NAME,     /* getsockname(2) */
	QUERY_ORIGINAL, /* SO_ORIGINAL_DST */
	QUERY_RECORDS,  /* WAYBILL_REDIRECT_RECORDS */
	QUERY_INFO,     /* WAYBILL_REDIRECT_INFO */
};

enum turn_kind {
	TURN_END,
	TURN_CONNECT, /* socket, connect, accept, query, close both */
	TURN_QUERY,   /* the query alone, again and again on one connection */
	TURN_RECORDS, /* setsockopt of the place's records, again and again on one socket */
	TURN_GET,     /* getsockopt(SO_ERROR) */
	TURN_SET,     /* setsockopt(TCP_NODELAY) */
	TURN_SEND,    /* sendto and recvfrom of a datagram */
	TURN_ATTACH,  /* makes the instance; of places that are made without */
	TURN_DETACH,
	TURN_UP,           /* from here on: a command, executed once */
	TURN_UP_DATAGRAMS, /* and an apply of a policy that redirects some */
	TURN_DOWN,
	TURN_RUN,
	TURN_RUN_DATAGRAMS,
};

struct turn {
	enum turn_kind kind;
	enum query query;
	bool ordinary; /* close without a reset */
	bool inside;   /* on the socket of the service's cgroup; of TURN_SEND: which receives */
	unsigned int count;
};

struct turn_result {
	double nanoseconds; /* of each connection or call */
	char error[256];    /* "" if it went well */
};

struct worker {
	pid_t process;
	int channel;
};

/* place.c */
int place_begin(const char *cgroup, const char *mount, const struct place_recipe *recipe,
		char *error, size_t size);
int place_enter(struct place *place, char *error, size_t size);
int place_attach(struct place *place, char *error, size_t size);
void place_detach(struct place *place);
/* Moves the calling process into a cgroup of the place. 0 or -errno. */
int place_move(const struct place *place, const char *leaf);
/* The policy of the place, for free(). */
char *place_policy(const struct place *place, size_t *length);
/* Starts what removes the bench's cgroups, and its instance, when the last of its processes is gone. */
int place_cleaner(const char *cgroup, const char *mount);

/* prepare.c: once the policy is in force, and until the place is left. */
int place_prepare(struct place *place, char *error, size_t size);
void place_release(struct place *place);
/* Reads the records that the client sets, if there are any, anew: they expire. 0 or -errno. */
int place_records(struct place *place);

/* turn.c */
/* A socket for a client, with the place's records, and its connection. 0 or -errno. */
int client_make(const struct place *place, int *client);
int client_connect(const struct place *place, int client, int *accepted);
void turn_take(struct place *place, const struct turn *turn, struct turn_result *result);

/* commands.c */
int command_take(struct place *place, enum turn_kind kind, double *nanoseconds, char *error,
		 size_t size);
#define PROGRAMS_MAX 64
struct programs {
	struct program_trial trial[PROGRAMS_MAX];
	size_t count;
};
int programs_measure(struct programs *programs, char *error, size_t size);
void programs_table(const struct programs *programs);
void programs_json(const struct programs *programs); /* without what is around them */

/* worker.c: a place, with or without its instance, and a process in it. */
int worker_start(struct worker *worker, const char *cgroup, const char *mount,
		 const struct place_recipe *recipe, bool attached, int cpu, char *error,
		 size_t size);
int worker_turn(struct worker *worker, const struct turn *turn, double *nanoseconds, char *error,
		size_t size);
void worker_end(struct worker *worker);

/* report.c */
struct row {
	const char *group; /* heading */
	const char *name;
	const char *key;   /* in JSON */
	const char *base;  /* key of the row that it is compared with */
	double target;     /* the ratio should not be above it; 0: none */
	const char *below; /* key of a row that it should be below, of nft; or NULL */
	size_t place;
	struct turn turn;
	const char *missing; /* why it could not be measured, or NULL */
	bool skipped;        /* it was not asked for */
	double sample[ROUNDS_MAX];
};

double row_median(const struct row *row, unsigned int rounds);
void report_table(const struct row *rows, size_t count, unsigned int rounds);
/* Rows of a JSON array, without what is around them; more: some came before. Whether some did. */
bool report_json(const struct row *rows, size_t count, unsigned int rounds, bool more);

#endif
