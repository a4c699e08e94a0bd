/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who sees a connection, or a flow of datagrams, next: one decision over a question and a policy
 * image, pure, for the eBPF programs and for user space alike. It is taken in steps. Each says what
 * became of one service, or of all; or it asks for the one thing that cannot be known here, whether
 * somebody listens who is the service, and goes on with the answer.
 */
#ifndef WAYBILL_DECISION_DECIDE_H
#define WAYBILL_DECISION_DECIDE_H

#include "address.h"
#include "find.h"

/* What a decision is about, for those who are told of it as well. */
struct subject {
	struct waybill_address destination; /* resolved: never the unspecified address */
	__u16 hop_count;                    /* that the records have so far */
	__u16 udp;                          /* else TCP */
};

/* All that is known of a connection. Who asks fills it in, and nobody else. */
struct question {
	struct subject to;
	__u32 unreachable;            /* the socket cannot reach a service's endpoint */
	struct waybill_address local; /* that the socket is bound to; 0.0.0.0 or ::, if to none */
	__u64 netns;                  /* cookie */
	/* The originator: whoever connects, or the one that the records name first. */
	__u64 cgroup; /* id; its scope will do, if that is known to be exact */
	__u64 scope;  /* id of the nearest cgroup, itself or above, that the policy names; or 0 */
	__u64 seen;   /* slots of the services that the records name */
	__u32 uid, gid;
	__u32 original;    /* number of his application, if there are records */
	__u32 application; /* line of that of whoever connects, if the policy names it */
	__u32 interface;   /* that the socket is bound to */
	__u32 foreign;     /* the socket bears records that are not those of whoever connects */
};

enum verdict {
	DECISION_NO_FILTER = 1, /* no filter matches */
	DECISION_PERMIT,        /* every filter that decided says permit, or every service saw it */
	DECISION_REDIRECT,
	DECISION_BLOCK,
	DECISION_DOWN_PASS,  /* service is down: on to the next */
	DECISION_DOWN_BLOCK, /* service is down: refused */
	DECISION_TO_SERVICE, /* aimed at a service's endpoint */
	DECISION_HOP_LIMIT,
	DECISION_NO_RECORDS, /* a service without records: it and those above are passed over */
	DECISION_FULL,       /* too many connections of this user are under way */
	DECISION_NO_MEMORY,
	DECISION_BIND_REFUSED,
	DECISION_SOURCE_ROUTE, /* the socket has a source route or a routing header */
	DECISION_SEEN,         /* a filter matches, but its service is in the records */
	DECISION_FLOW_FOREIGN, /* sent to the address of another socket's flow */
	DECISION_FLOW_LATE,    /* a service's reply from a flow that has ended */
	DECISION_BROKEN,       /* refused: the kernel half found what cannot be */
	DECISION_UNHEARD,      /* nobody listens at a loopback address */
	DECISION_NO_SOURCE,    /* no port is left, or another has the same addresses */
	DECISION_USED_AGAIN,   /* a socket of IPv6 that was redirected by IPv4 before */
	DECISIONS,
	/* Of a step alone: */
	DECISION_NOTHING = 0,
	DECISION_ASK = 64, /* does somebody listen at the endpoint who is the service? */
};

/* The conditions of filters. Each has a result line for every value. */
enum condition {
	CONDITION_PORT, /* with the protocol */
	CONDITION_REMOTE,
	CONDITION_USER,
	CONDITION_CGROUP,
	CONDITIONS_OF_ALL, /* those below are asked for only if the policy has any of them */
	CONDITION_LOCAL = CONDITIONS_OF_ALL,
	CONDITION_GROUP,
	CONDITION_INTERFACE,
	CONDITION_APPLICATION,
	CONDITION_ORIGINAL,
	CONDITION_NETNS,
	CONDITIONS
};

/*
 * The result lines of a question: a filter matches if its bit is set in each of them. 0: none does.
 */
struct match {
	__u32 line[CONDITIONS];
};

enum decide_step {
	DECIDE_BEGIN,
	DECIDE_ENDPOINT, /* asked whether the destination is a service's own endpoint */
	DECIDE_SERVICES, /* one after the other, by weight */
	DECIDE_LISTENER, /* asked whether the candidate's listener lives */
	DECIDE_END,
};

