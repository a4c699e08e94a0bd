/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The policy image: a whole policy compiled into one array of lines of 128 bytes, and the code
 * that asks it. platform/ compiles an image beside the one in force; storing its map in the
 * array of maps "policies" swaps it in, as one pointer, so no connection ever sees half of one.
 * The same code runs in the eBPF programs and, for `explain` and the tests, in user space;
 * decide.h asks the questions.
 *
 * A value (an address, a port, a uid) is looked up in a table: a tree of lines, each with 32
 * entries for five bits of the value, most significant first. An entry is the number of a further
 * line of the tree, or POLICY_SKIP with the number of a skip, which stands for a chain of lines
 * with one way out, or POLICY_LEAF with the number of a result line. A result line is a bitmap: bit
 * f is set if filter f accepts this value. Filters are numbered in order of precedence, so the
 * lowest bit that is set in all results decides. Every value has a leaf; the cost of a look-up
 * grows with the bits that the policy tells apart, never with the number of its filters or
 * prefixes.
 *
 * Line 0 is the header. A reference to line 0 means "nothing here".
 */
#ifndef WAYBILL_DECISION_IMAGE_H
#define WAYBILL_DECISION_IMAGE_H

#include <waybill/abi.h>

#define POLICY_MAGIC 0x4c4f5057U /* "WPOL" */
#define POLICY_LAYOUT 6
#define POLICY_LINE 128
#define POLICY_LINES_MAX (1U << 22) /* 512 MiB */
#define POLICY_SERVICES_MAX 64
#define POLICY_FILTERS_MAX 1024
#define POLICY_WORDS (POLICY_FILTERS_MAX / 64)
#define POLICY_NAME_MAX 40 /* with the terminating zero */

#define POLICY_LEAF 0x80000000U
#define POLICY_SKIP 0x40000000U
#define POLICY_STRIDE 5
#define POLICY_FANOUT (1U << POLICY_STRIDE)

enum policy_action { POLICY_PERMIT = 1, POLICY_BLOCK = 2, POLICY_REDIRECT = 3 };
enum policy_when_down { POLICY_DOWN_BLOCK = 0, POLICY_DOWN_PASS = 1 };

#define POLICY_SKIP_BITS 58
#define POLICY_SKIP_COUNT 63U /* the last six bits */
#define POLICY_SKIPS 8        /* in a line: skip n is number n % 8 of line n / 8 */

/* Values that go on with these bits have one entry, all others the other, a leaf. */
struct policy_skip {
	__u64 bits; /* at the left, up to POLICY_SKIP_BITS; POLICY_SKIP_COUNT: how many, never 0 */
	__u32 then, other;
};

/*
 * An executable, as the kernel tells files apart. A generation differs when an inode's number is
 * used again.
 */
struct policy_executable {
	__u64 inode; /* 0: none */
	__u32 device, generation;
};

/*
 * A hash of 64-bit keys, eight cells a line. A key is in one of two cells (cuckoo hashing), so
 * that looking it up has no loop, which the verifier would have to follow.
 */
struct policy_hash {
	__u32 first; /* line of cells 0 to 7; 0 if the hash is empty */
	__u32 cells; /* a power of two, 8 at least */
};

struct policy_cell {
	__u64 key; /* never 0 */
	__u32 value;
	__u32 value2;
};

enum policy_flag {
	POLICY_LOSE_MARK = 1,        /* the originator's mark is not put on onward sockets */
	POLICY_REDIRECT_UNHEARD = 2, /* also where nobody listens on this host */
};

