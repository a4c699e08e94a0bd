// SPDX-License-Identifier: BSD-2-Clause
/*
 * From a path to the text of a policy, and the end of a policy. The file is read to its end and
 * never mapped: whoever edits it meanwhile cannot change what was checked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "document.h"
#include "message.h"

/* One byte more than is allowed is enough to know that there is too much. */
#define READ_MAX (DOCUMENT_TEXT_MAX + 1)

static int read_all(int file, char **text, size_t *size)
{
	size_t capacity = 0;
	ssize_t count;

	*text = NULL;
	*size = 0;
	do {
		if (*size == capacity) {
			char *grown;

			capacity = capacity ? capacity * 2 : 65536;
			if (capacity > READ_MAX)
				capacity = READ_MAX;
			grown = realloc(*text, capacity);
			if (!grown)
				return -ENOMEM;
			*text = grown;
		}
		count = read(file, *text + *size, capacity - *size);
		if (count < 0 && errno != EINTR)
			return -errno;
		*size += count > 0 ? count : 0;
	} while (count && *size < READ_MAX);
	return 0;
}

int policy_load(const char *path, struct policy **policy, struct message *message)
{
	int file = open(path, O_RDONLY | O_CLOEXEC), error;
	char *text = NULL;
	struct stat status;
	size_t size = 0;

	*policy = NULL;
	error = file < 0 || fstat(file, &status) ? -errno : 0;
	if (!error && S_ISREG(status.st_mode) && status.st_size > (off_t)DOCUMENT_TEXT_MAX) {
		policy_error(message, path, 0,
			     "%jd bytes larger than 64 MiB (put prefixes into files of their own, "
			     "with remote_file)",
			     (intmax_t)(status.st_size - DOCUMENT_TEXT_MAX));
		close(file);
		return -E2BIG;
	}
	if (!error)
		error = read_all(file, &text, &size);
	if (file >= 0)
		close(file);
	if (error)
		policy_error(message, path, 0, "cannot be read: %s", strerror(-error));
	else
		error = policy_load_text(path, text, size, policy, message);
	free(text);
	return error;
}

static void free_texts(char **text, size_t count)
{
	while (count--)
		free(text[count]);
	free(text);
}

static void conditions_free(struct conditions *conditions)
{
	free(conditions->remote);
	free(conditions->local);
	free(conditions->port);
	free(conditions->user);
	free(conditions->group);
	free(conditions->interface);
	free_texts(conditions->cgroup, conditions->cgroups);
	free_texts(conditions->application, conditions->applications);
	free_texts(conditions->original, conditions->originals);
	free(conditions->namespace);
}

void policy_free(struct policy *policy)
{
	size_t i;

	if (!policy)
		return;
	for (i = 0; i < policy->services; i++) {
		free(policy->service[i].name);
		free(policy->service[i].identity.cgroup);
		free(policy->service[i].listener.cgroup);
	}
	for (i = 0; i < policy->filters; i++) {
		struct filter *filter = &policy->filter[i];

		free(filter->name);
		free(filter->service);
		conditions_free(&filter->match);
		conditions_free(&filter->except);
		free(filter->context);
	}
	free(policy->service);
	free(policy->filter);
	free_texts(policy->no_service, policy->no_services);
	free(policy->source);
	free(policy);
}
