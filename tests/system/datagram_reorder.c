// SPDX-License-Identifier: BSD-2-Clause
/*
 * Behind the last service datagrams are delivered out of order, late, twice or not at all, both
 * ways: every answer comes from where it was sent from, and no service sees a flow a second time.
 * An answer that comes when its flow has ended is refused, and not taken for the one that follows.
 */
#include "datagram_tools.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define SOCKETS 3
#define FLOWS 50
#define ROUNDS 3
#define AT_ONCE 4 /* datagrams of a flow */
#define SHUFFLED 8
#define EACH (ROUNDS * AT_ONCE)
#define HELD_MAX 256

enum way { ASKED, ANSWERED, WAYS };

/* What the pump and the test share. */
struct pump {
	atomic_int faulty; /* loses and doubles */
	atomic_int hold;   /* keeps all answers */
	atomic_int taken[WAYS], passed[WAYS], lost[WAYS], doubled[WAYS];
};

struct packet {
	ssize_t size;
	unsigned char data[512];
};

static struct {
	int all, late, twice, last[SOCKETS][FLOWS], times[SOCKETS][FLOWS][EACH];
} heard;
static struct pump *pump;
static struct world world;

static int tun_open(const char *name)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };

	if (fd < 0)
		world_skip("/dev/net/tun cannot be opened");
	strcpy(request.ifr_name, name);
	EXPECT(!ioctl(fd, TUNSETIFF, &request), "%s", strerror(errno));
	return fd;
}

/* Passes packets on between the two devices, in an order of its own, which is always the same. */
static void pump_run(const int tun[WAYS])
{
	static struct packet waiting[WAYS][HELD_MAX];
	struct pollfd ready[WAYS] = { { .fd = tun[0], .events = POLLIN },
				      { .fd = tun[1], .events = POLLIN } };
	int count[WAYS] = { 0 };
	unsigned int seed = 20;

	for (;;) {
		bool quiet = poll(ready, WAYS, 5) == 0;

		for (int way = 0; way < WAYS; way++) {
			struct packet *in = &waiting[way][count[way]];
			bool hold = way == ANSWERED && pump->hold;
			int room = hold ? HELD_MAX : SHUFFLED;

			if (!quiet && ready[way].revents) {
				in->size = read(tun[way], in->data, sizeof(in->data));
				/* Only UDP goes on. */
				if (in->size > 28 &&
				    in->data[in->data[0] >> 4 == 4 ? 9 : 6] == IPPROTO_UDP) {
					count[way]++;
					pump->taken[way]++;
				}
			}
			while (count[way] >= room || (count[way] && quiet && !hold)) {
				struct packet *out = &waiting[way][rand_r(&seed) % count[way]];
				int fate = pump->faulty ? rand_r(&seed) % 16 : WAYS;

				if (fate == 0) {
					pump->lost[way]++;
				} else {
					if (write(tun[!way], out->data, out->size) != out->size)
						_exit(1);
					pump->passed[way]++;
				}
				if (fate == 1) /* stays, and comes again */
					pump->doubled[way]++;
				else
					*out = waiting[way][--count[way]];
			}
		}
	}
}

/*
 * The server, in a network namespace of its own. What leaves through the device here arrives at the
 * device there when the pump lets it; with route_localnet that may be loopback addresses.
 */
static void start_server(void)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), tun[WAYS];

	pump = mmap(NULL, sizeof(*pump), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	EXPECT(home >= 0 && pump != MAP_FAILED);
	tun[ASKED] = tun_open("waybill0");
	EXPECT(!system("echo 1 >/proc/sys/net/ipv4/conf/waybill0/route_localnet && "
		       "ip link set waybill0 addrgenmode none txqueuelen 5000 up && "
		       "ip address add 127.65.0.1/32 dev waybill0 && "
		       "ip route add 127.66.0.0/16 dev waybill0 src 127.65.0.1 table local && "
		       "ip address del " SERVER6 "/128 dev lo && "
		       "ip address add fd65::1/128 dev waybill0 nodad && "
		       "ip route add fd66::/64 dev waybill0 src fd65::1"));
	EXPECT(!unshare(CLONE_NEWNET), "%s", strerror(errno));
	tun[ANSWERED] = tun_open("waybill1");
	EXPECT(!system("echo 1 >/proc/sys/net/ipv4/conf/waybill1/route_localnet && "
		       "ip link set lo up && "
		       "ip link set waybill1 addrgenmode none txqueuelen 5000 up && "
		       "ip route add 127.65.0.1 dev waybill1 table local && "
		       "ip route add fd65::1 dev waybill1"));
	/* As if it were a service, which ends with the world. */
	if (world_service_fork(&world, 2))
		pump_run(tun);
	close(tun[ASKED]);
	close(tun[ANSWERED]);
	datagram_server(&world);
	EXPECT(!setns(home, CLONE_NEWNET), "%s", strerror(errno));
}

static void ask(enum family family, const int *fd, int s, int n, int sequence)
{
	struct sockaddr_storage to;
	socklen_t length = datagram_address(family, n, &to);
	char text[32];

	snprintf(text, sizeof(text), "%d %d %d", s, n, sequence);
	EXPECT(sendto(fd[s], text, strlen(text), 0, (void *)&to, length) > 0);
}

