// SPDX-License-Identifier: BSD-2-Clause
/*
 * Decides on a connection as the kernel half does, and keeps what it came by on the way. Where it
 * says "as", the function of the kernel half is meant that does the same: whoever changes the one
 * changes the other, and tests/system/explain.c compares the two.
 */
#include "explain.h"

#include <arpa/inet.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "instance.h"

/* As struct place in kernel/identity.h: what the policy says of a cgroup. */
struct place {
	uint32_t filters_line, services_line;
};

/* What is asked of the policy's tables. */
struct asked {
	const struct policy_image *image;
	const struct policy_header *header;
	const struct policy_more *more; /* NULL if no filter has any of its conditions */
	struct policy_query *query;
};

static uint32_t protocol_line(const struct asked *asked)
{
	return asked->query->udp ? asked->header->udp : asked->header->tcp;
}

static uint32_t port_line(const struct asked *asked)
{
	return policy_table_find(
		asked->image, asked->header->remote_port,
		policy_value_port(asked->query->udp, ntohs(asked->query->remote->port)), 17);
}

static uint32_t remote_line(const struct asked *asked)
{
	return policy_address_find(asked->image, asked->query->remote, asked->header->remote4,
				   asked->header->remote6);
}

static uint32_t user_line(const struct asked *asked)
{
	return policy_table_find(asked->image, asked->header->user,
				 policy_value32(asked->query->uid), 32);
}

static uint32_t cgroup_line(const struct asked *asked)
{
	return asked->query->cgroup_line;
}

static uint32_t local_line(const struct asked *asked)
{
	return policy_address_find(asked->image, asked->query->more.local, asked->more->local4,
				   asked->more->local6);
}

static uint32_t group_line(const struct asked *asked)
{
	return policy_table_find(asked->image, asked->more->group,
				 policy_value32(asked->query->more.gid), 32);
}

static uint32_t interface_line(const struct asked *asked)
{
	return policy_table_find(asked->image, asked->more->interface,
				 policy_value32(asked->query->more.interface), 32);
}

static const struct policy_application *application_of(const struct asked *asked)
{
	return policy_application_find(asked->image, asked->more, &asked->query->more.executable);
}

static uint32_t application_line(const struct asked *asked)
{
	const struct policy_application *named = application_of(asked);

	return named ? named->application : asked->more->application_none;
}

static uint32_t original_line(const struct asked *asked)
{
	const struct policy_application *named = application_of(asked);
	uint32_t number = asked->query->more.original;

	if (!asked->query->more.onward)
		number = named ? named->number : 0;
	return policy_number_find(asked->image, &asked->more->originals, number,
				  asked->more->original_none);
}

static uint32_t netns_line(const struct asked *asked)
{
	return policy_number_find(asked->image, &asked->more->namespaces, asked->query->more.netns,
				  asked->more->namespace_none);
}

static void address_text(const struct waybill_address *address, char *text, size_t size)
{
	if (address->family == AF_INET6)
		inet_ntop(AF_INET6, address->address, text, size);
	else
		inet_ntop(AF_INET, address->address + 12, text, size);
}

static void protocol_text(const struct explain_query *query, char *text, size_t size)
{
	snprintf(text, size, "%s", query->udp ? "udp" : "tcp");
}

static void port_text(const struct explain_query *query, char *text, size_t size)
{
	snprintf(text, size, "%u", ntohs(query->remote.port));
}

static void remote_text(const struct explain_query *query, char *text, size_t size)
{
	address_text(&query->remote, text, size);
}

static void user_text(const struct explain_query *query, char *text, size_t size)
{
	snprintf(text, size, "%u", query->uid);
}

static void cgroup_text(const struct explain_query *query, char *text, size_t size)
{
	snprintf(text, size, "%s", query->cgroup);
}

static void local_text(const struct explain_query *query, char *text, size_t size)
{
	address_text(&query->local, text, size);
}

static void group_text(const struct explain_query *query, char *text, size_t size)
{
	snprintf(text, size, "%u", query->gid);
}

