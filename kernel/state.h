/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the eBPF programs keep, and platform/ reads: values of maps, counters, events.
 * The maps themselves, with who writes and who deletes them, are in maps.h.
 */
#ifndef WAYBILL_KERNEL_STATE_H
#define WAYBILL_KERNEL_STATE_H

#include "../decision/address.h"
#include "../record/records.h"

/*
 * Of everything here, and of which hooks there are: programs are upgraded in place if it is equal.
 */
#define STATE_LAYOUT 7

#define CGROUP_LEVEL_UNKNOWN (~0U) /* the mount's root is that of a cgroup namespace */

/* Settings that are not policy. One, written by platform/. */
struct control {
	__u32 layout;
	__u32 cgroup_level; /* of the cgroup below, under the root; or CGROUP_LEVEL_UNKNOWN */
	__u64 netns;        /* cookie of the namespace in which all services' ports are guarded */
	__u64 cgroup;       /* id of the cgroup that the instance is attached to */
	__u64 datagrams6;   /* that namespace again, if WAYBILL_FLOW_PREFIX6 is local in it */
	__u32 connections;  /* numbers that there are for redirected connections */
	__u32 seed;         /* of what is hashed of values that others choose; secret */
	char cgroup_path[256]; /* of it, below the mount of cgroup2, for people */
};

/* A network namespace, by its cookie, in which a service has bound its port. */
struct home_key {
	__u64 netns;
	__u32 service; /* id */
	__u32 reserved;
};

#define KEYS 8

struct key {
	struct record_key key;
	__u64 retired; /* CLOCK_BOOTTIME when another took its place; 0 for the current one */
	__u32 id;      /* never 0 for a key that exists; its place in the ring is id % KEYS */
	__u32 reserved;
};

/* The keys of the records' MAC. */
struct key_ring {
	__u32 current; /* id */
	__u32 reserved;
	struct key keys[KEYS];
};

struct context {
	__u64 retired; /* CLOCK_BOOTTIME when it left the policy, 0 while it is in it */
	__u32 size;
	__u32 reserved;
	__u8 bytes[WAYBILL_CONTEXT_MAX];
};

/*
 * Earlier hops: the parts of the records that came before the last hop, and where in them the hops
 * are. Of connections and of flows of datagrams. A user may not be told of a part of it: it is
 * whole, or there is none.
 */
#define HISTORY_PARTS_MAX (RECORDS_PARTS_MAX - RECORDS_HOP_SIZE)

struct history {
	__u16 length; /* of parts, in bytes; 0: there is none */
	__u16 hop_count;
	__u16 presumed; /* bit n: hop n was presumed */
	__u16 used; /* a connection with these records was established: they are not for another */
	__u16 originator; /* offset in parts, plus 8; 0: there is none */
	__u16 reserved[3];
	__u16 hop[WAYBILL_HOPS_MAX]; /* offsets in parts */
	__u64 parts[HISTORY_PARTS_MAX / 8];
};

/*
 * A redirected connection, by its number. The number is in the client's address, which the connect
 * hook chooses: 127.112.0.0/12, with the port left to the kernel. So both ends find the connection
 * by what they know of each other, and nothing of ours is on the client's socket. A client that has
 * bound a port or an address, or that comes by IPv6 alone, is found by both addresses instead.
 *
 * Elements are used anew. claim says whose one is: the flow's id, which is never given twice, and a
 * state in the lowest bits. Whoever changes it does so from what he has read, in one step; whoever
 * reads the rest reads claim before and after.
 */
enum claim {
	CLAIM_FREE,
	CLAIM_BUSY,  /* one program writes it, and nobody else touches it */
	CLAIM_OPEN,  /* redirected, and not accepted yet */
	CLAIM_TAKEN, /* by an accepted socket */
	CLAIM_STATE = 3,
};

#define CLAIM_BITS 2

/*
 * A socket is known by its address in memory and its cookie: where its cookie is, it is; and where a
 * reference to it is counted, it is not closed for good. All sockets of TCP and MPTCP have memory
 * that stays that of such sockets as long as anybody can look.
 */
