// SPDX-License-Identifier: BSD-2-Clause
/*
 * Why a filter does not match: the first condition of it that a connection does not meet, in the
 * words of the policy file, and what it was compared with.
 */
#include "explain.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>

static void address_text(const struct waybill_address *address, char *text, size_t size)
{
	if (address->family == AF_INET6)
		inet_ntop(AF_INET6, address->address, text, size);
	else
		inet_ntop(AF_INET, address->address + 12, text, size);
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

/* Every condition: its key in the policy file, and what is compared. */
static const struct {
	const char *key;
	void (*text)(const struct explain_query *query, char *text, size_t size);
} conditions[CONDITIONS] = {
	[CONDITION_PORT] = { "remote_port", port_text },
	[CONDITION_REMOTE] = { "remote", remote_text },
	[CONDITION_USER] = { "user", user_text },
	[CONDITION_CGROUP] = { "cgroup", cgroup_text },
	[CONDITION_LOCAL] = { "local", local_text },
	[CONDITION_GROUP] = { "group", group_text },
	[CONDITION_INTERFACE] = { "interface", interface_text },
	[CONDITION_APPLICATION] = { "application", application_text },
	[CONDITION_ORIGINAL] = { "original_application", original_text },
	[CONDITION_NETNS] = { "netns", netns_text },
};

static bool accepts(const struct policy_image *image, uint32_t line, uint32_t filter)
{
	const __u64 *bits = line ? policy_line(image, line) : NULL;

	return bits && bits[filter / 64] >> filter % 64 & 1;
}

const char *explain_failed(const struct explanation *explanation, const struct explain_query *query,
			   uint32_t filter, char *value, size_t size)
{
	const struct policy_header *header = explanation->header;
	struct question question = explain_question(explanation, query);
	struct match match = {};
	uint32_t application;

	/*
	 * The port's table has the protocol in it: asked by itself it says which of the two it is.
	 */
	if (!accepts(explanation->image, query->udp ? header->udp : header->tcp, filter)) {
		snprintf(value, size, "%s", query->udp ? "udp" : "tcp");
		return "protocol";
	}
	match_destination(explanation->image, header, &question.to, &match);
	match_rest(explanation->image, header, &question, &match, &application);
	for (size_t i = 0; i < CONDITIONS; i++) {
		/* Where no filter has the condition, none fails by it. */
		if ((i >= CONDITIONS_OF_ALL && !header->more) ||
		    accepts(explanation->image, match.line[i], filter))
			continue;
		conditions[i].text(query, value, size);
		return conditions[i].key;
	}
	return NULL;
}