static void interface_text(const struct explain_query *query, char *text, size_t size)
{
	char name[IF_NAMESIZE];

	if (!query->interface)
		snprintf(text, size, "none");
	else if (if_indextoname(query->interface, name))
		snprintf(text, size, "%s", name);
	else
		snprintf(text, size, "%u", query->interface);
}

static void application_text(const struct explain_query *query, char *text, size_t size)
{
	snprintf(text, size, "%s", query->application ? query->application : "another");
}

/* Behind a service only its number is known. */
static void original_text(const struct explain_query *query, char *text, size_t size)
{
	if (query->onward && query->original)
		snprintf(text, size, "number %08x", query->original);
	else if (query->onward)
		snprintf(text, size, "another");
	else
		application_text(query, text, size);
}

static void netns_text(const struct explain_query *query, char *text, size_t size)
{
	uint64_t cookie = 0;

	netns_cookie(&cookie);
	snprintf(text, size, "number %llu", (unsigned long long)cookie);
}

/* Every condition: its key in the policy file, its result line, and what is compared. */
static const struct dimension {
	const char *key;
	bool more; /* of struct policy_more */
	uint32_t (*line)(const struct asked *asked);
	void (*text)(const struct explain_query *query, char *text, size_t size);
} dimensions[] = {
	{ "protocol", false, protocol_line, protocol_text },
	{ "remote_port", false, port_line, port_text },
	{ "remote", false, remote_line, remote_text },
	{ "user", false, user_line, user_text },
	{ "cgroup", false, cgroup_line, cgroup_text },
	{ "local", true, local_line, local_text },
	{ "group", true, group_line, group_text },
	{ "interface", true, interface_line, interface_text },
	{ "application", true, application_line, application_text },
	{ "original_application", true, original_line, original_text },
	{ "netns", true, netns_line, netns_text },
};

/* As place_of_cgroup: the nearest one that the policy names. */
static struct place place_of(const struct explanation *explanation, const char *cgroup)
{
	const struct policy_header *header = explanation->header;
	const struct policy_cell *cell;
	char path[PATH_MAX], *slash;
	size_t mount = strlen(explanation->mount);
	uint64_t id;

	snprintf(path, sizeof(path), "%s%s", explanation->mount, cgroup);
	for (;;) {
		if (!cgroup_id(path, &id)) {
			cell = policy_hash_find(explanation->image, &header->cgroups, id);
			if (cell)
				return (struct place){ cell->value, cell->value2 };
		}
		slash = strrchr(path, '/');
		if (!slash || slash < path + mount)
			return (struct place){ header->cgroup_none, header->cgroup_none_services };
		*slash = '\0';
	}
}

/* As services_of. */
static uint64_t services_of(const struct explanation *explanation, uint32_t uid,
			    const struct place *place, bool makers)
{
	const __u64 *by_user, *by_cgroup;
	uint32_t users = policy_table_find(explanation->image, explanation->header->service_user,
					   policy_value32(uid), 32);

	if (!users || !place->services_line)
		return 0;
	by_user = policy_line(explanation->image, users);
	by_cgroup = policy_line(explanation->image, place->services_line);
	return by_user && by_cgroup ? policy_services(by_user, by_cgroup, makers) : 0;
}

uint64_t explain_identity(const struct explanation *explanation, uint32_t uid, const char *cgroup,
			  bool makers)
{
	struct place place = place_of(explanation, cgroup);

	return services_of(explanation, uid, &place, makers);
}

/* As is_ours. */
static bool is_ours(const struct explanation *explanation, const char *cgroup)
{
	return !explanation->control || cgroup_is_below(cgroup, explanation->control->cgroup_path);
}

/* As services_of_listener; what he is to one of the services is said too. */
static enum explain_listener listener_of(const struct explanation *explanation,
					 const struct waybill_address *endpoint, bool udp,
					 uint32_t slot, struct listener *who)
{
	char cgroup[PATH_MAX];

	if (listener_look_up(endpoint, udp, who))
		return LISTENER_DOWN;
	if (cgroup_path(who->cgroup, cgroup, sizeof(cgroup)))
		strcpy(cgroup, "/");
	if (!is_ours(explanation, cgroup))
		return LISTENER_OUTSIDE;
	if (!(explain_identity(explanation, who->uid, cgroup, true) >> slot & 1))
		return LISTENER_ANOTHERS;
	return who->shared && explanation->header->cgroup_levels ? LISTENER_SHARED : LISTENER_ALIVE;
}