/* What was found where a decision asked for a listener. */
enum listening {
	FOUND_NOBODY,   /* nobody listens */
	FOUND_SHARED,   /* somebody does, and sockets of other cgroups share his port (SO_REUSEPORT)
			 */
	FOUND_OUTSIDE,  /* his socket was made outside of the instance's cgroup */
	FOUND_LISTENER, /* the service, if that is who made the socket */
};

/* How far a decision has come, and what is to be done. Before the first step decide_start(). */
struct decision {
	union {
		struct match match;
		struct waybill_address endpoint; /* where it goes, once the verdict is REDIRECT */
	};
	__u64 seen; /* slots of services that are passed over */
	union {
		__u64 listener_scope; /* the answer to DECISION_ASK, by whoever was asked: as in a
					 question */
		struct {
			__u32 context,
				context_size; /* of the filter, once the verdict is REDIRECT */
		};
	};
	__u32 listener_uid;    /* and this, */
	__u32 generation;      /* of the policy that it is taken by */
	__u32 service, filter; /* ids that the step is about, or 0 */
	__u32 presumed; /* id of the service that must have seen it, although it set no records */
	__u32 application; /* number of the one that connects, if the policy names it */
	__u16 number;      /* of the filter */
	__u16 next;        /* the filter to go on with */
	__u8 slot;         /* of the service */
	__u8 step;         /* enum decide_step */
	__u8 verdict;      /* enum verdict, of this step */
	__u8 listens;      /* and this: enum listening */
};

/*
 * What the destination says, which rules most connections out. Returns 0 if no filter can match,
 * whoever the originator is.
 */
POLICY_INLINE int match_destination(const void *image, const struct policy_header *header,
				    const struct subject *to, struct match *match)
{
	match->line[CONDITION_PORT] = 0;
	match->line[CONDITION_REMOTE] = 0;
	if (!(to->udp ? header->udp : header->tcp))
		return 0;
	match->line[CONDITION_PORT] = policy_table_find(
		image, header->remote_port,
		policy_value_port(to->udp, __builtin_bswap16(to->destination.port)), 17);
	if (!match->line[CONDITION_PORT])
		return 0;
	match->line[CONDITION_REMOTE] =
		policy_address_find(image, &to->destination, header->remote4, header->remote6);
	return match->line[CONDITION_REMOTE] != 0;
}

/* What the policy says of a cgroup: filters' result line and services' line. */
struct policy_place {
	__u32 filters, services;
};

POLICY_INLINE void place_find(const void *image, const struct policy_header *header, __u64 cgroup,
			      __u64 scope, struct policy_place *place)
{
	const struct policy_cell *cell = 0;

	/*
	 * An originator's cgroup may be younger than his scope's policy, or gone: either may be
	 * named.
	 */
	if (cgroup && cgroup != scope)
		cell = policy_hash_find(image, &header->cgroups, cgroup);
	if (!cell && scope)
		cell = policy_hash_find(image, &header->cgroups, scope);
	place->filters = cell ? cell->value : header->cgroup_none;
	place->services = cell ? cell->value2 : header->cgroup_none_services;
}

/* The slots of the services that somebody may be; makers: or whose listener he may make. */
POLICY_INLINE __u64 services_of_in(struct policy_descent *descent, const void *image,
				   const struct policy_header *header, __u32 uid, __u64 scope,
				   int makers)
{
	const __u64 *by_user, *by_cgroup;
	struct policy_place place;
	__u32 users;

	place_find(image, header, 0, scope, &place);
	users = policy_table_find_in(descent, image, header->service_user, policy_value32(uid), 32);
	if (!users || !place.services)
		return 0;
	by_user = policy_line(image, users);
	by_cgroup = policy_line(image, place.services);
	return by_user && by_cgroup ? policy_services(by_user, by_cgroup, makers) : 0;
}

/* The same, for who has room on his stack. */
POLICY_INLINE __u64 services_of(const void *image, const struct policy_header *header, __u32 uid,
				__u64 scope, int makers)
{
	struct policy_descent descent;

	return services_of_in(&descent, image, header, uid, scope, makers);
}

