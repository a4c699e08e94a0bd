/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The policy image: a whole policy compiled into one array of lines of 128 bytes, and the code
 * that asks it. platform/ compiles an image beside the one in force; storing its map in the
 * array of maps "policies" swaps it in, as one pointer, so no connection ever sees half of one.
 * The same code runs in the eBPF programs and, for tests and `explain`, in user space.
 *
 * A value (an address, a port, a uid) is looked up in a table: a tree of lines, each with 32
 * entries for five bits of the value, most significant first. An entry is the number of a further
 * line of the tree, or POLICY_SKIP with the number of a skip, which stands for a chain of lines with
 * one way out, or POLICY_LEAF with the number of a result line. A result line is a bitmap: bit f is
 * set if filter f accepts this value. Filters are numbered in order of precedence, so the lowest
 * bit that is set in all results decides. Every value has a leaf; the cost of a look-up grows with
 * the bits that the policy tells apart, never with the number of its filters or prefixes.
 *
 * Line 0 is the header. A reference to line 0 means "nothing here".
 */
#ifndef WAYBILL_KERNEL_POLICY_H
#define WAYBILL_KERNEL_POLICY_H

#include <waybill/abi.h>

#include "executable.h"

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

struct policy_header {
	__u32 magic;
	__u16 layout;
	__u16 hop_limit;
	__u32 generation; /* counts the policies applied to this instance */
	__u32 lines;
	__u16 services;
	__u16 filters;
	__u16 words; /* words of a bitmap that can have bits set: ceil(filters / 64) */
	__u16 reserved;
	__u64 records_expire; /* nanoseconds */
	__u64 applied;        /* when: nanoseconds of CLOCK_BOOTTIME, as in hops */
	__u32 service_line;   /* of the first service; then one line each, in order of weight */
	__u32 filter_line; /* of the first two filters; then two in a line, in order of precedence */
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
	__u8 has4, has6; /* whether it has an endpoint of the family */
	__u8 reserved;
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

/*
 * Whoever includes this says how to get a line (NULL if there is none of that number), and how
 * to call a step for 0, 1, ... until it returns 1, but at most "steps" times.
 */
static inline const void *policy_line(const void *image, __u32 line);
#ifndef __bpf__
static inline void policy_loop(__u32 steps, long (*step)(__u32, void *), void *data)
{
	for (__u32 i = 0; i < steps; i++)
		if (step(i, data))
			break;
}
#else
#define policy_loop(steps, step, data) bpf_loop(steps, step, data, 0)
#endif

#define POLICY_INLINE static inline __attribute__((always_inline))
/* Bounded loops stay loops: unrolled they would be too much for the verifier, or the compiler. */
#define POLICY_LOOP _Pragma("GCC unroll 1")

/* A value to look up, its most significant bit first, at the left of 128 bits. */
struct policy_value {
	__u64 high, low;
};

POLICY_INLINE struct policy_value policy_value32(__u32 value)
{
	return (struct policy_value){ .high = (__u64)value << 32 };
}

/* A port, in host byte order, with its protocol before it: 17 bits. */
POLICY_INLINE struct policy_value policy_value_port(int udp, __u16 port)
{
	return (struct policy_value){ .high = (__u64)(udp != 0) << 63 | (__u64)port << 47 };
}

struct policy_descent {
	const void *image;
	struct policy_value value;
	__u32 entry;
};

static long policy_descend(__u32 level, void *data)
{
	struct policy_descent *descent = data;
	const struct policy_skip *skip;
	__u32 bits = POLICY_STRIDE;
	const __u32 *node;

	if (descent->entry & POLICY_LEAF)
		return 1;
	if (descent->entry & POLICY_SKIP) {
		skip = policy_line(descent->image, (descent->entry & ~POLICY_SKIP) / POLICY_SKIPS);
		if (!skip)
			return 1;
		skip += descent->entry % POLICY_SKIPS;
		bits = skip->bits & POLICY_SKIP_COUNT;
		if ((descent->value.high ^ skip->bits) >> (64 - bits)) {
			descent->entry = skip->other;
			return 1;
		}
		descent->entry = skip->then;
	} else {
		node = policy_line(descent->image, descent->entry);
		if (!node)
			return 1;
		descent->entry = node[descent->value.high >> (64 - POLICY_STRIDE)];
	}
	descent->value.high = descent->value.high << bits | descent->value.low >> (64 - bits);
	descent->value.low <<= bits;
	return 0;
}

/*
 * bits is a constant of the caller: the width of the values in this table. Every step but the last
 * goes on by POLICY_STRIDE bits or more. Returns a line.
 */
POLICY_INLINE __u32 policy_table_find(const void *image, __u32 root, struct policy_value value,
				      int bits)
{
	struct policy_descent descent = { .image = image, .value = value, .entry = root };

	if (!(root & POLICY_LEAF))
		policy_loop((bits + POLICY_STRIDE - 1) / POLICY_STRIDE, policy_descend, &descent);
	return descent.entry & POLICY_LEAF ? descent.entry & ~POLICY_LEAF : 0;
}

/* The first (0) or second (1) cell of a key; the compiler of the image uses it too. */
POLICY_INLINE __u32 policy_hash_cell(__u64 key, int second, __u32 cells)
{
	__u64 mixed = key * 0x9e3779b97f4a7c15ULL;

	return (__u32)(second ? mixed >> 16 : mixed >> 40) & (cells - 1);
}

POLICY_INLINE const struct policy_cell *policy_hash_find(const void *image,
							 const struct policy_hash *hash, __u64 key)
{
	const struct policy_cell *line;
	__u32 cell;

	if (!hash->first)
		return 0;
	cell = policy_hash_cell(key, 0, hash->cells);
	line = policy_line(image, hash->first + cell / 8);
	if (line && line[cell % 8].key == key)
		return &line[cell % 8];
	cell = policy_hash_cell(key, 1, hash->cells);
	line = policy_line(image, hash->first + cell / 8);
	if (line && line[cell % 8].key == key)
		return &line[cell % 8];
	return 0;
}

/* A key for header->endpoints; the port is in host byte order. */
POLICY_INLINE __u64 policy_endpoint_key(int udp, __u16 port)
{
	return 1 + port + ((__u64)(udp != 0) << 16);
}

/* A key for policy_more.executables; whoever finds a line by it compares the executable itself. */
POLICY_INLINE __u64 policy_executable_key(const struct policy_executable *executable)
{
	__u64 key = executable->inode * 0xff51afd7ed558ccdULL ^
		    ((__u64)executable->device << 32 | executable->generation);

	return key ? key : 1;
}

/* What few policies ask of a connection. */
struct policy_query_more {
	const struct waybill_address *local;
	__u32 gid; /* of the originator */
	__u32 interface;
	struct policy_executable executable; /* of the process that connects */
	__u64 netns;                         /* cookie of the network namespace */
	/* Numbers of applications; 0 for one that the policy does not name. */
	__u32 onward, original; /* if there are hops before: that of the originator */
	__u32 application;      /* that of the process which connects: filled in */
	__u32 reserved;
};

/* What a connection is matched by. */
struct policy_query {
	const struct waybill_address *remote;
	int udp;           /* else TCP */
	__u32 uid;         /* of the originator */
	__u32 cgroup_line; /* of the originator */
	struct policy_query_more more;
};

/* The result lines of a query: a filter matches if its bit is set in each of them. */
struct policy_match {
	const __u64 *port, *remote, *user, *cgroup;
	const __u64 *local, *group, *interface, *application, *original, *netns;
};

/*
 * The place of the lowest bit of a word that is not 0. eBPF has no instruction for it: de Bruijn's.
 */
POLICY_INLINE __u32 policy_lowest_bit(__u64 word)
{
	static const __u8 place[64] = {
		0,  1,  48, 2,  57, 49, 28, 3,  61, 58, 50, 42, 38, 29, 17, 4,
		62, 55, 59, 36, 53, 51, 43, 22, 45, 39, 33, 30, 24, 18, 12, 5,
		63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21, 44, 32, 23, 11,
		46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9,  13, 8,  7,  6,
	};

	return place[((word & -word) * 0x03f79d71b4cb0a89ULL) >> 58];
}

struct policy_search {
	const struct policy_match *match;
	__u32 from; /* the first filter that counts */
	__u32 found;
};

static long policy_search_word(__u32 i, void *data)
{
	struct policy_search *search = data;
	const struct policy_match *match = search->match;
	__u64 word;

	if (i >= POLICY_WORDS)
		return 1;
	if (i < search->from / 64)
		return 0;
	word = match->port[i] & match->remote[i] & match->user[i] & match->cgroup[i];
	if (i == search->from / 64)
		word &= ~0ULL << search->from % 64;
	if (!word)
		return 0;
	word &= match->local[i] & match->group[i] & match->interface[i] & match->application[i] &
		match->original[i] & match->netns[i];
	if (!word)
		return 0;
	search->found = i * 64 + policy_lowest_bit(word);
	return 1;
}

/* The first filter at or after "from" that matches, or POLICY_FILTERS_MAX. */
POLICY_INLINE __u32 policy_next(const struct policy_header *header,
				const struct policy_match *match, __u32 from)
{
	struct policy_search search = { .match = match, .from = from, .found = POLICY_FILTERS_MAX };

	policy_loop(header->words, policy_search_word, &search);
	return search.found;
}

/* The result line of an address, in tables for both families; 0: no filter. */
POLICY_INLINE __u32 policy_address_find(const void *image, const struct waybill_address *address,
					__u32 root4, __u32 root6)
{
	const __u8 *a = address->address;
	struct policy_value value;

	if (address->family == 2) {
		value = policy_value32((__u32)a[12] << 24 | a[13] << 16 | a[14] << 8 | a[15]);
		return policy_table_find(image, root4, value, 32);
	}
	value.high = __builtin_bswap64(*(const __u64 *)a);
	value.low = __builtin_bswap64(*(const __u64 *)(a + 8));
	return policy_table_find(image, root6, value, 128);
}

/*
 * What the destination says, which rules most connections out: port, with the protocol, and remote
 * are filled in. Returns 0 if no filter can match, whoever the originator is.
 */
POLICY_INLINE int policy_match_destination(const void *image, const struct policy_header *header,
					   const struct waybill_address *to, int udp,
					   struct policy_match *match)
{
	__u32 line;

