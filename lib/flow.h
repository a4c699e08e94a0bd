/* SPDX-License-Identifier: BSD-2-Clause */
/* Flows of datagrams, as the files of the library see them on a socket. */
#ifndef WAYBILL_LIB_FLOW_H
#define WAYBILL_LIB_FLOW_H

#include <stdint.h>
#include <sys/socket.h>

/* The flow to which a datagram belongs, by the address that it was sent to; 0: none. */
uint32_t flow_of_message(const struct msghdr *message);
/* Makes the kernel tell with every datagram where it was sent to. 0 or a negative errno. */
int flow_tell(int fd);
/* Keeps out other hosts, if the socket is bound to a port of every address already. */
int flow_bound_filter(int fd);

#endif