/* The originator, and what few policies ask for. Returns 0 if no filter can match. */
POLICY_INLINE int match_rest(const void *image, const struct policy_header *header,
			     const struct question *question, struct match *match,
			     __u32 *application)
{
	const struct policy_application *named;
	const struct policy_more *more;
	struct policy_place place;
	int i, all = 1;

	place_find(image, header, question->cgroup, question->scope, &place);
	match->line[CONDITION_CGROUP] = place.filters;
	match->line[CONDITION_USER] =
		policy_table_find(image, header->user, policy_value32(question->uid), 32);
	/* They rule nothing out. */
	for (i = CONDITIONS_OF_ALL; i < CONDITIONS; i++)
		match->line[i] = match->line[CONDITION_PORT];
	*application = 0;
	if (!header->more)
		return place.filters && match->line[CONDITION_USER];
	more = policy_line(image, header->more);
	if (!more) {
		/* What cannot be is found where the filters are looked for. */
		match->line[CONDITION_LOCAL] = POLICY_LINE_BROKEN;
		return 1;
	}
	match->line[CONDITION_LOCAL] =
		policy_address_find(image, &question->local, more->local4, more->local6);
	match->line[CONDITION_GROUP] =
		policy_table_find(image, more->group, policy_value32(question->gid), 32);
	match->line[CONDITION_INTERFACE] =
		policy_table_find(image, more->interface, policy_value32(question->interface), 32);
	named = question->application ? policy_line(image, question->application) : 0;
	*application = named ? named->number : 0;
	match->line[CONDITION_APPLICATION] = named ? named->application : more->application_none;
	match->line[CONDITION_ORIGINAL] = policy_number_find(
		image, &more->originals, question->to.hop_count ? question->original : *application,
		more->original_none);
	match->line[CONDITION_NETNS] =
		policy_number_find(image, &more->namespaces, question->netns, more->namespace_none);
	for (i = CONDITION_USER; i < CONDITIONS; i++)
		all &= match->line[i] != 0;
	return all;
}

struct match_search {
	const __u64 *result[CONDITIONS];
	__u32 from; /* the first filter that counts */
	__u32 found;
};

static long match_search_word(__u32 i, void *data)
{
	struct match_search *search = data;
	__u64 word;

	i += search->from / 64;
	if (i >= POLICY_WORDS)
		return 1;
	word = search->result[CONDITION_PORT][i] & search->result[CONDITION_REMOTE][i] &
	       search->result[CONDITION_USER][i] & search->result[CONDITION_CGROUP][i];
	if (i == search->from / 64)
		word &= ~0ULL << search->from % 64;
	if (!word)
		return 0;
	word &= search->result[CONDITION_LOCAL][i] & search->result[CONDITION_GROUP][i] &
		search->result[CONDITION_INTERFACE][i] & search->result[CONDITION_APPLICATION][i] &
		search->result[CONDITION_ORIGINAL][i] & search->result[CONDITION_NETNS][i];
	if (!word)
		return 0;
	search->found = i * 64 + policy_lowest_bit(word);
	return 1;
}

/*
 * The first filter at or after "from" that matches, or POLICY_FILTERS_MAX; MATCH_BROKEN if the
 * image is not what its compiler makes.
 */
#define MATCH_BROKEN (POLICY_FILTERS_MAX + 1)

POLICY_INLINE __u32 match_next(const void *image, const struct policy_header *header,
			       const struct match *match, __u32 from)
{
	struct match_search search = { .from = from, .found = POLICY_FILTERS_MAX };
	int i;

	for (i = 0; i < CONDITIONS; i++) {
		search.result[i] = policy_line(image, match->line[i]);
		if (!search.result[i])
			return MATCH_BROKEN;
	}
	policy_loop(header->words, match_search_word, &search);
	return search.found;
}

/*
 * A service that has set no records: it, and every service before it in the order of weights,
 * counts as having seen the connection. Of services that share an identity, the last one counts.
 */
POLICY_INLINE __u64 services_up_to(__u64 services)
{
	services |= services >> 1;
	services |= services >> 2;
	services |= services >> 4;
	services |= services >> 8;
	services |= services >> 16;
	services |= services >> 32;
	return services;
}

/*
 * The slots of services that are not to see a connection again because of one hop of its records.
 */
POLICY_INLINE __u64 services_of_hop(const void *image, const struct policy_header *header,
				    __u32 service, int presumed)
{
	const struct policy_cell *cell = policy_hash_find(image, &header->ids, service);
	__u64 slot;

	if (!cell)
		return 0;
	slot = 1ULL << (cell->value & 63);
	return presumed ? services_up_to(slot) : slot;
}

/*
 * The endpoint of a service for a family. Returns 0 if it has none. Datagrams go to the address of
 * their flow: any of these is as good as another to find who listens there.
 */
