/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `waybill doctor`: findings, each with how bad it is, the thing, the reason, and the mend. Each
 * file looks at one thing; none ends the others.
 */
#ifndef WAYBILL_CLI_DOCTOR_H
#define WAYBILL_CLI_DOCTOR_H

#include "command.h"
#include "status.h"

enum severity { SEVERITY_OK, SEVERITY_NOTE, SEVERITY_WARNING, SEVERITY_ERROR };

struct doctor {
	struct common common;
	struct finding {
		enum severity severity;
		char thing[64], reason[384], mend[256];
	} * finding;
	size_t findings, room;
	char mount[1024];              /* of cgroup2, "" if there is none */
	struct program_trial *program; /* each that was tried */
	size_t programs;
	struct instance *instance; /* NULL: not up */
	struct status status;      /* of it */
	size_t older;              /* flows, than the policy */
};

/* mend may be NULL. */
void doctor_find(struct doctor *doctor, enum severity severity, const char *thing, const char *mend,
		 const char *format, ...) __attribute__((format(printf, 5, 6)));

void doctor_host(struct doctor *doctor);         /* doctor_host.c: mounts, BTF, the kernel */
void doctor_loopback(struct doctor *doctor);     /* doctor_loopback.c: what rules do to it */
void doctor_programs(struct doctor *doctor);     /* doctor_programs.c: which the kernel takes */
void doctor_instance(struct doctor *doctor);     /* doctor_instance.c: links, programs, tables */
void doctor_services(struct doctor *doctor);     /* doctor_services.c: listeners, ports, cgroups */
void doctor_applications(struct doctor *doctor); /* doctor_applications.c: files of executables */
void doctor_processes(struct doctor *doctor);    /* doctor_processes.c: those below the cgroup */

#endif
