/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shape of a policy file, as libcyaml fills it in. Every value is still the text of the file;
 * file.c makes numbers, addresses and users of it, because it can say what is wrong with
 * them.
 */
#ifndef WAYBILL_PLATFORM_POLICY_SCHEMA_H
#define WAYBILL_PLATFORM_POLICY_SCHEMA_H

#include "document.h"

struct file_limits {
	char *hops;
	char *records_expire;
	char *datagram_idle;
	char *keep_mark;
	char *unheard;
};

struct file_endpoint {
	char *tcp;
	char *udp;
};

struct file_identity {
	char *user;
	char *cgroup;
};

struct file_service {
	char *name;
	char *weight;
	struct file_endpoint endpoint;
	struct file_identity identity;
	struct file_identity *listener;
	char *when_down;
	char *keep_family;
};

struct file_match {
	char **protocol, **remote, **remote_file, **remote_port, **local, **user, **group, **cgroup,
		**application, **original_application, **interface, **netns;
	unsigned int protocol_count, remote_count, remote_file_count, remote_port_count,
		local_count, user_count, group_count, cgroup_count, application_count,
		original_application_count, interface_count, netns_count;
};

struct file_filter {
	char *name;
	char *service;
	char *weight;
	struct file_match match, except;
	char *action;
	char *context;
};

struct file_policy {
	char *version;
	struct file_limits limits;
	struct file_service *service;
	unsigned int services;
	struct file_filter *filter;
	unsigned int filters;
};

/* The keys that there are. docs/policy.schema.json says the same for editors. */
extern const struct cyaml_schema_value schema_policy;

/* Returns 0 and a file for schema_release(), -EINVAL and message, or -ENOMEM and message. */
int schema_load(const struct document *document, struct file_policy **file,
		struct message *message);
void schema_release(struct file_policy *file);

#endif
