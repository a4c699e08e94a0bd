// SPDX-License-Identifier: BSD-2-Clause
/* `waybill doctor`: gathers what the other files find, prints it, and ends with what it means. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "json.h"
#include "progress.h"

static const char documentation[] =
	"Examine the host, the instance, its services and the processes below its cgroup, and say "
	"what is wrong or may surprise, why, and how to mend it. Nothing is changed.\v"
	"Ends with 0 if there is no warning and no error, with 1 if there is one, and with 3 if "
	"the instance is not up.\n\n"
	"EXAMPLES:\n"
	"  waybill doctor\n"
	"  waybill doctor --json | jq '.findings[] | select(.severity == \"error\")'\n";

static const struct {
	const char *name;
	enum paint paint;
} severities[] = {
	[SEVERITY_OK] = { "ok", PAINT_GOOD },
	[SEVERITY_NOTE] = { "note", PAINT_DIM },
	[SEVERITY_WARNING] = { "warning", PAINT_NOTE },
	[SEVERITY_ERROR] = { "error", PAINT_BAD },
};

void doctor_find(struct doctor *doctor, enum severity severity, const char *thing, const char *mend,
		 const char *format, ...)
{
	struct finding *finding;
	va_list arguments;

	if (doctor->findings == doctor->room) {
		doctor->room = doctor->room ? 2 * doctor->room : 32;
		finding = reallocarray(doctor->finding, doctor->room, sizeof(*finding));
		if (!finding) {
			complain("out of memory");
			exit(EXIT_FAILED);
		}
		doctor->finding = finding;
	}
	finding = &doctor->finding[doctor->findings++];
	finding->severity = severity;
	snprintf(finding->thing, sizeof(finding->thing), "%s", thing);
	snprintf(finding->mend, sizeof(finding->mend), "%s", mend ? mend : "");
	va_start(arguments, format);
	vsnprintf(finding->reason, sizeof(finding->reason), format, arguments);
	va_end(arguments);
}

static void print(const struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->findings; i++) {
		const struct finding *finding = &doctor->finding[i];
		enum paint paint = severities[finding->severity].paint;

		printf("%s%-8s%s %s: %s%s%s%s\n", paint_begin(paint),
		       severities[finding->severity].name, paint_end(paint), finding->thing,
		       finding->reason, finding->mend[0] ? " (" : "", finding->mend,
		       finding->mend[0] ? ")" : "");
	}
}

static json_t *programs_json(const struct doctor *doctor)
{
	json_t *programs = json_array();

	for (size_t i = 0; i < doctor->programs; i++) {
		const struct program_trial *program = &doctor->program[i];
		bool loads = program->verdict == PROGRAM_LOADS;

		json_array_append_new(
			programs,
			json_pack("{s:s, s:s, s:o, s:I, s:o}", "name", program->name, "verdict",
				  program_verdict_name(program->verdict), "reason",
				  loads ? json_null() : json_text(program->reason, -1),
				  "instructions", (json_int_t)program->instructions, "milliseconds",
				  program->milliseconds < 0 ? json_null() :
							      json_real(program->milliseconds)));
	}
	return programs;
}

static void print_json(const struct doctor *doctor, int status)
{
	json_t *findings = json_array();

	for (size_t i = 0; i < doctor->findings; i++) {
		const struct finding *finding = &doctor->finding[i];
		json_t *mend = finding->mend[0] ? json_text(finding->mend, -1) : json_null();

		json_array_append_new(findings,
				      json_pack("{s:s, s:o, s:o, s:o}", "severity",
						severities[finding->severity].name, "thing",
						json_text(finding->thing, -1), "reason",
						json_text(finding->reason, -1), "mend", mend));
	}
	json_print(json_pack("{s:s, s:b, s:b, s:o, s:o}", "instance", doctor->common.instance, "up",
			     doctor->instance != NULL, "healthy", status == EXIT_OK, "findings",
			     findings, "programs", programs_json(doctor)));
}

/* Opens it, if it is up. Returns EXIT_OK or EXIT_NOT_UP; what else is wrong is a finding. */
static int examine_instance(struct doctor *doctor)
{
	struct message message = { "" };
	int error = instance_open(doctor->common.instance, &doctor->instance, &message);

	if (!error)
		error = status_gather(&doctor->status, doctor->instance, &message);
	if (error) {
		doctor_find(doctor, SEVERITY_ERROR, "instance", NULL, "%s", message.text);
		return error == -ENOENT ? EXIT_NOT_UP : EXIT_OK;
	}
	doctor_find(doctor, SEVERITY_OK, "instance", NULL, "%s is up on cgroup %s",
		    doctor->common.instance, doctor->status.cgroup);
	doctor_instance(doctor);
	doctor_services(doctor);
	doctor_applications(doctor);
	doctor_processes(doctor);
	return EXIT_OK;
}

int command_doctor(int argc, char **argv)
{
	static const struct argp argp = { NULL,           common_only, NULL, documentation,
					  common_options, NULL,        NULL };
	struct doctor doctor = { 0 };
	int status;

	command_parse(&argp, argc, argv, &doctor);
	if (require_root())
		return EXIT_FAILED;
	doctor_host(&doctor);
	doctor_loopback(&doctor);
	progress_begin();
	doctor_programs(&doctor);
	progress_end();
	status = examine_instance(&doctor);
	for (size_t i = 0; status == EXIT_OK && i < doctor.findings; i++)
		if (doctor.finding[i].severity >= SEVERITY_WARNING)
			status = EXIT_FAILED;
	if (doctor.common.json)
		print_json(&doctor, status);
	else
		print(&doctor);
	names_close(&doctor.status.names);
	instance_close(doctor.instance);
	free(doctor.finding);
	free(doctor.program);
	return status;
}
