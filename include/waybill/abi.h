/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between the kernel half of Waybill and every redirect service, in any language:
 * socket options at one level, four for connections and as many more for datagrams. Nothing else is
 * needed to be a redirect service; libwaybill is a convenience over what is declared here.
 * docs/records.md specifies it for implementers.
 *
 * All integers are in host byte order unless a comment says otherwise.
 */
#ifndef WAYBILL_ABI_H
#define WAYBILL_ABI_H

#include <linux/types.h>

/* The level for getsockopt(2) and setsockopt(2): the letters "WB". */
#define SOL_WAYBILL 0x5742

/*
 * get, on the accepted socket: the records, an opaque blob of variable length.
 * set, on the onward socket before connect(2): the blob that the accepted socket gave.
 *
 * get: ENOENT (connected, but nobody redirected it), ENOTCONN (listening, or not connected),
 *      ERANGE (buffer too small: nothing is copied; WAYBILL_REDIRECT_INFO tells the size).
 * set: EACCES (the caller is not the service that the records were issued to),
 *      EBADMSG (malformed, truncated, edited or forged), EKEYEXPIRED (genuine, but too old),
 *      EISCONN (connect was already called), ENOMEM (the socket has no memory left for them),
 *      ELOOP (they are so long that no hop could be added; the engine issues none of these).
 * both: EOPNOTSUPP, or from older kernels ENOPROTOOPT (the platform is not up for this socket).
 *
 * A failed set changes nothing: records that were set before are still on the socket. Records
 * are for one connection: once it is established, a later connect of the socket has none.
 */
#define WAYBILL_REDIRECT_RECORDS 1

/*
 * get: the bytes that the caller's own filter attached to this connection, 1 to 1,024 of them.
 * ENODATA: redirected, but the filter attached none. EACCES: the caller's service did not
 * redirect this connection. Else as above.
 */
#define WAYBILL_REDIRECT_CONTEXT 2

/*
 * get: struct waybill_info. ERANGE if the buffer is under the first version's 152 bytes. Answered
 * on an onward socket with records too, and so is the context: how the service stands there.
 */
#define WAYBILL_REDIRECT_INFO 3

/* get: the address that the client asked for, as struct sockaddr_in or struct sockaddr_in6. */
#define WAYBILL_ORIGINAL_DESTINATION 4

/*
 * Datagrams. What one socket sends to one destination is a flow, and every redirected flow has an
 * address of its own on this host's loopback: it is the address at which the service receives the
 * flow's datagrams (IP_PKTINFO, IPV6_RECVPKTINFO tell it), and from which it sends the replies.
 * The client sees the peer that it asked for. The number of the flow is the low 20 bits of that
 * address: 127.96.0.0/12 in IPv4, WAYBILL_FLOW_PREFIX6/64 in IPv6, which spells "Waybill". A
 * number names a flow as long as that lives; it is given to another one much later.
 *
 * A flow ends with the client's socket, or when the client connects the socket elsewhere; one of
 * a socket that is not connected also when it was idle for as long as the policy says.
 */
#define WAYBILL_FLOW_ADDRESS4 0x7f600000U /* host byte order */
#define WAYBILL_FLOW_PREFIX6                                                                       \
	{                                                                                          \
		0xfd, 'W', 'a', 'y', 'b', 'i', 'l', 'l'                                            \
	}
#define WAYBILL_FLOW_BITS 20
#define WAYBILL_FLOW_MASK ((1U << WAYBILL_FLOW_BITS) - 1)

/*
 * getsockopt(2) takes no input, so the flow that is asked for is in the number of the option. Asked
 * on a datagram socket of the service at the flow's port, with WAYBILL_REDIRECT_RECORDS,
 * WAYBILL_REDIRECT_CONTEXT, WAYBILL_REDIRECT_INFO, WAYBILL_ORIGINAL_DESTINATION, or one of the next
 * two. ENOENT: no such flow lives, or it is not the caller's service's. Else as above.
 */
#define WAYBILL_OF_FLOW(option, flow) ((option) << WAYBILL_FLOW_BITS | ((flow)&WAYBILL_FLOW_MASK))

/*
 * get, WAYBILL_OF_FLOW: a __u32. 1 if nobody has taken the flow on this socket yet, else 0. TAKE
 * takes it at that: of any number of callers one gets the 1. Whoever gets it has the datagram that
 * tells of the flow.
 */
#define WAYBILL_FLOW_NEW 5
#define WAYBILL_FLOW_TAKE 6

/*
 * set, on a datagram socket: struct waybill_flow_records, then the blob. The records of the flow
 * that the next datagram from this socket to this destination creates. Errors as for
 * WAYBILL_REDIRECT_RECORDS; EISCONN: the flow exists already, and is as it is. ENOBUFS: too many
 * flows. ELOOP: one hop more would be too long. (WAYBILL_REDIRECT_RECORDS itself, set on a datagram
 * socket, is for connect(2), and for every flow that the socket creates without connect.)
 */