struct policy_header {
	__u32 magic;
	__u16 layout;
	__u16 hop_limit;
	__u32 generation; /* counts the policies applied to this instance */
	__u32 lines;
	__u16 services;
	__u16 filters;
	__u16 words; /* words of a bitmap that can have bits set: ceil(filters / 64) */
	__u16 flags;              /* enum policy_flag, ored */
	__u64 records_expire; /* nanoseconds */
	__u64 applied;        /* when: nanoseconds of CLOCK_BOOTTIME, as in hops */
	__u32 service_line;   /* of the first service; then one line each, in order of weight */
	__u32 filter_line; /* of the first two filters; then two in a line, in order of precedence
			    */
	__u32 tcp, udp;    /* result lines of the protocol; 0: no filter is for it */
	/* Roots of tables, as in an entry. The first four give filters' result lines. */
	__u32 remote4, remote6, remote_port, user;
	__u32 service_user;         /* uid -> line of services, see policy_services() */
	struct policy_hash cgroups; /* id -> value: filters' result line, value2: services' line */
	__u32 cgroup_none;          /* filters' result line of a process in none of these cgroups */
	__u32 cgroup_none_services; /* services' line of such a process */
	__u32 cgroup_levels;    /* bit n: some named cgroup is n levels below the root of cgroup2 */
	struct policy_hash ids; /* service id -> value: its slot */
	struct policy_hash endpoints; /* policy_endpoint_key() -> value: the slot that has it */
	__u32 source_line;            /* path of the policy file, zero-terminated, for people */
	__u32 last_context;           /* the last number given to a context; none is given twice */
	__u32 flow_idle;              /* milliseconds after which a flow of datagrams ends */
	__u32 more; /* line of the policy_more; 0 if no filter has any of its conditions */
};

/*
 * The words of a line of services, by slot: those that somebody may be, and those whose listener he
 * may make without being one.
 */
enum policy_services_word { POLICY_SERVICE, POLICY_LISTENER, POLICY_SERVICES_WORDS };

/* Where to ask for the conditions that few policies have. */
struct policy_more {
	__u32 local4,
		local6; /* of the address that the socket is bound to; 0.0.0.0 or :: if to none */
	__u32 group;
	__u32 interface; /* index of the one that the socket is bound to; 0 if to none */
	struct policy_hash executables; /* policy_executable_key() -> a policy_application's line */
	struct policy_hash originals;   /* number of an application -> filters' result line */
	struct policy_hash namespaces;  /* cookie of a network namespace -> filters' result line */
	/* Filters' result lines of what is in none of these. */
	__u32 application_none, original_none, namespace_none;
	__u32 unused[19];
};

/* An executable that the policy names. */
struct policy_application {
	struct policy_executable executable;
	__u32 number; /* made of its path: the same on every host, and for every policy */
	__u32 application, original; /* filters' result lines */
	__u32 unused;
	char path[96]; /* for people; a long one is cut */
};

/* A service's slot is its place in the order of weights: 0 sees connections first. */
struct policy_service {
	__u32 id;
	__u32 weight;
	__u16 tcp_port, udp_port; /* network byte order; 0: none */
	__u8 when_down;
	__u8 has4, has6;  /* whether it has an endpoint of the family */
	__u8 keep_family; /* connections come by that of their destination, always */
	__u32 first_filter, filters; /* its filters stand together */
	__u8 address4[4], address6[16];
	char name[POLICY_NAME_MAX];
	/* The identity, for who starts the service: programs ask the tables. */
	__u32 user;
	__u64 cgroup; /* id; 0: it may be in any */
	__u8 has_user;
	__u8 unused[31];
};

struct policy_filter {
	__u32 id;
	__u16 slot; /* of its service */
	__u8 action;
	__u8 reserved;
	__u32 context; /* key into the map "contexts", 0 for none */
	__u32 context_size;
	__u32 weight;
	__u32 unused;
	char name[POLICY_NAME_MAX];
};

_Static_assert(sizeof(struct policy_header) <= POLICY_LINE, "the header is one line");
_Static_assert(sizeof(struct policy_more) == POLICY_LINE, "so are they");
_Static_assert(sizeof(struct policy_application) == POLICY_LINE, "an application is one line");
_Static_assert(sizeof(struct policy_service) == POLICY_LINE, "a service is one line");
_Static_assert(sizeof(struct policy_filter) == POLICY_LINE / 2, "two filters are one line");
_Static_assert(sizeof(struct policy_cell) == 16, "eight cells are one line");
_Static_assert(sizeof(struct policy_skip) * POLICY_SKIPS == POLICY_LINE, "so are eight skips");

#endif
