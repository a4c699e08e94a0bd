// SPDX-License-Identifier: BSD-2-Clause
/*
 * Of the applications that the policy names: whether the file at each path is still the one that it
 * was when the policy was applied. An upgrade puts another one there.
 */
#include <limits.h>
#include <string.h>

#include "doctor.h"

static bool is_there(const struct policy_application *application)
{
	struct policy_executable now;
	char real[PATH_MAX];

	return !executable_find(application->path, &now, real) &&
	       now.inode == application->executable.inode &&
	       now.device == application->executable.device &&
	       now.generation == application->executable.generation;
}

void doctor_applications(struct doctor *doctor)
{
	const struct policy_application *application;
	size_t named = 0, gone = 0;

	for (uint32_t i = 0; (application = names_application_at(&doctor->status.names, i)); i++) {
		/* Of a long path only the beginning is kept. */
		if (strlen(application->path) == sizeof(application->path) - 1)
			continue;
		named++;
		if (is_there(application))
			continue;
		gone++;
		doctor_find(doctor, SEVERITY_WARNING, "applications", "apply the policy again",
			    "%s is not the file that it was when the policy was applied: who "
			    "executes it is nobody that the policy names",
			    application->path);
	}
	if (named && !gone)
		doctor_find(doctor, SEVERITY_OK, "applications", NULL,
			    "all that the policy names are there");
}