enum explain_listener explain_listener(const struct explanation *explanation, uint32_t slot,
				       uint16_t family, bool udp, struct listener *who)
{
	const struct policy_service *service =
		policy_service(explanation->image, explanation->header, slot);
	struct waybill_address endpoint;

	if (!service || !service_endpoint(service, family, udp, &endpoint))
		return LISTENER_NONE;
	return listener_of(explanation, &endpoint, udp, slot, who);
}

/* As reaches_loopback. */
static bool reaches_loopback(const struct explanation *explanation,
			     const struct explain_query *query)
{
	if (query->interface && query->interface != 1)
		return false;
	if (!query->udp || query->remote.family == AF_INET || !explanation->control)
		return true;
	return explanation->netns == explanation->control->datagrams6;
}

/* As service_listens. */
static enum explain_listener service_listener(struct explanation *explanation,
					      const struct explain_query *query,
					      const struct policy_service *service, uint32_t slot,
					      struct listener *who)
{
	struct explain_known *known =
		&explanation->known[slot][query->remote.family == AF_INET6][query->udp];
	struct waybill_address endpoint;

	if (!service_endpoint(service, query->remote.family, query->udp, &endpoint))
		return LISTENER_NONE;
	if (!reaches_loopback(explanation, query))
		return LISTENER_UNREACHABLE;
	if (known->listener == LISTENER_UNKNOWN)
		known->listener =
			listener_of(explanation, &endpoint, query->udp, slot, &known->who);
	*who = known->who;
	return known->listener;
}

static bool is_loopback(const struct waybill_address *address)
{
	return address->family == AF_INET ? address->address[12] == 127 :
					    IN6_IS_ADDR_LOOPBACK(address->address);
}

/* As flow_of_address. */
static bool is_flow(const struct waybill_address *address)
{
	static const uint8_t prefix[12] = WAYBILL_FLOW_PREFIX6;
	uint32_t low;

	memcpy(&low, address->address + 12, sizeof(low));
	low = ntohl(low);
	if (address->family == AF_INET)
		return (low & ~WAYBILL_FLOW_MASK) == WAYBILL_FLOW_ADDRESS4 &&
		       low & WAYBILL_FLOW_MASK;
	return !memcmp(address->address, prefix, sizeof(prefix)) && low && low <= WAYBILL_FLOW_MASK;
}

/* As is_endpoint. */
static bool is_endpoint(const struct explanation *explanation, const struct explain_query *query)
{
	const struct policy_cell *cell;
	struct listener who;

	cell = policy_hash_find(explanation->image, &explanation->header->endpoints,
				policy_endpoint_key(query->udp, ntohs(query->remote.port)));
	if (!cell || !(is_loopback(&query->remote) || (query->udp && is_flow(&query->remote))))
		return false;
	return listener_of(explanation, &query->remote, query->udp, cell->value, &who) ==
	       LISTENER_ALIVE;
}

/* As services_up_to. */
static uint64_t services_up_to(uint64_t services)
{
	for (unsigned int by = 1; by < POLICY_SERVICES_MAX; by *= 2)
		services |= services >> by;
	return services;
}

/* As remote_resolve: the unspecified address is this host's. And as local_for. */
static void resolve(struct explain_query *query)
{
	static const uint8_t zero[16], loopback[4] = { 127, 0, 0, 1 };
	struct waybill_address *remote = &query->remote, *local = &query->local;

	if (remote->family == AF_INET && !memcmp(remote->address + 12, zero, 4)) {
		bool bound = local->family == AF_INET && memcmp(local->address + 12, zero, 4);

		memcpy(remote->address + 12, bound ? local->address + 12 : loopback, 4);
	} else if (remote->family == AF_INET6 && !memcmp(remote->address, zero, 16)) {
		remote->address[15] = 1;
		if (local->family == AF_INET) {
			remote->family = AF_INET;
			memcpy(remote->address, local->address, 12);
			memcpy(remote->address + 12, loopback, 4);
		}
	}
	if (remote->family == AF_INET && !memcmp(local->address, zero, 16)) {
		local->family = AF_INET;
		memcpy(local->address, remote->address, 12);
	}
}