POLICY_INLINE int service_endpoint(const struct policy_service *service, __u16 family, int udp,
				   struct waybill_address *endpoint)
{
	endpoint->family = family;
	endpoint->scope_id = 0;
	if (udp) {
		flow_address(1, family, endpoint);
		endpoint->port = service->udp_port;
		return service->udp_port != 0;
	}
	endpoint->port = service->tcp_port;
	if (family == ADDRESS_INET)
		address_map(endpoint->address, *(const __u32 *)service->address4);
	else
		__builtin_memcpy(endpoint->address, service->address6, 16);
	return service->tcp_port && (family == ADDRESS_INET ? service->has4 : service->has6);
}

/*
 * Where it is to be asked whether somebody listens. Returns 0 if the service has no endpoint for
 * this.
 */
POLICY_INLINE int decide_endpoint(const struct policy_service *service,
				  const struct question *question, const struct decision *decision,
				  struct waybill_address *endpoint)
{
	if (decision->step != DECIDE_ENDPOINT)
		return service_endpoint(service, question->to.destination.family, question->to.udp,
					endpoint);
	*endpoint = question->to.destination;
	return 1;
}

/*
 * The slot whose endpoint a destination may be. Only on loopback: a listener on every address is
 * found for any destination, be it another host's. Whether it is, the listener tells.
 */
POLICY_INLINE const struct policy_cell *
endpoint_find(const void *image, const struct policy_header *header, const struct subject *to)
{
	const struct policy_cell *cell = policy_hash_find(
		image, &header->endpoints,
		policy_endpoint_key(to->udp, __builtin_bswap16(to->destination.port)));

	return cell && (address_is_loopback((const __u32 *)to->destination.address) ||
			(to->udp && flow_of_address(&to->destination))) ?
		       cell :
		       0;
}

/* Begins a decision, or begins it anew by another policy: nothing that was found is used again. */
POLICY_INLINE void decide_start(const struct policy_header *header, struct decision *decision)
{
	decision->generation = header->generation;
	decision->step = DECIDE_BEGIN;
	decision->verdict = DECISION_NOTHING;
	decision->next = 0;
	decision->presumed = 0;
	decision->service = decision->filter = 0;
	decision->application = 0;
}

POLICY_INLINE void decide_end(struct decision *decision, __u32 verdict)
{
	decision->verdict = verdict;
	decision->step = DECIDE_END;
}

/* Some filter matches. match_destination() has said yes, with the same policy. */
POLICY_INLINE void decide_begin(const void *image, const struct policy_header *header,
				const struct question *question, struct decision *decision)
{
	const struct policy_service *service;
	const struct policy_cell *cell;

	decision->step = DECIDE_ENDPOINT;
	decision->verdict = DECISION_NOTHING;
	decision->listens = FOUND_NOBODY;
	cell = endpoint_find(image, header, &question->to);
	if (!cell)
		return;
	service = policy_service(image, header, cell->value);
	if (!service) {
		decide_end(decision, DECISION_BROKEN);
		return;
	}
	decision->verdict = DECISION_ASK;
	decision->service = service->id;
	decision->slot = cell->value;
}

/* Who connects without records may be a service that has set none. */
POLICY_INLINE void decide_presumed(const void *image, const struct policy_header *header,
				   const struct question *question, struct decision *decision)
{
	const struct policy_service *service;
	__u64 services;

	decision->step = DECIDE_SERVICES;
	decision->verdict = DECISION_NOTHING;
	decision->seen = question->seen;
	decision->presumed = 0;
	if (question->to.hop_count)
		return;
	services = services_of(image, header, question->uid, question->scope, 0);
	if (!services)
		return;
	decision->seen = services_up_to(services);
	decision->slot = policy_lowest_bit((decision->seen >> 1) + 1);
	service = policy_service(image, header, decision->slot);
	if (!service)
		return;
	decision->presumed = decision->service = service->id;
	decision->verdict = DECISION_NO_RECORDS;
}

/* One service: the first filter of it that matches decides. */
POLICY_INLINE void decide_service(const void *image, const struct policy_header *header,
				  const struct question *question, __u32 found,
				  struct decision *decision)
{
	const struct policy_filter *filter = policy_filter(image, header, found);
	const struct policy_service *service;

