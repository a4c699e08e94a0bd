/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libwaybill: what a redirect service links. This header is its manual.
 *
 * A redirect service is a program to which Waybill sends connections of others. It accepts one,
 * asks for its records, context and original destination, opens a socket of its own towards that
 * destination, puts the records on it and connects. waybill_connect_onward() is all of that but
 * the accept.
 *
 * No function here needs a privilege, keeps state, starts a thread, logs, or frees or closes
 * what it was given. All are thread-safe, also on the same socket. All return 0 (or what is
 * said) or a negative errno; errno itself is not meaningful after them.
 */
#ifndef WAYBILL_H
#define WAYBILL_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <waybill/abi.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/*
 * Errors that mean the same everywhere below:
 *   -EOPNOTSUPP  Waybill is not up for this socket: nothing answers at SOL_WAYBILL
 *   -ENOENT      connected, but not redirected: somebody dialled the service directly. Refuse it
 *   -ENOTCONN    the socket is listening, or not connected
 *   -EBADF, -ENOTSOCK, -EFAULT  as from getsockopt(2)
 */

/*
 * The records of a redirected connection: bytes to hand on, not to look into or to change.
 *
 * In *size the caller says how many bytes fit into buffer; out of it comes how many were written.
 * WAYBILL_RECORDS_MAX always fit. If they do not fit, nothing is written, *size becomes the size
 * needed, and the answer is -ERANGE. A NULL buffer, or *size 0, asks for the size that way: it
 * never succeeds. With any other error *size is left alone.
 *
 * A query consumes nothing and may be repeated. The blobs of two queries may differ, since an
 * older one is issued anew before it expires: both are good.
 */
int waybill_records_query(int accepted, void *buffer, size_t *size);

/*
 * The bytes that this service's own filter attached to the connection, in the service's own
 * format; WAYBILL_CONTEXT_MAX always fit. Sizes are told as by waybill_records_query().
 *
 * -ENODATA  redirected, but the filter attached none
 * -EACCES   no filter of the caller's service redirected this connection
 */
int waybill_context_query(int accepted, void *buffer, size_t *size);

/*
 * What is known of the connection: see struct waybill_info. It also answers on an onward socket
 * that bears records, and state then says how the caller's service stands to that one.
 *
 * Fields that the kernel half is too old to know are 0, and info->size tells how many bytes it
 * did fill in. What is written never exceeds the struct that the caller was compiled with: when
 * it grows, so does the version of this symbol.
 */
int waybill_info_query(int fd, struct waybill_info *info);

/*
 * The address that the client asked for, ready for connect(2): a sockaddr_in or a sockaddr_in6,
 * and its length in *length, which is not read. An IPv4 address asked for through an IPv6 socket
 * comes as sockaddr_in.
 */
int waybill_original_destination_query(int accepted, struct sockaddr_storage *address,
				       socklen_t *length);

/*
 * Puts records on a socket that is not connected yet; those of another call before are replaced.
 * The bytes are copied.
 *
 * -EACCES       they were issued to another service than the caller is
 * -EBADMSG      malformed, truncated, edited or forged
 * -EKEYEXPIRED  genuine, but too old: query them again on the accepted socket
 * -EISCONN      connect(2) was already called
 * -EOPNOTSUPP   Waybill is not up for this socket, or no policy is applied
 */
int waybill_records_set(int onward, const void *records, size_t size);

/*
 * Carries over to the onward socket all that a connection carries. Today that is its records;
 * what a later version adds comes along without a change of the service. Call it before
 * connect(2). Errors of waybill_records_query() and of waybill_records_set(); after one the
 * onward socket must not be connected.
 */
int waybill_forward(int accepted, int onward);

/*
 * All that a redirect service does between accept(2) and its own work: makes a stream socket of
 * the original destination's family, forwards, and connects it there. Returns the socket, which
 * the caller closes, or a negative errno, with nothing left open.
 *
 * flags is 0 or SOCK_NONBLOCK (SOCK_CLOEXEC is always set). Without SOCK_NONBLOCK the call blocks
 * until the connection is there or failed; a signal handler does not cut that short. With it the
 * returned socket may still be connecting: wait with poll(2) for POLLOUT, then ask
 * getsockopt(SOL_SOCKET, SO_ERROR), which is 0 or the positive errno of the failed connect.
 *
 * -EINVAL        another flag
 * -ELOOP         the hop limit is reached
 * -ECONNREFUSED  the server refuses, a filter blocks, or the next service is down and its policy
 *                says block
 * -EAGAIN        too many handshakes of this user are under way; try again
 * -ENOMEM        no memory for the record
 * and those of waybill_original_destination_query(), waybill_forward(), socket(2), connect(2).
 * A thread must not be cancelled inside: the socket would stay open.
 */
