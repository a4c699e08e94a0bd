// SPDX-License-Identifier: BSD-2-Clause
/*
 * Connections that were made before a policy, and past it: an iterator over the TCP sockets of each
 * network namespace gives those of clients that no hook has redirected, and what they would be
 * decided on by; the decision is that of explain.c. What a socket does not tell is taken from what
 * it does: user, group and cgroup are those with which it was made.
 */
#include "explain.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "instance.h"
#include "reset.skel.h"

struct reading {
	struct instance *instance;
	const struct policy_image *image;
	int link;
	int (*each)(void *data, const struct unredirected *unredirected);
	void *data;
	/* Cgroups whose paths were asked for: mostly the same few. */
	struct place {
		uint64_t id;
		char *path;
	} * place;
	size_t places;
	/* Of a policy that names applications: who holds which socket, and what he executes. */
	struct socket_holders holders;
	bool holders_read;
	struct known_executable {
		dev_t device;
		ino_t inode;
		struct policy_executable executable;
	} * known;
	size_t knowns;
};

/*
 * One that is gone is somewhere below the instance's, or the kernel half would not have told of it.
 */
static const char *path_of(struct reading *reading, uint64_t id)
{
	const char *otherwise = reading->instance->control.cgroup_path;
	char path[PATH_MAX];
	struct place *more;

	for (size_t i = 0; i < reading->places; i++)
		if (reading->place[i].id == id)
			return reading->place[i].path;
	if (cgroup_path(id, path, sizeof(path)))
		snprintf(path, sizeof(path), "%s", otherwise);
	more = reallocarray(reading->place, reading->places + 1, sizeof(*more));
	if (!more)
		return otherwise;
	reading->place = more;
	more[reading->places].path = strdup(path);
	if (!more[reading->places].path)
		return otherwise;
	more[reading->places].id = id;
	return more[reading->places++].path;
}

static bool is_wanted(enum verdict decision)
{
	return decision == DECISION_REDIRECT || decision == DECISION_BLOCK ||
	       decision == DECISION_DOWN_BLOCK || decision == DECISION_HOP_LIMIT;
}

/*
 * Of a listener with room for nobody in its backlog the sockets that it accepts are not to be told
 * from a client's by themselves; but it listens where they are.
 */
static bool was_accepted(const struct socket_entry *entry)
{
	struct listener who;

	return !listener_look_up(&entry->local, false, &who);
}

/* The kernel is asked once for each file. */
static void executable_of(struct reading *reading, unsigned int pid,
			  struct policy_executable *executable)
{
	struct known_executable *more;
	struct stat status;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	if (stat(path, &status))
		return;
	for (size_t i = 0; i < reading->knowns; i++)
		if (reading->known[i].device == status.st_dev &&
		    reading->known[i].inode == status.st_ino) {
			*executable = reading->known[i].executable;
			return;
		}
	if (executable_of_process(pid, executable))
		return;
	more = reallocarray(reading->known, reading->knowns + 1, sizeof(*more));
	if (!more)
		return;
	reading->known = more;
	more[reading->knowns++] =
		(struct known_executable){ status.st_dev, status.st_ino, *executable };
}

/* What executes the socket's holder now; asked only of those that some filter may be for. */
static int find_executable(struct reading *reading, const struct explanation *explanation,
			   const struct socket_entry *entry, struct policy_executable *executable)
{
	const struct policy_more *more = policy_line(explanation->image, explanation->header->more);
	const struct subject to = { .destination = entry->remote };
	struct match match;

	if (!explanation->header->more || !more->executables.first ||
	    !match_destination(explanation->image, explanation->header, &to, &match))
		return 0;
	if (!reading->holders_read && socket_holders_read(&reading->holders))
		return -ENOMEM;
	reading->holders_read = true;
	executable_of(reading, socket_holder_find(&reading->holders, entry->inode), executable);
	return 0;
}

static int ask(struct reading *reading, struct explanation *explanation,
	       const struct socket_entry *entry)
{
	struct unredirected unredirected = {
		.socket = entry,
		.cgroup = path_of(reading, entry->cgroup),
		.explanation = explanation,
	};
	struct explain_query query = {
		.remote = entry->remote,
		.local = entry->local,
		.uid = entry->uid,
		.gid = entry->gid,
		.cgroup = unredirected.cgroup,
		.interface = entry->interface,
	};
	struct explain_step step;

	/* An address that the kernel has chosen is none that a filter was asked for. */
	if (!entry->bound)
		memset(query.local.address + (query.local.family == AF_INET ? 12 : 0), 0,
		       query.local.family == AF_INET ? 4 : 16);
	query.local.port = 0;
	if (find_executable(reading, explanation, entry, &query.executable))
		return -ENOMEM;
	explain_connect(explanation, &query, &step);
	if (!is_wanted(step.decision) || was_accepted(entry))
		return 0;
	unredirected.step = &step;
	return reading->each(reading->data, &unredirected);
}

/* Those of the namespace that the calling thread is in. */
static int ask_here(void *data, struct message *message)
{
	struct reading *reading = data;
	struct explanation explanation;
	uint8_t *bytes = NULL;
	size_t size = 0;
	int iterator, error;

	error = explain_begin(&explanation, reading->image, &reading->instance->control, message);
	if (error)
		return error;
	iterator = bpf_iter_create(reading->link);
	if (iterator < 0)
		return fail(message, iterator, "cannot go through the sockets: %s",
			    strerror(-iterator));
	error = iterator_read(iterator, &bytes, &size, message);
	close(iterator);
	for (size_t at = 0; !error && at + sizeof(struct socket_entry) <= size;
	     at += sizeof(struct socket_entry))
		error = ask(reading, &explanation, (const void *)(bytes + at));
	free(bytes);
	return error;
}

int instance_unredirected(struct instance *instance, const struct policy_image *image,
			  int (*each)(void *data, const struct unredirected *unredirected),
			  void *data, struct message *message)
{
	struct reading reading = {
		.instance = instance,
		.image = image,
		.each = each,
		.data = data,
	};
	struct waybill_reset *programs;
	int error = reset_load(instance, &programs, message);

	if (error)
		return error;
	reading.link = bpf_link_create(bpf_program__fd(programs->progs.waybill_sockets), 0,
				       BPF_TRACE_ITER, NULL);
	if (reading.link < 0)
		error = fail(message, reading.link, "cannot go through the sockets: %s",
			     strerror(-reading.link));
	if (!error) {
		error = netns_each(ask_here, &reading, message);
		close(reading.link);
	}
	for (size_t i = 0; i < reading.places; i++)
		free(reading.place[i].path);
	free(reading.place);
	free(reading.known);
	socket_holders_free(&reading.holders);
	waybill_reset__destroy(programs);
	return error;
}
