/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel half would decide on a connection, and why: the decision is the same code
 * (decision/decide.h), asked about a connection that somebody describes.
 */
#ifndef WAYBILL_PLATFORM_EXPLAIN_H
#define WAYBILL_PLATFORM_EXPLAIN_H

#include "platform.h"

/* listener.c: who listens at an address, found as the hooks find him. */
struct listener {
	uint32_t uid;    /* of whoever made the socket, */
	uint64_t cgroup; /* and where: an id, 0 if the kernel does not tell */
	uint32_t inode;
	bool shared; /* sockets of other cgroups share its port (SO_REUSEPORT) */
};
/* In the network namespace of the calling thread. 0, -ENOENT if nobody does, or another -errno. */
int listener_look_up(const struct waybill_address *endpoint, bool udp, struct listener *listener);
/* The kernel half has two of these, there is a listener of the service or not; people want more. */
enum explain_listener {
	LISTENER_UNKNOWN, /* not looked for yet */
	LISTENER_ALIVE,
	LISTENER_DOWN,        /* nobody listens */
	LISTENER_ANOTHERS,    /* somebody does who is not the service */
	LISTENER_SHARED,      /* it is, and shares its port with sockets of others */
	LISTENER_OUTSIDE,     /* its socket was made outside of the instance's cgroup */
	LISTENER_NONE,        /* the service has no endpoint for this protocol and family */
	LISTENER_UNREACHABLE, /* for a socket on another device, or where flows' prefix is not local
			       */
};

/*
 * Whom we ask. The image and the settings stay the caller's. What was found out of listeners is
 * kept, so an explanation is for one moment, and for the network namespace that the caller is in.
 */
struct explanation {
	const struct policy_image *image;
	const struct policy_header *header;
	const struct control *control; /* of the instance; NULL: none, so as if it were on "/" */
	uint64_t netns;                /* cookie of the network namespace */
	char mount[1024];              /* of cgroup2 */
	struct explain_known {
		enum explain_listener listener;
		struct decision found; /* as the decision is told of him */
		struct listener who;
	} known[POLICY_SERVICES_MAX][2][2]; /* by slot, family, protocol */
};

/* A connection that is asked about. */
struct explain_query {
	struct waybill_address remote;
	struct waybill_address local; /* that the socket is bound to: 0.0.0.0 or ::, if to none */
	bool udp;
	uint32_t uid, gid;                   /* of the originator */
	const char *cgroup;                  /* of the originator: its path below the mount */
	uint32_t interface;                  /* that the socket is bound to; 0: to none */
	struct policy_executable executable; /* of the process that connects; inode 0: unknown */
	const char *application;             /* its path, for people; may be NULL */
	uint32_t original;  /* with hops before: number of the originator's application */
	uint64_t seen;      /* slots of the services that the records before name, */
	uint32_t hop_count; /* and how many hops they have; */
	bool onward;        /* there are records */
};

struct explain_service {
	const struct policy_service *service;
	enum explain_listener listener;
	struct listener who;   /* if somebody listens */
	bool seen;             /* it is passed over: the records say so, or its identity */
	uint32_t filter;       /* the first of its filters that matches, or POLICY_FILTERS_MAX */
	enum verdict decision; /* 0: it is not asked */
};

/* One connect: what is decided, and each service's part in it, in order of weight. */
struct explain_step {
	struct explain_query query;
	bool outside; /* the originator is outside of the instance's cgroup: no hook is asked */
	/*
	 * DECISION_REDIRECT, _BLOCK, _DOWN_BLOCK, _HOP_LIMIT: by this filter, of this service.
	 * DECISION_FLOW_FOREIGN: refused. _NO_FILTER, _PERMIT, and _TO_SERVICE, to that of the
	 * slot: straight on.
	 */
	enum verdict decision;
	uint32_t slot, filter;
	uint32_t application; /* number of the one that connects, if the policy names it */
	uint32_t presumed; /* slot of the service that must have seen it; POLICY_SERVICES_MAX: none
			    */
	size_t services;
	struct explain_service service[POLICY_SERVICES_MAX];
};

/* control may be NULL. Returns 0, or -ENOENT and message if there is no cgroup2. */
int explain_begin(struct explanation *explanation, const struct policy_image *image,
		  const struct control *control, struct message *message);
/* Decides on one connect. */
void explain_connect(struct explanation *explanation, const struct explain_query *query,
		     struct explain_step *step);
/*
 * And on those that follow, if each service carries the records on and connects to where it was
 * asked for. The steps are for free(). Returns 0 or -ENOMEM.
 */
int explain_follow(struct explanation *explanation, const struct explain_query *query,
		   struct explain_step **steps, size_t *count);
/* The question that the hook of such a connection would ask. */
struct question explain_question(const struct explanation *explanation,
				 const struct explain_query *query);
/*
 * conditions.c: the first condition of a filter that a connection does not meet, by its key in the
 * policy file, and what it was compared with; NULL if it meets all.
 */
const char *explain_failed(const struct explanation *explanation, const struct explain_query *query,
			   uint32_t filter, char *value, size_t size);
/* How the listener of a service stands, and whose it is if there is one. */
enum explain_listener explain_listener(const struct explanation *explanation, uint32_t slot,
				       uint16_t family, bool udp, struct listener *who);
/* The slots of the services that a process may be; makers: or whose listener it may make. */
uint64_t explain_identity(const struct explanation *explanation, uint32_t uid, const char *cgroup,
			  bool makers);

/*
 * unredirected.c: connections that are open, that nobody has redirected, and that a policy would
 * redirect or refuse if they were made now.
 */
struct unredirected {
	const struct socket_entry *socket;
	const char *cgroup;
	const struct explanation *explanation;
	const struct explain_step *step;
};
/* The image need not be in force. Returns what each returned, if that is not 0. */
int instance_unredirected(struct instance *instance, const struct policy_image *image,
			  int (*each)(void *data, const struct unredirected *unredirected),
			  void *data, struct message *message);

#endif