static struct policy_query policy_query(const struct explanation *explanation,
					const struct explain_query *query)
{
	return (struct policy_query){
		.remote = &query->remote,
		.udp = query->udp,
		.uid = query->uid,
		.cgroup_line = place_of(explanation, query->cgroup).filters_line,
		.more = {
			.local = &query->local,
			.gid = query->gid,
			.interface = query->interface,
			.executable = query->executable,
			.netns = explanation->netns,
			.onward = query->onward,
			.original = query->original,
		},
	};
}

const char *explain_failed(const struct explanation *explanation, const struct explain_query *query,
			   uint32_t filter, char *value, size_t size)
{
	struct policy_query policy = policy_query(explanation, query);
	struct asked asked = {
		.image = explanation->image,
		.header = explanation->header,
		.more = explanation->header->more ?
				policy_line(explanation->image, explanation->header->more) :
				NULL,
		.query = &policy,
	};

	for (size_t i = 0; i < sizeof(dimensions) / sizeof(*dimensions); i++) {
		const uint64_t *bits;
		uint32_t line;

		if (dimensions[i].more && !asked.more)
			continue;
		line = dimensions[i].line(&asked);
		bits = line ? policy_line(explanation->image, line) : NULL;
		if (bits && bits[filter / 64] >> filter % 64 & 1)
			continue;
		dimensions[i].text(query, value, size);
		return dimensions[i].key;
	}
	return NULL;
}

/* As walk_service. Returns whether the walk is over. */
static bool walk_service(const struct explanation *explanation, struct explain_step *step,
			 uint32_t slot)
{
	struct explain_service *at = &step->service[slot];
	const struct policy_filter *filter =
		policy_filter(explanation->image, explanation->header, at->filter);

	if (at->seen) {
		at->decision = DECISION_SEEN;
		return false;
	}
	if (!filter) {
		at->decision = DECISION_NO_FILTER;
		return false;
	}
	if (filter->action == POLICY_PERMIT) {
		at->decision = DECISION_PERMIT;
		return false;
	}
	if (filter->action != POLICY_REDIRECT)
		at->decision = DECISION_BLOCK;
	else if (at->listener == LISTENER_ALIVE)
		at->decision = DECISION_REDIRECT;
	else if (at->service->when_down == POLICY_DOWN_PASS)
		at->decision = DECISION_DOWN_PASS;
	else
		at->decision = DECISION_DOWN_BLOCK;
	if (at->decision == DECISION_DOWN_PASS)
		return false;
	step->decision = at->decision;
	step->slot = slot;
	step->filter = at->filter;
	return true;
}

/* As arbitrate: who is presumed, and the walk, once some filter matches. */
static void arbitrate(const struct explanation *explanation, struct explain_step *step)
{
	const struct policy_header *header = explanation->header;
	uint64_t seen = step->query.seen, services;

	if (is_endpoint(explanation, &step->query)) {
		step->decision = DECISION_TO_SERVICE;
		return;
	}
	if (!step->query.onward) {
		services =
			explain_identity(explanation, step->query.uid, step->query.cgroup, false);
		seen = services_up_to(services);
		if (services)
			step->presumed = policy_lowest_bit((seen >> 1) + 1);
	}
	step->decision = DECISION_PERMIT;
	for (uint32_t slot = 0; slot < step->services; slot++)
		step->service[slot].seen = seen >> slot & 1;
	for (uint32_t slot = 0; slot < step->services; slot++)
		if (walk_service(explanation, step, slot))
			break;
	if (step->decision == DECISION_REDIRECT && (step->query.hop_count >= header->hop_limit ||
						    step->query.hop_count >= WAYBILL_HOPS_MAX))
		step->decision = DECISION_HOP_LIMIT;
}

