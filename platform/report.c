// SPDX-License-Identifier: BSD-2-Clause
/* Counters with their names and meanings, decisions likewise, and whether services listen. */
#include "instance.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>

struct word {
	const char *name, *meaning;
};

static const struct word counter_words[COUNTERS] = {
	[COUNT_REDIRECTED] = { "redirected", "connects sent to a service" },
	[COUNT_BLOCKED] = { "blocked", "connects refused by a filter" },
	[COUNT_PERMITTED] = { "permitted", "times a filter let a connect pass by its service" },
	[COUNT_DOWN_PASSED] = { "down_passed", "times a service was down and passed over" },
	[COUNT_DOWN_BLOCKED] = { "down_blocked", "connects refused since a service was down" },
	[COUNT_HOP_LIMIT] = { "hop_limit", "connects refused with ELOOP at the hop limit" },
	[COUNT_NO_RECORDS] = { "no_records", "connects of services that had set no records" },
	[COUNT_TO_SERVICE] = { "to_service", "connects to a service's own endpoint, left alone" },
	[COUNT_HANDED_OVER] = { "handed_over", "records that reached an accepted socket" },
	[COUNT_CONNECTIONS_FULL] = { "connections_full",
				     "connects refused: the user has too many connections" },
	[COUNT_NO_MEMORY] = { "no_memory", "connects refused: no memory for the record" },
	[COUNT_UNCLAIMED] = { "unclaimed",
			      "connections accepted from the address of one that was over" },
	[COUNT_RECORDS_SET] = { "records_set", "records put on onward sockets" },
	[COUNT_RECORDS_BAD] = { "records_bad", "records refused: malformed or forged" },
	[COUNT_RECORDS_EXPIRED] = { "records_expired", "records refused: too old" },
	[COUNT_RECORDS_FOREIGN] = { "records_foreign", "records refused: not the caller's" },
	[COUNT_BIND_REFUSED] = { "bind_refused", "binds of a service's port by somebody else" },
	[COUNT_SOURCE_ROUTE] = { "source_route",
				 "connects refused: the socket has a source route" },
	[COUNT_FLOWS] = { "datagram_flows", "flows of datagrams sent to a service" },
	[COUNT_FLOW_FULL] = { "datagram_flows_full",
			      "datagrams refused: the user has too many flows" },
	[COUNT_FLOW_FOREIGN] = { "datagram_foreign",
				 "datagrams refused: sent to the address of another's flow" },
	[COUNT_FLOW_LATE] = { "datagram_late", "replies refused: their flow has ended" },
	[COUNT_EVENTS_LEFT_OUT] = { "events_left_out", "events over the rate of the monitor" },
	[COUNT_BROKEN] = { "broken", "refused, since something was found that cannot be: a bug" },
	[COUNT_UNHEARD] = { "unheard",
			    "connects refused: nobody listens at that loopback address" },
	[COUNT_NO_SOURCE] = { "no_source",
			      "connects refused: another has the same addresses, or no port is left" },
	[COUNT_ASKED_IN_VAIN] = { "asked_in_vain",
				  "queries for connections made directly, or changed on the way" },
	[COUNT_USED_AGAIN] = { "used_again",
			       "connects refused: of a socket that was redirected before" },
	[COUNT_EVENTS_LOST] = { "events_lost", "events that the monitor was too slow for" },
};

static const struct word decision_words[] = {
	[DECISION_NO_FILTER] = { "no-filter", "no filter matches" },
	[DECISION_PERMIT] = { "permit", "the filter permits: on to the next service" },
	[DECISION_REDIRECT] = { "redirect", "sent to the service" },
	[DECISION_BLOCK] = { "block", "the filter blocks: refused" },
	[DECISION_DOWN_PASS] = { "down-pass", "the service is down: on to the next" },
	[DECISION_DOWN_BLOCK] = { "down-block", "the service is down: refused" },
	[DECISION_TO_SERVICE] = { "to-service", "aimed at a service's own endpoint: left alone" },
	[DECISION_HOP_LIMIT] = { "hop-limit", "as many hops as the policy allows: refused" },
	[DECISION_NO_RECORDS] = { "no-records",
				  "a service without records: it and those above have seen it" },
	[DECISION_FULL] = { "full", "the user has too many connections: refused" },
	[DECISION_NO_MEMORY] = { "no-memory", "no memory for the record: refused" },
	[DECISION_BIND_REFUSED] = { "bind-refused", "the port belongs to a service" },
	[DECISION_SOURCE_ROUTE] = { "source-route",
				    "the socket has a source route or routing header: refused" },
	[DECISION_FLOW_FOREIGN] = { "foreign-flow",
				    "sent to the address of another socket's flow: refused" },
	[DECISION_FLOW_LATE] = { "late-reply", "a reply from a flow that has ended: refused" },
	[DECISION_SEEN] = { "seen", "the service has seen it already" },
	[DECISION_UNHEARD] = { "unheard",
			       "nobody listens at that loopback address: refused" },
	[DECISION_NO_SOURCE] = { "no-source",
				 "another has the same addresses, or no port is left: refused" },
	[DECISION_USED_AGAIN] = { "used-again",
				  "a socket of IPv6 that was redirected by IPv4 before: refused" },
	[DECISION_BROKEN] = { "broken", "the kernel half found what cannot be: refused" },
};

const char *counter_name(enum counter counter)
{
	return counter < COUNTERS ? counter_words[counter].name : "unknown";
}

const char *counter_meaning(enum counter counter)
{
	return counter < COUNTERS ? counter_words[counter].meaning : "unknown";
}

bool decision_exists(enum verdict decision)
{
	return decision < DECISIONS && decision_words[decision].name;
}

const char *decision_name(enum verdict decision)
{
	return decision_exists(decision) ? decision_words[decision].name : "unknown";
}

const char *decision_meaning(enum verdict decision)
{
	return decision_exists(decision) ? decision_words[decision].meaning : "unknown";
}

/* Sums the values of a per-CPU element, each of so many 64-bit counters. */
static int sum(int map, const uint32_t *key, uint64_t *total, size_t count)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values;

	if (cpus < 0)
		return cpus;
	values = calloc(cpus, count * sizeof(*values));
	if (!values)
		return -ENOMEM;
	memset(total, 0, count * sizeof(*total));
	if (bpf_map_lookup_elem(map, key, values)) {
		free(values);
		return -errno;
	}
	for (size_t i = 0; i < cpus * count; i++)
		total[i % count] += values[i];
	free(values);
	return 0;
}

int instance_counters(struct instance *instance, uint64_t counters[COUNTERS],
		      struct message *message)
{
	for (uint32_t i = 0; i < COUNTERS; i++) {
		int error = sum(instance->map[MAP_COUNTERS], &i, &counters[i], 1);

		if (error)
			return fail(message, error, "map counters: %s", strerror(-error));
	}
	return 0;
}

int instance_service_counters(struct instance *instance, uint32_t service,
			      struct service_counters *counters)
{
	return sum(instance->map[MAP_SERVICE_COUNTERS], &service, (uint64_t *)counters,
		   sizeof(*counters) / sizeof(uint64_t));
}