	if (!(udp ? header->udp : header->tcp))
		return 0;
	line = policy_table_find(image, header->remote_port,
				 policy_value_port(udp, __builtin_bswap16(to->port)), 17);
	if (!line)
		return 0;
	match->port = policy_line(image, line);
	/* Until more is known of them, the other conditions rule nothing out. */
	match->user = match->cgroup = match->local = match->group = match->interface = match->port;
	match->application = match->original = match->netns = match->port;
	line = policy_address_find(image, to, header->remote4, header->remote6);
	if (!line)
		return 0;
	match->remote = policy_line(image, line);
	return match->remote && match->port && policy_next(header, match, 0) != POLICY_FILTERS_MAX;
}

/* And the originator: user and cgroup. Returns 0 if no filter can match. */
POLICY_INLINE int policy_match_originator(const void *image, const struct policy_header *header,
					  __u32 uid, __u32 cgroup_line, struct policy_match *match)
{
	__u32 line;

	if (!cgroup_line)
		return 0;
	line = policy_table_find(image, header->user, policy_value32(uid), 32);
	if (!line)
		return 0;
	match->user = policy_line(image, line);
	match->cgroup = policy_line(image, cgroup_line);
	return match->user && match->cgroup;
}

/* The result line of a number, or that of numbers which are not in the hash. */
POLICY_INLINE __u32 policy_number_find(const void *image, const struct policy_hash *hash,
				       __u64 number, __u32 none)
{
	const struct policy_cell *cell = number ? policy_hash_find(image, hash, number) : 0;

	return cell ? cell->value : none;
}

/* The application that an executable is; NULL if the policy does not name it. */
POLICY_INLINE const struct policy_application *
policy_application_find(const void *image, const struct policy_more *more,
			const struct policy_executable *executable)
{
	const struct policy_application *application;
	const struct policy_cell *cell;

	if (!more->executables.first || !executable->inode)
		return 0;
	cell = policy_hash_find(image, &more->executables, policy_executable_key(executable));
	application = cell ? policy_line(image, cell->value) : 0;
	return application && application->executable.inode == executable->inode &&
			       application->executable.device == executable->device &&
			       application->executable.generation == executable->generation ?
		       application :
		       0;
}

/* And what few policies ask for: header->more is not 0. Returns 0 if no filter can match. */
POLICY_INLINE int policy_match_more(const void *image, const struct policy_header *header,
				    struct policy_query_more *query, struct policy_match *match)
{
	const struct policy_more *more = policy_line(image, header->more);
	const struct policy_application *named;
	__u32 local, application, original, netns, group, interface;