int waybill_connect_onward(int accepted, int flags);

/*
 * Datagrams. A flow is what one socket of a client sends to one destination, with the replies; see
 * <waybill/abi.h>. The control messages below are at level SOL_WAYBILL:
 *
 *   WAYBILL_FLOW                  uint32_t: the flow's number, with every datagram of a flow
 *   WAYBILL_ORIGINAL_DESTINATION  struct sockaddr_in or sockaddr_in6 \
 *   WAYBILL_REDIRECT_RECORDS      the records                         > with the first one
 *   WAYBILL_REDIRECT_CONTEXT      the context, if there is one       /
 *
 * Room for all of them, beside what the program itself asked the kernel for:
 * WAYBILL_CONTROL_MAX bytes.
 */
#define WAYBILL_FLOW 16
#define WAYBILL_CONTROL_MAX (WAYBILL_RECORDS_MAX + WAYBILL_CONTEXT_MAX + 512)

/*
 * Makes a datagram socket that is not bound yet, AF_INET or AF_INET6, the one on which a service
 * receives: bound to the port on every address, so that it gets every flow's; deaf to what comes
 * from other hosts; and told the address of every datagram. An AF_INET6 socket receives both
 * families unless IPV6_V6ONLY is set on it. The port is in host byte order. One that was handed
 * over bound to that port on every address is made ready as well.
 *
 * -EINVAL      not a datagram socket, or bound elsewhere
 * -EACCES      another service's port, or one below 1,024 without the privilege
 * -EADDRINUSE  and others, as from bind(2)
 */
int waybill_bind_datagrams(int fd, uint16_t port);

/*
 * recvmsg(2), with the control messages above added to what the kernel gave. If they do not all
 * fit, those that do are there, whole, and MSG_CTRUNC is set in message->msg_flags; what is
 * missing can be asked for by the number of the flow, at any time. One that was not redirected has
 * none of them. With MSG_PEEK nothing is taken: the first datagram brings the same again.
 *
 * Of several threads or processes that share the socket one gets the records of a flow: with the
 * first datagram that is received, be it another one than the first that was sent.
 * Returns the number of bytes or a negative errno, as from recvmsg(2).
 */
ssize_t waybill_recvmsg(int fd, struct msghdr *message, int flags);

struct mmsghdr; /* of <sys/socket.h> with _GNU_SOURCE */

/* recvmmsg(2) likewise: the number of messages, each with its control messages. */
int waybill_recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags,
		     struct timespec *timeout);

/*
 * sendmsg(2), with two control messages taken off and acted on; others go to the kernel:
 *
 *   WAYBILL_FLOW              a reply: the datagram leaves from the address of this flow.
 *                             message->msg_name is the address that the flow's datagrams come from
 *   WAYBILL_REDIRECT_RECORDS  an onward datagram: it creates a flow with these records. Only the
 *                             first to a destination needs them; a flow that exists stays as it is
 *
 * -EINVAL  a control message is malformed, both are there, or records without msg_name on a
 *          socket that is not connected
 * Else as from sendmsg(2), and with records the errors of waybill_records_set(). Nothing is sent
 * then.
 */
ssize_t waybill_sendmsg(int fd, const struct msghdr *message, int flags);

/* sendmmsg(2) likewise: the number of messages sent, or the error of the first. */
int waybill_sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags);

/*
 * The queries above for a flow, by its number, on the socket that received a datagram of it. They
 * consume nothing. -ENOENT: no such flow lives, or it is another service's.
 */
int waybill_flow_records_query(int fd, uint32_t flow, void *buffer, size_t *size);
int waybill_flow_context_query(int fd, uint32_t flow, void *buffer, size_t *size);
int waybill_flow_info_query(int fd, uint32_t flow, struct waybill_info *info);
int waybill_flow_original_destination_query(int fd, uint32_t flow, struct sockaddr_storage *address,
					    socklen_t *length);

