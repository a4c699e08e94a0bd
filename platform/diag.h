/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's sock_diag: questions about sockets of the calling thread's network namespace. */
#ifndef WAYBILL_PLATFORM_DIAG_H
#define WAYBILL_PLATFORM_DIAG_H

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <waybill/abi.h>

struct diag_question {
	struct nlmsghdr header;
	struct inet_diag_req_v2 request;
};

/* A descriptor, or -errno. */
int diag_open(void);
/* flags: NLM_F_DUMP asks for every socket that fits, and else for one. */
struct diag_question diag_question(uint8_t family, bool udp, unsigned short flags);
/*
 * Every socket that fits a question, which may have attributes: stops at the first for which each
 * returns other than 0, and returns that; or -errno.
 */
int diag_dump(int descriptor, const struct nlmsghdr *question,
	      int (*each)(void *data, const struct nlmsghdr *answer), void *data);
/* Of an answer: the cgroup of the socket, 0 if the kernel does not tell. */
uint64_t diag_cgroup(const struct nlmsghdr *answer);
/* Its local address, or the remote one. */
struct waybill_address diag_address(const struct inet_diag_msg *socket, bool remote);

#endif