struct connection {
	__u64 claim; /* flow id << CLAIM_BITS | enum claim */
	__u64 issued;
	__u64 client, client_socket; /* cookie and address of the socket that connects */
	__u64 client_parent;         /* address of the program's socket, of MPTCP; else 0 */
	__u64 server, server_socket; /* the same of the accepted one */
	__u64 server_parent, server_key;
	__u32 heard; /* its SYN came to its server, while its client was there to say that it is his */
	__u32 reserved;
	struct waybill_address endpoint; /* where it was redirected to */
	__u8 source[16];                 /* the client's address; IPv4 as ::ffff:a.b.c.d */
	__u16 port;                      /* the client's, host byte order; 0: not known yet */
	__u16 hop_count;
	__u16 context_size;
	__u8 history; /* it has one */
	__u8 indexed; /* it is found by its addresses */
	__u32 share;  /* in which it is counted */
	__u32 number;
	struct records_originator originator;
	struct records_hop hop;
};

#define CONNECTIONS_MAX (CONNECTION_MASK + 1)
#define CONNECTIONS_DEFAULT (1 << 18)
#define CONNECTIONS_MIN 64
/* So many numbers are used in turn, however few connections there are. */
#define CONNECTIONS_SPREAD 64

/* Which numbers are in use. */
struct connection_numbers {
	__u32 high;  /* numbers up to here have been given out */
	__u32 next;  /* counts up: the next to be tried */
	__u32 sweep; /* counts down: the next to be asked whether it is over */
	__u32 total; /* connections that are counted */
	__u32 indexed; /* of these the ones that are found by their addresses */
};

/* What a connection is found by if its number is not in an address: the client is who connects. */
struct connection_key {
	__u64 netns;
	__u8 client[16], server[16];    /* IPv4 as ::ffff:a.b.c.d */
	__u16 client_port, server_port; /* host byte order */
	__u32 reserved;
};

/* On an accepted socket whose connection was found by its addresses. */
struct accepted {
	__u64 claim;
	__u32 number;
	__u32 reserved;
};

/*
 * Counters of a table's users, by a hash of their account: the uid, or for all in a user namespace
 * the one account of that. Those who share a counter share what it allows.
 */
#define SHARES_BITS 12
#define SHARES_MAX (1 << SHARES_BITS)

/*
 * Datagrams. On a socket of a client, or of a service: a number of our own by which flows know it,
 * and the flows that it has, so that they end with it.
 */
#define SOCKET_FLOWS 8

struct datagrams {
	__u64 socket;              /* its number, never 0 */
	__u32 connected;           /* the flow that it is connected to */
	__u32 made;                /* flows, ever */
	__u32 flows[SOCKET_FLOWS]; /* the last ones made */
};

/* What a flow is found by when its client sends. */
struct flow_key {
	__u64 socket;
	struct waybill_address destination;
};

enum flow_state {
	FLOW_NEW,        /* being made */
	FLOW_RECORDS,    /* its records are set, and nobody has decided on it yet */
	FLOW_DIRECT,     /* goes straight to its destination, as its records say */
	FLOW_REDIRECTED, /* goes to a service */
};

/* A flow, by its number. */
struct datagram_flow {
	struct records_hop hop;
	__u64 socket; /* of the client */
	__u64 used;   /* CLOCK_BOOTTIME of its last datagram, either way; 0 while it is new */
	__u64 taken;  /* socket of the service that knows of it already */
	__u64 issued;
	struct records_originator originator; /* in whose share it is */
	__u16 state; /* enum flow_state */
	__u16 port;  /* of the service, network order */
	__u16 hop_count;
	__u16 context_size;
	__u16 history;   /* it has one */
	__u16 connected; /* it lives as long as the socket is connected to it */
};

/* So many flows at once, and so many of one account, if as many are left for the others. */
#define FLOWS_MAX 65536
#define FLOW_SHARE (FLOWS_MAX / 8)
#define FLOW_IDLE_DEFAULT (60 * 1000000000ULL)

/* Numbers given out, and when flows were last looked through for idle ones. */
struct flow_numbers {
	__u64 last;
	__u64 swept; /* CLOCK_BOOTTIME */
	__u32 total; /* flows that are counted in shares */
	__u32 reserved;
};