void explain_connect(struct explanation *explanation, const struct explain_query *query,
		     struct explain_step *step)
{
	const struct policy_image *image = explanation->image;
	const struct policy_header *header = explanation->header;
	struct policy_match match;
	struct policy_query policy;
	bool matches;

	*step = (struct explain_step){
		.query = *query,
		.decision = DECISION_NO_FILTER,
		.filter = POLICY_FILTERS_MAX,
		.slot = POLICY_SERVICES_MAX,
		.presumed = POLICY_SERVICES_MAX,
		.outside = !is_ours(explanation, query->cgroup),
	};
	resolve(&step->query);
	policy = policy_query(explanation, &step->query);
	matches = policy_match(image, header, &policy, &match) &&
		  policy_next(header, &match, 0) != POLICY_FILTERS_MAX;
	step->application = policy.more.application;
	for (uint32_t slot = 0; slot < header->services && slot < POLICY_SERVICES_MAX; slot++) {
		struct explain_service *at = &step->service[step->services++];

		at->service = policy_service(image, header, slot);
		at->listener =
			service_listener(explanation, &step->query, at->service, slot, &at->who);
		at->seen = step->query.seen >> slot & 1;
		at->filter = matches ? policy_next(header, &match, at->service->first_filter) :
				       POLICY_FILTERS_MAX;
		if (at->filter >= at->service->first_filter + at->service->filters)
			at->filter = POLICY_FILTERS_MAX;
		if (!matches && !step->outside)
			at->decision = DECISION_NO_FILTER;
	}
	if (step->outside)
		return;
	/* As datagram_send. */
	if (query->udp && is_flow(&step->query.remote) && is_endpoint(explanation, &step->query))
		step->decision = DECISION_FLOW_FOREIGN;
	else if (matches)
		arbitrate(explanation, step);
}

/* The connect of the service that the one before was redirected to. */
static struct explain_query query_onward(const struct explanation *explanation,
					 const struct explain_step *step)
{
	const struct policy_more *more = policy_line(explanation->image, explanation->header->more);
	struct explain_query query = step->query;
	bool presumed = step->presumed < POLICY_SERVICES_MAX;

	if (!query.onward)
		query.original = step->application;
	/* Whoever listens is who connects. */
	query.application = NULL;
	query.executable = (struct policy_executable){ 0 };
	if (explanation->header->more && more->executables.first)
		executable_of_process(process_of_socket(step->service[step->slot].who.inode),
				      &query.executable);

	query.onward = true;
	query.hop_count += presumed ? 2 : 1;
	if (presumed)
		query.seen |= services_up_to(1ULL << step->presumed);
	query.seen |= 1ULL << step->slot;
	query.interface = 0;
	query.local = (struct waybill_address){ .family = query.remote.family };
	if (query.local.family == AF_INET)
		memcpy(query.local.address, query.remote.address, 12);
	return query;
}

int explain_follow(struct explanation *explanation, const struct explain_query *query,
		   struct explain_step **steps, size_t *count)
{
	struct explain_query next = *query;

	*steps = NULL;
	*count = 0;
	for (;;) {
		struct explain_step *more = reallocarray(*steps, *count + 1, sizeof(**steps));

		if (!more) {
			free(*steps);
			*steps = NULL;
			return -ENOMEM;
		}
		*steps = more;
		explain_connect(explanation, &next, &more[(*count)++]);
		/* It ends: each redirection adds a service, and none is added twice. */
		if (more[*count - 1].decision != DECISION_REDIRECT)
			return 0;
		next = query_onward(explanation, &more[*count - 1]);
	}
}

int explain_begin(struct explanation *explanation, const struct policy_image *image,
		  const struct control *control, struct message *message)
{
	*explanation = (struct explanation){
		.image = image,
		.header = policy_line(image, 0),
		.control = control,
	};
	netns_cookie(&explanation->netns);
	return cgroup_mount(explanation->mount, sizeof(explanation->mount), message);
}