/*
 * Carries over to the onward socket, not connected yet, all that a flow carries, as
 * waybill_forward() does: for what it connects to, and for every flow that it creates unconnected.
 */
int waybill_flow_forward(int fd, uint32_t flow, int onward);

/*
 * Another address of the peer answers: *number is the flow from which a reply (WAYBILL_FLOW)
 * reaches the client as one from this address. The client's socket must not be connected.
 *
 * -ENOENT  no such flow lives, or it is another service's
 * -EINVAL  the families differ, or the client's socket is connected and hears nobody else
 * -ENOBUFS the client's user has too many flows
 */
int waybill_flow_peer(int fd, uint32_t flow, const struct sockaddr *peer, socklen_t length,
		      uint32_t *number);

/*
 * The number of the flow whose address this is, of struct in_pktinfo's ipi_addr or struct
 * in6_pktinfo's ipi6_addr in a sockaddr of its family; 0: none. Cannot fail. And back.
 */
uint32_t waybill_flow_from_address(const struct sockaddr *address, socklen_t length);
void waybill_flow_address4(uint32_t flow, struct in_addr *address);
void waybill_flow_address6(uint32_t flow, struct in6_addr *address);

/* One redirection, as the records tell it. */
struct waybill_hop {
	uint32_t service; /* id of the service that it went to */
	uint32_t filter;  /* id of the filter that decided so */
	uint64_t time;    /* nanoseconds of CLOCK_BOOTTIME of the host that issued the records */
	uint64_t flow;    /* names the redirected connection on that host */
	struct waybill_address destination; /* what the client asked for */
	struct waybill_process client;      /* who asked; in the first hop the originator */
	uint64_t netns;                     /* cookie of the client's network namespace */
	uint64_t cgroup_scope; /* the nearest cgroup that the policy names, 0 for none */
};

/* Records, taken apart to be shown to people. */
struct waybill_records {
	uint32_t version;
	uint32_t hop_count;   /* 1 to WAYBILL_HOPS_MAX */
	uint32_t other_parts; /* parts of types that this version does not know */
	uint32_t key;         /* id of the key of the MAC */
	uint32_t service;     /* whom they were issued to: the service of the last hop */
	uint8_t has_originator; /* whether the three below are told */
	uint8_t dscp;           /* of the originator's socket */
	uint8_t reserved[2];
	uint64_t issued; /* nanoseconds of CLOCK_BOOTTIME of the host that issued them */
	uint64_t flow;   /* of the last hop */
	uint32_t mark, priority; /* SO_MARK and SO_PRIORITY of the originator's socket */
	struct waybill_hop hops[WAYBILL_HOPS_MAX]; /* oldest first; those from hop_count on are 0 */
};

/*
 * Takes records apart. Any bytes may be passed in, aligned or not: -EBADMSG if they are not
 * well-formed, and then *out is all 0. The MAC is NOT checked, since its key is the kernel's: what
 * comes out may be forged and is for showing, never for a decision (waybill_info_query() is).
 * Every comm ends with a NUL, but may hold control characters: escape it before a terminal.
 */
int waybill_records_decode(const void *records, size_t size, struct waybill_records *out);

/*
 * A socket address in the form of records: IPv4 as ::ffff:a.b.c.d with family AF_INET, also when
 * it comes v4-mapped in a sockaddr_in6; a scope only with link-local addresses.
 * -EAFNOSUPPORT: neither AF_INET nor AF_INET6. -EINVAL: length is too short for the family.
 */
int waybill_address_from_sockaddr(const struct sockaddr *address, socklen_t length,
				  struct waybill_address *out);

/*
 * And back: a sockaddr_in or sockaddr_in6, by family, and its length in *length, which is not read.
 * -EAFNOSUPPORT: neither. -EINVAL: AF_INET, but the address is not ::ffff:a.b.c.d.
 */
int waybill_address_to_sockaddr(const struct waybill_address *address, struct sockaddr_storage *out,
				socklen_t *length);

/*
 * The id by which records and struct waybill_info name the service that a policy calls by this
 * name. It is the same on every host, and never 0. Cannot fail.
 */
uint32_t waybill_service_id(const char *name);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
