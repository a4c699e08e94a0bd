/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stands in for the kernel half: preloaded into the relay, it answers the socket options of
 * SOL_WAYBILL on accepted sockets as for a connection redirected twice, to 127.66.0.1 and the
 * port in $STUB_PORT. $STUB_REFUSE is an errno for setting records, $STUB_CONTEXT the context.
 * $STUB_REPORT, a descriptor, is told each option that was set, and connect().
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <waybill/abi.h>

#include "records.h"
#include "stub.h"

static void report(const char *what)
{
	const char *fd = getenv("STUB_REPORT");

	if (fd && write(atoi(fd), what, strlen(what)) < 0)
		abort();
}

static void fill_hop(struct records_hop *hop, unsigned int service, unsigned int port)
{
	hop->type = RECORDS_PART_HOP;
	hop->length = sizeof(*hop);
	hop->service = service;
	hop->filter = service >> 24;
	hop->destination.family = AF_INET;
	hop->destination.port = htons(port);
	memset(hop->destination.address + 10, 0xff, 2);
	memcpy(hop->destination.address + 12, "\x7f\x42\x00\x01", 4);
	hop->client.pid = service & 0xff;
	memcpy(hop->client.comm, "caf\xe9\n", 5);
}

static unsigned int destination_port(void)
{
	const char *port = getenv("STUB_PORT");

	return port ? atoi(port) : 0;
}

static size_t fill_records(unsigned char blob[WAYBILL_RECORDS_MAX])
{
	struct records_header header = { .magic = RECORDS_MAGIC,
					 .version = RECORDS_VERSION,
					 .hop_count = 2,
					 .service = STUB_SERVICE };
	struct records_hop hops[2] = { 0 };

	header.length = sizeof(header) + sizeof(hops) + RECORDS_MAC_SIZE;
	fill_hop(&hops[0], STUB_SERVICE_BEFORE, 443);
	fill_hop(&hops[1], STUB_SERVICE, destination_port());
	memset(blob, 0x5a, header.length);
	memcpy(blob, &header, sizeof(header));
	memcpy(blob + sizeof(header), hops, sizeof(hops));
	return header.length;
}

static int answer(const void *bytes, size_t size, void *value, socklen_t *length)
{
	if (*length < size) {
		errno = ERANGE;
		return -1;
	}
	memcpy(value, bytes, size);
	*length = size;
	return 0;
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
	int (*next)(int, int, int, void *, socklen_t *) = dlsym(RTLD_NEXT, "getsockopt");
	struct sockaddr_in destination = { .sin_family = AF_INET };
	const char *context = getenv("STUB_CONTEXT");
	unsigned char blob[WAYBILL_RECORDS_MAX];
	struct waybill_info info = { 0 };
	struct records_hop hops[2] = { 0 };

	if (level != SOL_WAYBILL)
		return next(fd, level, option, value, length);
	fill_hop(&hops[0], STUB_SERVICE_BEFORE, 443);
	fill_hop(&hops[1], STUB_SERVICE, destination_port());
	switch (option) {
	case WAYBILL_REDIRECT_INFO:
		info.size = sizeof(info);
		info.state = WAYBILL_REDIRECTED_BY_SELF;
		info.hop_count = 2;
		info.service = STUB_SERVICE;
		info.flow = STUB_FLOW;
		info.original_destination = hops[1].destination;
		info.originator = hops[0].client;
		info.client = hops[1].client;
		return answer(&info, sizeof(info), value, length);
	case WAYBILL_REDIRECT_RECORDS:
		return answer(blob, fill_records(blob), value, length);
	case WAYBILL_ORIGINAL_DESTINATION:
		destination.sin_port = htons(destination_port());
		inet_pton(AF_INET, "127.66.0.1", &destination.sin_addr);
		return answer(&destination, sizeof(destination), value, length);
	case WAYBILL_REDIRECT_CONTEXT:
		if (context)
			return answer(context, strlen(context), value, length);
		errno = ENODATA;
		return -1;
	}
	errno = ENOPROTOOPT;
	return -1;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	int (*next)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");
	unsigned char blob[WAYBILL_RECORDS_MAX];
	const char *refuse = getenv("STUB_REFUSE");

	if (level != SOL_WAYBILL)
		return next(fd, level, option, value, length);
	if (option != WAYBILL_REDIRECT_RECORDS || length != fill_records(blob) ||
	    memcmp(value, blob, length)) {
		report("wrong records\n");
		errno = EBADMSG;
		return -1;
	}
	if (refuse) {
		errno = atoi(refuse);
		return -1;
	}
	report("records\n");
	return 0;
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");

	report("connect\n");
	return next(fd, address, length);
}