	service = filter ? policy_service(image, header, filter->slot) : 0;
	if (!service) {
		/* Nobody is left; a filter that is none cannot be. */
		decide_end(decision,
			   found < POLICY_FILTERS_MAX ? DECISION_BROKEN : DECISION_NOTHING);
		return;
	}
	decision->next = service->first_filter + service->filters;
	decision->number = found;
	decision->slot = filter->slot;
	decision->service = service->id;
	decision->filter = filter->id;
	if (decision->seen >> (filter->slot & 63) & 1) {
		decision->verdict = DECISION_SEEN;
	} else if (filter->action == POLICY_PERMIT) {
		decision->verdict = DECISION_PERMIT;
	} else if (filter->action == POLICY_REDIRECT) {
		decision->listens = FOUND_NOBODY;
		decision->step = DECIDE_LISTENER;
		decision->verdict = question->unreachable ? DECISION_NOTHING : DECISION_ASK;
	} else {
		decide_end(decision, DECISION_BLOCK);
	}
}

/* The candidate's listener was looked for, unless there is no use in it. */
POLICY_INLINE void decide_listener(const void *image, const struct policy_header *header,
				   const struct question *question, int alive,
				   struct decision *decision)
{
	const struct policy_service *service = policy_service(image, header, decision->slot);
	const struct policy_filter *filter = policy_filter(image, header, decision->number);

	if (!service || !filter) {
		decide_end(decision, DECISION_BROKEN);
	} else if (!alive && service->when_down == POLICY_DOWN_PASS) {
		decision->verdict = DECISION_DOWN_PASS;
		decision->step = DECIDE_SERVICES;
	} else if (!alive) {
		decide_end(decision, DECISION_DOWN_BLOCK);
	} else if (question->to.hop_count >= header->hop_limit ||
		   question->to.hop_count >= WAYBILL_HOPS_MAX) {
		decide_end(decision, DECISION_HOP_LIMIT);
	} else {
		decide_end(decision, DECISION_REDIRECT);
		decision->context = filter->context;
		decision->context_size = filter->context_size;
		service_endpoint(service, question->to.destination.family, question->to.udp,
				 &decision->endpoint);
	}
}

/* The slots of the services that whoever was found listening may be. */
POLICY_INLINE __u64 decide_services(const void *image, const struct policy_header *header,
				    const struct decision *decision)
{
	/* Where no cgroup is named, who is of its user is the service. */
	if (decision->listens != FOUND_LISTENER &&
	    (decision->listens != FOUND_SHARED || header->cgroup_levels))
		return 0;
	return services_of(image, header, decision->listener_uid, decision->listener_scope, 1);
}

/* More steps than this no decision takes: two for a service, two before the first, and an end. */
#define DECIDE_STEPS (2 * POLICY_SERVICES_MAX + 4)

/* Whether the step at hand is to be told the next filter that matches. */
POLICY_INLINE int decide_wants_filter(const struct decision *decision)
{
	return decision->step == DECIDE_BEGIN || decision->step == DECIDE_SERVICES;
}

/* The step at hand, with what it wanted. */
POLICY_INLINE void decide_turn(const void *image, const struct policy_header *header,
			       const struct question *question, __u32 found,
			       struct decision *decision)
{
	int is_service = 0;

	if (decide_wants_filter(decision)) {
		decision->service = decision->filter = 0;
		decision->verdict = DECISION_NOTHING;
	} else {
		is_service = decide_services(image, header, decision) >> (decision->slot & 63) & 1;
	}
	if (found > POLICY_FILTERS_MAX) {
		decide_end(decision, DECISION_BROKEN);
		return;
	}
	switch (decision->step) {
	case DECIDE_BEGIN:
		if (found == POLICY_FILTERS_MAX) {
			decide_end(decision, DECISION_NO_FILTER);
			return;
		}
		decide_begin(image, header, question, decision);
		if (decision->verdict != DECISION_NOTHING)
			return;
		decide_presumed(image, header, question, decision);
		break;
	case DECIDE_ENDPOINT:
		if (is_service)
			decide_end(decision, DECISION_TO_SERVICE);
		else
			decide_presumed(image, header, question, decision);
		return;
	case DECIDE_SERVICES:
		break;
	case DECIDE_LISTENER:
		decide_listener(image, header, question, is_service, decision);
		return;
	default:
		decide_end(decision, DECISION_BROKEN);
		return;
	}
	/* The filter that was found first is that of the first service, if there is nothing to say. */
	if (decision->verdict == DECISION_NOTHING)
		decide_service(image, header, question, found, decision);
}

#endif