	if (!more)
		return 0;
	local = policy_address_find(image, query->local, more->local4, more->local6);
	named = policy_application_find(image, more, &query->executable);
	query->application = named ? named->number : 0;
	application = named ? named->application : more->application_none;
	original = policy_number_find(image, &more->originals,
				      query->onward ? query->original : query->application,
				      more->original_none);
	netns = policy_number_find(image, &more->namespaces, query->netns, more->namespace_none);
	group = policy_table_find(image, more->group, policy_value32(query->gid), 32);
	interface = policy_table_find(image, more->interface, policy_value32(query->interface), 32);
	if (!local || !application || !original || !netns || !group || !interface)
		return 0;
	match->local = policy_line(image, local);
	match->application = policy_line(image, application);
	match->original = policy_line(image, original);
	match->netns = policy_line(image, netns);
	match->group = policy_line(image, group);
	match->interface = policy_line(image, interface);
	return match->local && match->application && match->original && match->netns &&
	       match->group && match->interface;
}

/* All of them. */
POLICY_INLINE int policy_match(const void *image, const struct policy_header *header,
			       struct policy_query *query, struct policy_match *match)
{
	return policy_match_destination(image, header, query->remote, query->udp, match) &&
	       policy_match_originator(image, header, query->uid, query->cgroup_line, match) &&
	       (!header->more || policy_match_more(image, header, &query->more, match));
}

/*
 * The services that a user's line and a cgroup's agree on. makers: also those whose listener may be
 * made by such a user in such a cgroup. A service may always make its own.
 */
POLICY_INLINE __u64 policy_services(const __u64 *by_user, const __u64 *by_cgroup, int makers)
{
	__u64 services = by_user[POLICY_SERVICE] & by_cgroup[POLICY_SERVICE];

	return makers ? services | (by_user[POLICY_LISTENER] & by_cgroup[POLICY_LISTENER]) :
			services;
}

POLICY_INLINE const struct policy_filter *
policy_filter(const void *image, const struct policy_header *header, __u32 filter)
{
	const struct policy_filter *two;

	if (filter >= header->filters)
		return 0;
	two = policy_line(image, header->filter_line + filter / 2);
	return two ? two + filter % 2 : 0;
}

POLICY_INLINE const struct policy_service *
policy_service(const void *image, const struct policy_header *header, __u32 slot)
{
	return slot < header->services ? policy_line(image, header->service_line + slot) : 0;
}

#endif