#define WAYBILL_FLOW_RECORDS 7

/*
 * set, on a datagram socket of the service: struct waybill_flow_peer. Makes the flow by which the
 * client of another flow and this peer would talk, through this service; a datagram sent from its
 * address reaches the client as one from the peer. EINVAL: the families differ, or the client's
 * socket is connected and hears nobody else. ENOBUFS: too many flows.
 * get: a __u32, the number of the flow that the calling thread's last set made, or found.
 */
#define WAYBILL_FLOW_PEER 8

/* The largest blob that WAYBILL_REDIRECT_RECORDS gives or takes, in bytes. */
#define WAYBILL_RECORDS_MAX 2048

/* The largest context, in bytes. */
#define WAYBILL_CONTEXT_MAX 1024

/* Hops in one set of records: at most, and unless the policy says otherwise. */
#define WAYBILL_HOPS_MAX 16
#define WAYBILL_HOPS_DEFAULT 8

/*
 * What connect(2) itself may answer, in an application or on an onward socket: ECONNREFUSED (a
 * filter blocks, the service is down and its policy says block, or the socket has a source route),
 * ELOOP (the hop limit), EAGAIN (too many handshakes of this user are under way), ENOMEM (no memory
 * for the record). With datagrams sendmsg(2) answers so too, and both ENOBUFS (the originator's
 * user has too many flows, or no memory) in place of the last two.
 */

/* How a service stands to a connection with the hops h1..hn. */
enum waybill_state {
	WAYBILL_NOT_REDIRECTED = 0,                /* n = 0 */
	WAYBILL_REDIRECTED_BY_SELF = 1,            /* hn is the service */
	WAYBILL_REDIRECTED_BY_OTHER = 2,           /* it is in none of h1..hn */
	WAYBILL_PREVIOUSLY_REDIRECTED_BY_SELF = 3, /* it is in h1..h(n-1), and not hn */
};

/* An address with its port. IPv4 is held as ::ffff:a.b.c.d, so both families compare alike. */
struct waybill_address {
	__u16 family;     /* AF_INET (2) or AF_INET6 (10); a v4-mapped address is AF_INET */
	__u16 port;       /* network byte order */
	__u32 scope_id;   /* interface of a link-local IPv6 address, else 0 */
	__u8 address[16]; /* network byte order */
};

/* A process as it was when it called connect(2). Ids are those of the initial namespaces. */
struct waybill_process {
	__u32 pid; /* the process (thread group), not the thread */
	__u32 uid;
	__u32 gid;
	__u32 application; /* number of its executable, if the policy named it; else 0 */
	__u64 cgroup;      /* id of its cgroup2 cgroup: the inode number of the directory */
	char comm[16];
};

/* The values of WAYBILL_FLOW_RECORDS and WAYBILL_FLOW_PEER. */
struct waybill_flow_records {
	struct waybill_address destination;
	__u8 records[];
};

struct waybill_flow_peer {
	__u32 flow; /* number of the flow whose client it is */
	__u32 reserved;
	struct waybill_address peer;
};

/*
 * What is known of one redirected connection, or flow of datagrams. Later versions add fields at
 * the end; a caller passes the size of the struct that it was compiled with and gets that part of
 * it.
 */
struct waybill_info {
	__u32 size;         /* bytes filled in */
	__u32 state;        /* enum waybill_state, as seen by the caller's service */
	__u32 hop_count;    /* services that the connection was redirected to, this one included */
	__u32 service;      /* id of the service that it was last redirected to */
	__u32 filter;       /* id of the filter that did */
	__u32 records_size; /* bytes that WAYBILL_REDIRECT_RECORDS will give */
	__u32 context_size; /* bytes that WAYBILL_REDIRECT_CONTEXT will give; 0: ENODATA */
	__u32 reserved;
	__u64 flow; /* names this redirected connection, unique until the next boot */
	__u64 time; /* when it was redirected: nanoseconds of CLOCK_BOOTTIME */
	struct waybill_address original_destination; /* what the client asked for */
	struct waybill_process originator;           /* the application at the start of the chain */
	struct waybill_process client; /* who made this connection: the originator, or a service */
	/* Of the originator's socket when it connected, or of the flow's first datagram: */
	__u32 mark;     /* SO_MARK */
	__u32 priority; /* SO_PRIORITY */
	__u8 dscp;      /* the upper six bits of IP_TOS or IPV6_TCLASS */
	__u8 reserved2[7];
};

#define WAYBILL_INFO_SIZE_1 152 /* of the first version, up to mark */

#endif