/* All answers until none comes any more: each is from where it says, and was asked here. */
static void hear(enum family family, const int *fd, int patience)
{
	char data[128], name[64], all[128];
	struct sockaddr_storage from, wanted;
	struct pollfd wait[SOCKETS];
	int s, n, sequence, mine;
	socklen_t length;
	ssize_t size;

	for (int i = 0; i < SOCKETS; i++)
		wait[i] = (struct pollfd){ .fd = fd[i], .events = POLLIN };
	while (poll(wait, SOCKETS, patience) > 0) {
		for (mine = 0; !wait[mine].revents;)
			mine++;
		length = sizeof(from);
		size = recvfrom(fd[mine], data, sizeof(data) - 1, 0, (void *)&from, &length);
		EXPECT(size >= 0, "%s", strerror(errno));
		data[size] = '\0';
		EXPECT(sscanf(data, "%*[^|]|%d %d %d", &s, &n, &sequence) == 3, "%s", data);
		EXPECT(s == mine && n >= 0 && n < FLOWS && sequence >= 0 && sequence < EACH);
		datagram_name(family, n, name);
		snprintf(all, sizeof(all), "%s|%d %d %d", name, s, n, sequence);
		EXPECT(!strcmp(data, all), "\"%s\", not \"%s\"", data, all);
		datagram_address(family, n, &wanted);
		EXPECT(same_address(&from, &wanted), "\"%s\" is from another", data);
		heard.all++;
		heard.late += sequence < heard.last[s][n];
		heard.twice += heard.times[s][n][sequence]++ > 0;
		heard.last[s][n] = sequence;
	}
}

static void out_of_order(enum family family, const int *fd)
{
	pump->faulty = 1;
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < SOCKETS * FLOWS * AT_ONCE; i++)
			ask(family, fd, i / AT_ONCE / FLOWS, i / AT_ONCE % FLOWS,
			    round * AT_ONCE + i % AT_ONCE);
		hear(family, fd, 100);
	}
	hear(family, fd, 1000);
	printf("%d heard, %d of them late, %d again; %d and %d lost\n", heard.all, heard.late,
	       heard.twice, pump->lost[ASKED], pump->lost[ANSWERED]);
	/* Nothing is lost or doubled but by the pump. */
	EXPECT(pump->taken[ASKED] == SOCKETS * FLOWS * EACH, "%d", pump->taken[ASKED]);
	EXPECT(pump->taken[ANSWERED] == pump->passed[ASKED], "%d", pump->taken[ANSWERED]);
	EXPECT(heard.all == pump->passed[ANSWERED], "%d", pump->passed[ANSWERED]);
	for (int way = 0; way < WAYS; way++)
		EXPECT(pump->lost[way] > 50 && pump->doubled[way] > 50);
	EXPECT(heard.late > heard.all / 8 && heard.twice > 100);
}

/* The answers to sequence 0 are kept until the flows have been idle, and begun anew with 1. */
static void too_late(enum family family, const int *fd)
{
	memset(&heard, 0, sizeof(heard));
	pump->faulty = 0;
	pump->hold = 1;
	pump->taken[ANSWERED] = 0;
	for (int again = 0; again < 2; again++) {
		for (int n = 0; n < FLOWS; n++)
			ask(family, fd, 0, n, again);
		expect_count("answers", &pump->taken[ANSWERED], FLOWS * (again + 1));
		usleep(again ? 0 : 1300000);
	}
	pump->hold = 0;
	hear(family, fd, 1000);
	EXPECT(heard.all == FLOWS, "%d", heard.all);
	for (int n = 0; n < FLOWS; n++)
		EXPECT(!heard.times[0][n][0] && heard.times[0][n][1] == 1, "%d", n);
	EXPECT(counter(&world, COUNT_FLOW_LATE) == FLOWS);
}

int main(int argc, char **argv)
{
	enum family family = family_of(argv[1]);
	int fd[SOCKETS];

	(void)argc;
	world_begin(&world, "datagram_reorder");
	start_server();
	world_up(&world);
	datagram_policy(&world, 2, NULL);
	datagram_service(&world, 0, DATAGRAMS_RECORDS);
	datagram_service(&world, 1, DATAGRAMS_MESSAGES);
	for (int phase = 0; phase < 2; phase++) {
		for (int s = 0; s < SOCKETS; s++)
			fd[s] = datagram_socket(family);
		(phase ? too_late : out_of_order)(family, fd);
		for (int s = 0; s < SOCKETS; s++)
			close(fd[s]);
		for (int i = 0; i < 2; i++) {
			expect_count("flows", &world.seen[i].accepted,
				     FLOWS * (SOCKETS + 2 * phase));
			EXPECT(!world.seen[i].failed && !world.seen[i].direct);
		}
		datagram_policy(&world, 2, "limits: { datagram_idle: 1s }\n");
	}
	EXPECT(!counter(&world, COUNT_NO_RECORDS));
	world_end(&world);
}
