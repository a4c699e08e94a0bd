// SPDX-License-Identifier: BSD-2-Clause
/*
 * Options that are not Waybill's are not touched: all there are, in all levels, with buffers of
 * many sizes, are read and set on sockets of a service before and after Waybill's hooks are there:
 * the same result, errno, length and bytes, also for options of 5,000 bytes.
 */
#include "records_tools.h"

#include <linux/filter.h>
#include <net/if.h>
#include <netinet/tcp.h>

#define OTHER_PORT 8100 /* no filter */
#define NAMES 160
#define NO_BUFFER 16

static const int levels[] = { SOL_SOCKET,      SOL_IP,      IPPROTO_TCP,
			      IPPROTO_UDP,     SOL_IPV6,    IPPROTO_ICMPV6,
			      IPPROTO_RAW,     262,         284,
			      SOL_WAYBILL - 1, SOL_WAYBILL, SOL_WAYBILL + 1,
			      0x7fffffff,      -1 };
static const int lengths[] = { 1,   2,   3,    4,    8,    12,   16,    28,        64,
			       144, 256, 4095, 4096, 4097, 5000, 70000, NO_BUFFER, -1 };

#define LEVELS (sizeof(levels) / sizeof(*levels))
#define LENGTHS (sizeof(lengths) / sizeof(*lengths))
#define KINDS 10
#define ACCEPTED 9

struct answer {
	int result, size;
	uint64_t bytes; /* a hash of them */
};

static struct answer get[3][KINDS][LEVELS][NAMES][LENGTHS], set[3][KINDS][LEVELS][NAMES][LENGTHS];

static uint64_t hash(const unsigned char *bytes, size_t size)
{
	uint64_t value = 0xcbf29ce484222325;

	for (size_t i = 0; i < size; i++)
		value = (value ^ bytes[i]) * 0x100000001b3;
	return value;
}

#define SO_PEERPIDFD_ 77

/* A name to try, or -1: ours, or a value that changes by itself, or a file opened each time. */
static int name_of(int level, int i)
{
	int name = i == NAMES - 1 ? 0x7fffffff : i - 1;

	if (level == SOL_WAYBILL && name >= WAYBILL_REDIRECT_RECORDS && name <= WAYBILL_FLOW_PEER)
		return -1;
	if (level == SOL_SOCKET && (name == SO_INCOMING_CPU || name == SO_PEERPIDFD_))
		return -1;
	return level == IPPROTO_TCP && name == TCP_TIMESTAMP ? -1 : name;
}

static void try_all(int descriptor, bool setting, struct answer answers[LEVELS][NAMES][LENGTHS])
{
	static unsigned char buffer[70000];

	for (size_t i = 0; i < LEVELS; i++)
		for (int j = 1; j < NAMES; j++)
			for (size_t k = 0; k < LENGTHS; k++) {
				struct answer *answer = &answers[i][j][k];
				int name = name_of(levels[i], j);
				void *memory = k == LENGTHS - 2 ? NULL : buffer;
				socklen_t size = lengths[k];

				/* With any program there the kernel refuses these by itself. */
				if (name < 0 || (lengths[k] < 0 && !setting) ||
				    (!memory && setting))
					continue;
				memset(buffer, 0, lengths[k] > 5000 ? 5008 : 5000);
				buffer[0] = setting;
				if (setting)
					answer->result = setsockopt(descriptor, levels[i], name,
								    memory, size);
				else
					answer->result = getsockopt(descriptor, levels[i], name,
								    memory, &size);
				answer->result = answer->result ? -errno : 0;
				answer->size = size;
				/* They measure time. */
				if (levels[i] == IPPROTO_TCP &&
				    (name == TCP_INFO || name == TCP_CC_INFO))
					continue;
				answer->bytes = hash(buffer, setting ? 0 : 512);
			}
}

static int connected_socket(enum family family, int listener, int *accepted)
{
	int descriptor = connect_to(family, OTHER_PORT);

	EXPECT(descriptor >= 0, "%s", result_name(descriptor));
	*accepted = accept_from(listener);
	return descriptor;
}

