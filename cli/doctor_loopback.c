// SPDX-License-Identifier: BSD-2-Clause
/*
 * Whether a connection within this host arrives as it was sent. A rule that translates addresses,
 * and is not limited to a device, has connections of loopback too: then a redirected one no longer
 * comes from its number, and its service is told that nobody redirected it. One may drop them, too.
 *
 * What is sent is the SYN of a connection from number 0, which is none's, to a port that is ours and
 * refuses. By raw sockets, which no policy redirects: connect() would be asked about like any other.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doctor.h"

#define THING "loopback"
#define PATIENCE 1000 /* ms, for a packet that mostly is there at once */

struct attempt {
	int reserved[2]; /* keep the ports from others */
	int out, in;
	struct sockaddr_in from, to, came;
};

static int bind_to(int descriptor, struct sockaddr_in *address)
{
	socklen_t size = sizeof(*address);

	return bind(descriptor, (struct sockaddr *)address, sizeof(*address)) ||
			       getsockname(descriptor, (struct sockaddr *)address, &size) ?
		       -errno :
		       0;
}

/* Lets in what goes to a port. */
static int filter_port(int descriptor, in_port_t port)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, offsetof(struct tcphdr, dest)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohs(port), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = { sizeof(steps) / sizeof(*steps), steps };

	return setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) ?
		       -errno :
		       0;
}

/* Returns 0 or -errno. attempt_end() in any case. */
static int attempt_begin(struct attempt *attempt)
{
	struct sockaddr_in host = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in reserved[2] = { host, host };
	int error = 0;

	attempt->out = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP);
	attempt->in = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	for (int i = 0; i < 2; i++)
		attempt->reserved[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (attempt->out < 0 || attempt->in < 0 || attempt->reserved[1] < 0)
		return -errno;
	for (int i = 0; !error && i < 2; i++)
		error = bind_to(attempt->reserved[i], &reserved[i]);
	attempt->from = attempt->to = host;
	attempt->from.sin_addr.s_addr = htonl(CONNECTION_ADDRESS4);
	if (!error)
		error = bind_to(attempt->out, &attempt->from);
	if (!error)
		error = bind_to(attempt->in, &attempt->to);
	attempt->from.sin_port = reserved[0].sin_port;
	attempt->to.sin_port = reserved[1].sin_port;
	return error ? error : filter_port(attempt->in, attempt->to.sin_port);
}

static void attempt_end(const struct attempt *attempt)
{
	const int all[] = { attempt->reserved[0], attempt->reserved[1], attempt->out, attempt->in };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (all[i] >= 0)
			close(all[i]);
}

/* The sum of the segment with its addresses, as TCP has it. */
static uint16_t checksum(const struct attempt *attempt, const struct tcphdr *segment)
{
	struct {
		uint32_t from, to;
		uint16_t protocol, length;
		struct tcphdr segment;
	} all = { attempt->from.sin_addr.s_addr, attempt->to.sin_addr.s_addr, htons(IPPROTO_TCP),
		  htons(sizeof(*segment)), *segment };
	uint16_t words[sizeof(all) / 2];
	uint32_t sum = 0;

	memcpy(words, &all, sizeof(all));
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16));
}

/* Returns 0 or -errno: -ETIMEDOUT if nothing came. */
static int attempt_make(struct attempt *attempt)
{
	struct tcphdr segment = {
		.source = attempt->from.sin_port,
		.dest = attempt->to.sin_port,
		.doff = sizeof(segment) / 4,
		.syn = 1,
		.window = htons(1024),
	};
	struct pollfd wait = { .fd = attempt->in, .events = POLLIN };
	union {
		struct iphdr ip;
		uint8_t bytes[256];
	} packet;
	struct sockaddr_in to = attempt->to;
	ssize_t length;

	segment.check = checksum(attempt, &segment);
	to.sin_port = 0;
	if (sendto(attempt->out, &segment, sizeof(segment), 0, (struct sockaddr *)&to, sizeof(to)) <
	    0)
		return -errno;
	while (poll(&wait, 1, PATIENCE) > 0) {
		length = recv(attempt->in, &packet, sizeof(packet), 0);
		if (length < (ssize_t)(4 * packet.ip.ihl + sizeof(segment)))
			continue;
		memcpy(&segment, packet.bytes + 4 * packet.ip.ihl, sizeof(segment));
		attempt->came.sin_addr.s_addr = packet.ip.saddr;
		attempt->came.sin_port = segment.source;
		return 0;
	}
	return -ETIMEDOUT;
}

static struct text address_text(const struct sockaddr_in *address)
{
	struct waybill_address as = { .family = AF_INET, .port = address->sin_port };

	memcpy(as.address + 12, &address->sin_addr, 4);
	return text_address(&as);
}

void doctor_loopback(struct doctor *doctor)
{
	struct attempt attempt = { 0 };
	int error = attempt_begin(&attempt);

	if (error) {
		doctor_find(doctor, SEVERITY_NOTE, THING, "give this container CAP_NET_RAW",
			    "whether rules change connections within this host cannot be tried: %s",
			    strerror(-error));
		attempt_end(&attempt);
		return;
	}
	error = attempt_make(&attempt);
	if (error)
		doctor_find(doctor, SEVERITY_WARNING, THING,
			    "bring lo up; let firewalls accept what goes by it: iifname lo accept "
			    "(nft), -i lo -j ACCEPT (iptables); limit rules that masquerade to a "
			    "device",
			    "what is sent from %s to %s does not arrive (%s): redirected "
			    "connections come from such addresses, 127.112.0.0/12, and cannot "
			    "arrive either",
			    address_text(&attempt.from).text, address_text(&attempt.to).text,
			    strerror(-error));
	else if (attempt.came.sin_addr.s_addr != attempt.from.sin_addr.s_addr ||
		 attempt.came.sin_port != attempt.from.sin_port)
		doctor_find(doctor, SEVERITY_WARNING, THING,
			    "limit the rule that masquerades or translates to a device: oifname "
			    "eth0 (nft), -o eth0 (iptables)",
			    "a rule changes the source of connections within this host: what was "
			    "sent from %s came from %s. So redirected connections are not known "
			    "when they come, and services get no records of them (ENOENT)",
			    address_text(&attempt.from).text, address_text(&attempt.came).text);
	else
		doctor_find(doctor, SEVERITY_OK, THING, NULL,
			    "connections within this host arrive as they were sent");
	attempt_end(&attempt);
}
