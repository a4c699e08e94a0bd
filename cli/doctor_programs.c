// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which of the programs this kernel takes, by loading each of them: with an instance or without, on
 * a kernel that `waybill up` fails on too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "doctor.h"

static const char *mend_of(enum program_verdict verdict)
{
	switch (verdict) {
	case PROGRAM_NO_HELPER:
		return "boot a later kernel";
	case PROGRAM_NOT_PERMITTED:
		return "run it as root, or give this container CAP_BPF, CAP_NET_ADMIN and "
		       "CAP_PERFMON";
	default:
		return "boot another kernel; WAYBILL_DEBUG=1 waybill up shows the verifier's log";
	}
}

static int on_trial(void *data, const struct program_trial *trial)
{
	struct doctor *doctor = data;
	struct program_trial *more =
		reallocarray(doctor->program, doctor->programs + 1, sizeof(*more));
	char thing[64];

	if (!more) {
		complain("out of memory");
		exit(EXIT_FAILED);
	}
	doctor->program = more;
	more[doctor->programs++] = *trial;
	if (trial->verdict == PROGRAM_LOADS)
		return 0;
	snprintf(thing, sizeof(thing), "program %.50s", trial->name);
	doctor_find(doctor, SEVERITY_ERROR, thing, mend_of(trial->verdict),
		    "it does not load, %s: %s; so %s", program_verdict_name(trial->verdict),
		    text_printable(trial->reason, sizeof(trial->reason)).text, trial->without);
	return 0;
}

void doctor_programs(struct doctor *doctor)
{
	struct message message = { "" };
	uint64_t instructions = 0;
	struct utsname kernel;
	size_t refused = 0;

	if (programs_try(on_trial, doctor, &message)) {
		doctor_find(doctor, SEVERITY_ERROR, "programs", NULL, "%s", message.text);
		return;
	}
	for (size_t i = 0; i < doctor->programs; i++) {
		instructions += doctor->program[i].instructions;
		refused += doctor->program[i].verdict != PROGRAM_LOADS;
	}
	uname(&kernel);
	if (!refused)
		doctor_find(doctor, SEVERITY_OK, "programs", NULL,
			    "Linux %s takes all %zu (%" PRIu64 " instructions verified)",
			    kernel.release, doctor->programs, instructions);
}