static void try_kinds(int round, const int *listener)
{
	int socket_of_kind[KINDS], spare[4], pair[2], n = 0;

	for (enum family family = V4; family <= V6; family++) {
		socket_of_kind[n++] = socket_of(family, 0);
		socket_of_kind[n++] = connected_socket(family, listener[family], &spare[family]);
		socket_of_kind[n++] = socket_of(family, 0);
		EXPECT(!listen(socket_of_kind[n - 1], 1));
		socket_of_kind[n++] = socket(family == V4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
	}
	EXPECT(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	socket_of_kind[n++] = pair[0];
	socket_of_kind[n++] = spare[V4];
	EXPECT(n == KINDS && socket_of_kind[ACCEPTED] == spare[V4]);
	for (int kind = 0; kind < KINDS; kind++)
		try_all(socket_of_kind[kind], false, get[round][kind]);
	/* Those that can be set are, and change what is read next time. */
	for (int kind = 0; kind < KINDS; kind++)
		try_all(socket_of_kind[kind], true, set[round][kind]);
	for (int kind = 0; kind < KINDS; kind++)
		close(socket_of_kind[kind]);
	close(pair[1]);
	close(spare[V6]);
}

static bool same_result(const struct answer *a, const struct answer *b)
{
	return a->result == b->result && a->size == b->size;
}

static int compare(struct answer all[3][KINDS][LEVELS][NAMES][LENGTHS], const char *what)
{
	int compared = 0;

	for (size_t n = 0; n < KINDS * LEVELS * NAMES * LENGTHS; n++) {
		const struct answer *a = &all[0][0][0][0][0] + n, *b = &all[1][0][0][0][0] + n,
				    *with = &all[2][0][0][0][0] + n;
		size_t length = n % LENGTHS, name = n / LENGTHS % NAMES,
		       level = n / LENGTHS / NAMES % LEVELS, kind = n / LENGTHS / NAMES / LEVELS;

		if (!same_result(a, b))
			continue; /* it changes by itself */
		EXPECT(same_result(a, with),
		       "%s, kind %zu, level %d, option %d, length %d: %s, "
		       "%d, not %s, %d",
		       what, kind, levels[level], name_of(levels[level], name), lengths[length],
		       result_name(with->result), with->size, result_name(a->result), a->size);
		/* The port that the kernel chose for the other end. */
		if (kind == ACCEPTED && levels[level] == SOL_SOCKET &&
		    name_of(SOL_SOCKET, name) == SO_PEERNAME)
			continue;
		EXPECT(a->bytes != b->bytes || with->bytes == a->bytes,
		       "%s, kind %zu, level %d, option %d, length %d: bytes differ", what, kind,
		       levels[level], name_of(levels[level], name), lengths[length]);
		compared += a->result == 0 && a->bytes == b->bytes;
	}
	return compared;
}

/* More than a page goes to the kernel, and it takes it all. */
static void set_large(void)
{
	static struct ip_msfilter filter, told;
	static unsigned char memory[5000];
	static struct sock_filter program[1200];
	struct sock_fprog attached = { .len = 1200, .filter = program };
	struct ip_msfilter *large = (void *)memory;
	struct ip_mreqn group = { .imr_ifindex = if_nametoindex("lo") };
	int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(memory);

	group.imr_multiaddr.s_addr = htonl(0xe8010101);
	group.imr_address.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT(!setsockopt(descriptor, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)), "%s",
	       strerror(errno));
	filter.imsf_multiaddr = group.imr_multiaddr;
	filter.imsf_interface = group.imr_address;
	filter.imsf_fmode = MCAST_EXCLUDE;
	filter.imsf_numsrc = (sizeof(memory) - 16) / 4;
	memcpy(memory, &filter, 16);
	for (uint32_t i = 0; i < filter.imsf_numsrc; i++)
		large->imsf_slist[i].s_addr = htonl(0x0a000000 + i);
	EXPECT(!setsockopt(descriptor, IPPROTO_IP, IP_MSFILTER, memory, sizeof(memory)), "%s",
	       strerror(errno));
	told = filter;
	told.imsf_numsrc = 0;
	size = 16;
	EXPECT(!getsockopt(descriptor, IPPROTO_IP, IP_MSFILTER, &told, &size));
	EXPECT(told.imsf_numsrc == filter.imsf_numsrc, "%u sources", told.imsf_numsrc);
	memset(memory + 16, 0, sizeof(memory) - 16);
	size = sizeof(memory);
	EXPECT(!getsockopt(descriptor, IPPROTO_IP, IP_MSFILTER, memory, &size) && size == 5000);
	for (uint32_t i = 0; i < filter.imsf_numsrc; i++)
		EXPECT(ntohl(large->imsf_slist[i].s_addr) == 0x0a000000 + i, "source %u", i);

	for (int i = 0; i < 1200; i++)
		program[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, i);
	EXPECT(!setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &attached, sizeof(attached)));
	size = 0;
	EXPECT(!getsockopt(descriptor, SOL_SOCKET, SO_GET_FILTER, NULL, &size) && size == 1200);
	close(descriptor);
}

int main(void)
{
	struct world world;
	int listener[2], compared;
	FILE *limit;

	world_begin(&world, "options_of_others");
	limit = fopen("/proc/sys/net/ipv4/igmp_max_msf", "w");
	EXPECT(limit && fputs("2000", limit) >= 0 && !fclose(limit));
	as_service(&world, 0);
	for (enum family family = V4; family <= V6; family++)
		listener[family] = server_listener(family, OTHER_PORT);
	try_kinds(0, listener);
	try_kinds(1, listener);
	set_large();
	as_root(&world);
	world_up(&world);
	world_policy(&world, 1, NULL);
	as_service(&world, 0);
	try_kinds(2, listener);
	compared = compare(get, "get");
	EXPECT(compared > 5000, "only %d options could be read", compared);
	compared = compare(set, "set");
	EXPECT(compared > 2000, "only %d options could be set", compared);
	set_large();
	as_root(&world);
	world_end(&world);
}
