// SPDX-License-Identifier: BSD-2-Clause
/*
 * Services: whether their listeners are alive and theirs, whether their ports are safe, and whether
 * the cgroups that the policy names are still there. Whose a listener is, is asked of the policy's
 * image as the kernel half asks it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../platform/explain.h"
#include "doctor.h"
#include "ports.h"
#include "processes.h"

static void examine_owner(struct doctor *doctor, size_t slot, const char *thing,
			  const struct listener *owner)
{
	unsigned int pid = process_of_socket(owner->inode);
	struct explanation explanation;
	char cgroup[1024];
	int error;

	error = owner->cgroup ? cgroup_path(owner->cgroup, cgroup, sizeof(cgroup)) :
				cgroup_of_process(pid, cgroup, sizeof(cgroup));
	if (owner->cgroup && error == -ENOENT) {
		doctor_find(doctor, SEVERITY_WARNING, thing, "start it again",
			    "process %u listens, but the cgroup in which its socket was made was "
			    "removed: it counts as down",
			    pid);
		return;
	}
	if (error) {
		doctor_find(doctor, SEVERITY_NOTE, thing, NULL,
			    "somebody listens, but where he is cannot be found from here");
		return;
	}
	if (!cgroup_is_below(cgroup, doctor->status.cgroup))
		doctor_find(
			doctor, SEVERITY_WARNING, thing,
			"start it in a cgroup below that, or the instance on one above both",
			"process %u listens, whose socket was made in cgroup %s, outside of %s, "
			"where the instance is: it counts as down",
			pid, cgroup, doctor->status.cgroup);
	else if (explain_begin(&explanation, &doctor->status.names.image, NULL, NULL) ||
		 !(explain_identity(&explanation, owner->uid, cgroup, true) >> slot & 1))
		doctor_find(
			doctor, SEVERITY_WARNING, thing,
			"start the service as the policy says (waybill exec), or mend its identity "
			"or listener; if its cgroup was made again, apply the policy again",
			"process %u, whose socket was made by user %u in cgroup %s, listens, and "
			"is not the service by its identity: it counts as down",
			pid, owner->uid, cgroup);
	else if (owner->shared && doctor->status.names.header->cgroup_levels)
		doctor_find(doctor, SEVERITY_WARNING, thing,
			    "end those others (ss -ltnpe shows them)",
			    "process %u listens, but sockets of other cgroups share its port "
			    "(SO_REUSEPORT): it counts as down",
			    pid);
	else
		doctor_find(doctor, SEVERITY_OK, thing, NULL,
			    "process %u listens, and is the service", pid);
}

static void examine_listeners(struct doctor *doctor, size_t slot)
{
	const struct service_status *at = &doctor->status.service[slot];
	unsigned int port = ntohs(at->service->tcp_port);
	static const uint16_t families[] = { AF_INET, AF_INET6 };
	struct waybill_address endpoint;
	struct listener owner[2];
	bool listens[2];
	char thing[64];

	snprintf(thing, sizeof(thing), "service %s", at->service->name);
	if (!port)
		return;
	for (int i = 0; i < 2; i++)
		listens[i] = service_endpoint(at->service, families[i], false, &endpoint) &&
			     !listener_look_up(&endpoint, false, &owner[i]);
	if (!listens[0] && !listens[1]) {
		doctor_find(doctor, SEVERITY_WARNING, thing, "start it",
			    "nobody listens on port %u: connections are %s", port,
			    at->service->when_down == POLICY_DOWN_PASS ? "passed by" : "refused");
		return;
	}
	if (at->service->has4 && !listens[0])
		doctor_find(doctor, SEVERITY_WARNING, thing, "let it listen on 127.0.0.1 too",
			    "nobody listens on port %u for IPv4", port);
	if (at->service->has6 && !listens[1])
		doctor_find(doctor, SEVERITY_WARNING, thing, "let it listen on ::1 too",
			    "nobody listens on port %u for IPv6", port);
	if (listens[0])
		examine_owner(doctor, slot, thing, &owner[0]);
	/* Mostly it is the same process, which has been judged. */
	if (listens[1] &&
	    !(listens[0] && owner[0].uid == owner[1].uid && owner[0].cgroup == owner[1].cgroup &&
	      owner[0].shared == owner[1].shared))
		examine_owner(doctor, slot, thing, &owner[1]);
}

static void examine_port(struct doctor *doctor, const struct policy_service *service,
			 unsigned int port)
{
	char thing[64];

	if (!port || !port_is_given_out(port))
		return;
	snprintf(thing, sizeof(thing), "service %s", service->name);
	doctor_find(doctor, SEVERITY_WARNING, thing,
		    "choose one below net.ipv4.ip_local_port_range, or add it to "
		    "net.ipv4.ip_local_reserved_ports",
		    "the kernel may give port %u to any client, so that the service cannot start",
		    port);
}

static void examine_ports(struct doctor *doctor, const struct policy_service *service)
{
	examine_port(doctor, service, ntohs(service->tcp_port));
	if (service->udp_port != service->tcp_port)
		examine_port(doctor, service, ntohs(service->udp_port));
}

/* Names of the services whose cgroup a cell is, among others. */
static void services_text(const struct doctor *doctor, uint32_t line, char *text, size_t size)
{
	const uint64_t *bits = line ? policy_line(&doctor->status.names.image, line) : NULL;
	size_t used = 0;

	*text = '\0';
	for (size_t slot = 0; bits && slot < doctor->status.services && used < size; slot++)
		if (*bits & UINT64_C(1) << slot)
			used += snprintf(text + used, size - used, "%s%s", used ? ", " : "",
					 doctor->status.service[slot].service->name);
}

/* A cgroup that was removed is another one when it is made again, though its path is the same. */
static void examine_cgroups(struct doctor *doctor)
{
	const struct policy_header *header = doctor->status.names.header;
	const struct policy_cell *cell;
	char path[PATH_MAX], services[256];
	size_t gone = 0;

	for (uint32_t i = 0; header->cgroups.first && i < header->cgroups.cells; i++) {
		cell = policy_line(&doctor->status.names.image, header->cgroups.first + i / 8);
		if (!cell || !cell[i % 8].key ||
		    cgroup_path(cell[i % 8].key, path, sizeof(path)) != -ENOENT)
			continue;
		gone++;
		services_text(doctor, cell[i % 8].value2, services, sizeof(services));
		doctor_find(doctor, SEVERITY_WARNING, "cgroups", "apply the policy again",
			    "the policy holds cgroup %" PRIu64
			    ", which was removed%s%s: nobody is in "
			    "it any more, and who has its path now cannot bind a service's port",
			    (uint64_t)cell[i % 8].key, services[0] ? "; it may be that of " : "",
			    services);
	}
	if (!gone)
		doctor_find(doctor, SEVERITY_OK, "cgroups", NULL,
			    "all that the policy names are there");
}

void doctor_services(struct doctor *doctor)
{
	if (!doctor->status.names.header) {
		doctor_find(doctor, SEVERITY_NOTE, "policy", "waybill apply FILE",
			    "none is applied: nothing is redirected");
		return;
	}
	if (doctor->status.elsewhere)
		doctor_find(doctor, SEVERITY_NOTE, "services",
			    "run this there: nsenter --net=.. waybill doctor",
			    "they are of another network namespace: whether they listen cannot be "
			    "seen from here");
	for (size_t i = 0; i < doctor->status.services; i++) {
		if (!doctor->status.elsewhere)
			examine_listeners(doctor, i);
		examine_ports(doctor, doctor->status.service[i].service);
	}
	examine_cgroups(doctor);
}