enum counter {
	COUNT_REDIRECTED,      /* connects sent to a service */
	COUNT_BLOCKED,         /* connects refused by a filter */
	COUNT_PERMITTED,       /* connects that a filter let pass by a service */
	COUNT_DOWN_PASSED,     /* a service was down, and passed over */
	COUNT_DOWN_BLOCKED,    /* a service was down, and the connect refused */
	COUNT_HOP_LIMIT,       /* connects refused with ELOOP */
	COUNT_NO_RECORDS,      /* a service connected without records, and was kept from a loop */
	COUNT_TO_SERVICE,      /* connects aimed at a service's own endpoint, left alone */
	COUNT_HANDED_OVER,     /* records that reached an accepted socket */
	COUNT_CONNECTIONS_FULL, /* connects refused: no number, or the user has his share */
	COUNT_NO_MEMORY,       /* connects refused: no memory for their record */
	COUNT_UNCLAIMED,       /* accepted from a connection's address, which was none's by then */
	COUNT_RECORDS_SET,     /* records put on an onward socket */
	COUNT_RECORDS_BAD,     /* EBADMSG */
	COUNT_RECORDS_EXPIRED, /* EKEYEXPIRED */
	COUNT_RECORDS_FOREIGN, /* EACCES */
	COUNT_BIND_REFUSED,    /* somebody else tried to bind a service's port */
	COUNT_EVENTS_LOST,     /* the event buffer was full */
	COUNT_SOURCE_ROUTE,    /* connects refused: packets would not go where they are sent */
	COUNT_FLOWS,           /* flows of datagrams sent to a service */
	COUNT_FLOW_FULL,       /* datagrams refused: the originator's user has his share of flows */
	COUNT_FLOW_FOREIGN,    /* datagrams refused: sent to the address of another socket's flow */
	COUNT_FLOW_LATE,       /* datagrams refused: a service's reply from a flow that has ended */
	COUNT_EVENTS_LEFT_OUT, /* events beyond what a monitor wants in a second */
	COUNT_BROKEN,          /* refused: the kernel half found what cannot be */
	COUNT_UNHEARD,         /* connects refused: nobody listens at a loopback address */
	COUNT_NO_SOURCE,       /* connects refused: no port, or another has the same addresses */
	COUNT_ASKED_IN_VAIN,   /* for records of a connection that has none, as far as we can tell */
	COUNT_USED_AGAIN,      /* connects refused: a socket of IPv6, redirected by IPv4 before */
	COUNTERS
};

/* Counters of one service, by its id. */
struct service_counters {
	__u64 redirected;
	__u64 down_passed, down_blocked;
	__u64 no_records;
};

/*
 * What a monitor wants to be told of. One; the monitor has it in its memory, and writes the first
 * part, the end of it last. Each part has a cache line, so that a flood writes to none that every
 * connect reads.
 */
struct watch_settings {
	__u64 until;         /* CLOCK_BOOTTIME: programs report events until then; 0 for never */
	__u32 decisions;     /* bit n: enum verdict n */
	__u32 service;       /* id; 0: any, and what is about none */
	__u32 user, by_user; /* of who connects; only if by_user */
	__u32 rate;          /* events in a second, at most; 0: as many as come */
	__u32 reserved;
	/* Of the programs: the second of CLOCK_BOOTTIME, and below it its events so far. */
	__u64 window __attribute__((aligned(64)));
};

/* One decision, as monitor shows it. */
struct event {
	__u64 time; /* CLOCK_BOOTTIME */
	__u64 flow; /* 0 if it was not redirected */
	__u32 decision;
	__u32 hop_count;       /* before this decision */
	__u32 service, filter; /* ids, 0 if none */
	struct waybill_address destination;
	struct waybill_process client;
};

/* What the flows iterator gives for each accepted socket: this, then history_length bytes. */
struct flow_entry {
	struct records_hop hop;
	__u64 issued;
	__u32 hop_count;
	__u32 context_size;
	struct waybill_address client, server; /* of the redirected connection itself */
	__u16 protocol;
	__u16 tcp_state; /* of a datagrams' flow 0 */
	__u32 history_length;
	__u64 netns_inode; /* of a datagrams' flow 0: its hop has the cookie */
	__u64 used;        /* CLOCK_BOOTTIME of the last datagram */
};

#define RESET_MAX (1 << 20) /* connections at once */

/*
 * What the other iterator gives, for each client's socket that is connected and was not redirected:
 * by what it would be decided on, if it were connected now.
 */
struct socket_entry {
	__u64 cookie;
	__u64 cgroup; /* where it was made, and by whom: */
	__u32 uid, gid;
	__u32 inode;
	__u32 interface;
	struct waybill_address local, remote; /* as they are: */
	__u32 bound;                          /* whether its user chose the local address */
	__u32 tcp_state;
};

/* A flow of datagrams to end. */
struct reset_datagrams {
	__u64 flow; /* id */
	__u32 number;
	__u32 reserved;
};

_Static_assert(sizeof(struct connection) <= 432, "fits the allocator's 512 bytes with its header");
_Static_assert(sizeof(struct datagram_flow) <= 184,
	       "fits the allocator's 256 bytes with its header");
_Static_assert(sizeof(struct history) <= 1984, "fits the allocator's 2 KiB with its header");

#endif
