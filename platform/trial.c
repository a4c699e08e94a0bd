// SPDX-License-Identifier: BSD-2-Clause
/*
 * Whether this kernel takes the programs, found out by loading each alone, over maps of its own
 * that are thrown away. A kernel is not known by its version: distributions bring features back to
 * old ones, and verifiers differ in what they can follow.
 *
 * The verifier is asked for its statistics alone. Then its log holds, besides them, only what it
 * objects to, and is short; to have every step in it takes far longer than to verify.
 */
#include "instance.h"
#include "progress.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#define BTF "/sys/kernel/btf/vmlinux"

/* What libbpf leaves in place of an instruction that it could not make for this kernel. */
#define CALL_OF_BAD_RELOCATION "unknown#195896080"

static const struct {
	const void *(*bytes)(size_t *size);
	const char *without;
} objects[OBJECTS] = {
	[OBJECT_WAYBILL] = { waybill_object, "`waybill up` fails" },
	[OBJECT_RESET] = { reset_object, "`waybill flows --reset` and `apply --reset-existing` "
					 "fail" },
	[OBJECT_EXECUTABLE] = { executable_object, "policies that name applications fail" },
};

void verifier_log_set(struct bpf_program *program, char log[VERIFIER_LOG_SIZE])
{
	log[0] = '\0';
	bpf_program__set_log_level(program, 4 /* BPF_LOG_STATS */);
	bpf_program__set_log_buf(program, log, VERIFIER_LOG_SIZE);
}

/* The first thing that libbpf complained of: what comes after follows from it. */
static __thread char complaint[256];

static int keep_complaint(enum libbpf_print_level level, const char *format, va_list arguments)
{
	if (level == LIBBPF_WARN && !complaint[0]) {
		vsnprintf(complaint, sizeof(complaint), format, arguments);
		complaint[strcspn(complaint, "\n")] = '\0';
	}
	return 0;
}

/*
 * The last line of a log before its statistics, which begin with the time and are of several lines,
 * on some kernels one for each function; "" if there is none.
 */
static void last_words(const char *log, char *words, size_t size)
{
	const char *end = strstr(log, "verification time ");
	size_t length;

	words[0] = '\0';
	for (const char *line = log; *line && line != end;
	     line += length + (line[length] == '\n')) {
		length = strcspn(line, "\n");
		if (length)
			snprintf(words, size, "%.*s", (int)length, line);
	}
	for (char *at = words; *at; at++)
		if (!isprint((unsigned char)*at))
			*at = ' ';
}

static bool has_no_helper(const char *words)
{
	return strstr(words, "unknown func ") || strstr(words, "invalid func ") ||
	       strstr(words, "cannot use helper ");
}

static void judge(struct program_trial *trial, int error, const char *log)
{
	char words[sizeof(trial->reason)];
	const char *time = strstr(log, "verification time ");
	const char *processed = strstr(log, "processed ");
	unsigned long microseconds;

	if (time && sscanf(time, "verification time %lu", &microseconds) == 1)
		trial->milliseconds = microseconds / 1e3;
	if (processed)
		sscanf(processed, "processed %u", &trial->instructions);
	if (!error)
		return;
	last_words(log, words, sizeof(words));
	trial->verdict = words[0] ? PROGRAM_REFUSED : PROGRAM_FAILED;
	snprintf(trial->reason, sizeof(trial->reason), "%s", words[0] ? words : strerror(-error));
	if (error == -EPERM) {
		trial->verdict = PROGRAM_NOT_PERMITTED;
	} else if (strstr(words, CALL_OF_BAD_RELOCATION)) {
		snprintf(trial->reason, sizeof(trial->reason),
			 "it reads what the kernel's own structures do not have here");
	} else if (has_no_helper(words)) {
		trial->verdict = PROGRAM_NO_HELPER;
	} else if (!words[0] && complaint[0] && !strstr(complaint, "load failed")) {
		snprintf(trial->reason, sizeof(trial->reason), "%.200s",
			 strncmp(complaint, "libbpf: ", 8) ? complaint : complaint + 8);
	}
}

/* Opens an object to load one program of it, or, with NULL, its maps alone. */
static struct bpf_object *object_open(enum kernel_object which, const char *name)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "waybill_trial");
	struct bpf_object *object;
	struct bpf_program *program;
	const void *bytes;
	size_t size;

	bytes = objects[which].bytes(&size);
	object = bpf_object__open_mem(bytes, size, &options);
	if (!object)
		return NULL;
	bpf_object__for_each_program(program, object) bpf_program__set_autoload(
		program, name && !strcmp(bpf_program__name(program), name));
	return object;
}

/* The objects are the same, and so is the order of their maps. */
static int maps_share(struct bpf_object *object, const struct bpf_object *of)
{
	struct bpf_map *map = NULL, *other = NULL;
	int error = 0;

	while (!error && (map = bpf_object__next_map(object, map)) &&
	       (other = bpf_object__next_map(of, other)))
		error = bpf_map__reuse_fd(map, bpf_map__fd(other));
	return error;
}

static int program_try(enum kernel_object which, const struct bpf_object *maps, const char *name,
		       char log[VERIFIER_LOG_SIZE], struct program_trial *trial)
{
	const struct kernel_program *known =
		which == OBJECT_WAYBILL ? kernel_program_of(name + strlen(PROGRAM_PREFIX)) : NULL;
	struct bpf_object *object = object_open(which, name);
	int error;

	if (!object)
		return -errno;
	*trial = (struct program_trial){
		.without = known && known->family == PROGRAMS_DATAGRAMS ?
				   "policies that redirect datagrams fail" :
				   objects[which].without,
		.milliseconds = -1,
	};
	snprintf(trial->name, sizeof(trial->name), "%s", name + strlen(PROGRAM_PREFIX));
	verifier_log_set(bpf_object__find_program_by_name(object, name), log);
	complaint[0] = '\0';
	error = maps_share(object, maps);
	if (!error)
		judge(trial, bpf_object__load(object), log);
	bpf_object__close(object);
	return error;
}

static bool is_wanted(enum kernel_object which, const char *name, unsigned int families)
{
	const struct kernel_program *program = kernel_program_of(name + strlen(PROGRAM_PREFIX));

	return which != OBJECT_WAYBILL || !program || program->family & families;
}

static int object_try(enum kernel_object which, unsigned int families,
		      int (*each)(void *data, const struct program_trial *trial), void *data,
		      struct message *message)
{
	libbpf_print_fn_t print = libbpf_set_print(keep_complaint);
	struct bpf_object *maps = object_open(which, NULL);
	char *log = malloc(VERIFIER_LOG_SIZE);
	struct bpf_program *program = NULL;
	struct program_trial trial;
	size_t tried = 0, count = 0;
	int error, result = 0;

	for (; maps && (program = bpf_object__next_program(maps, program)); count++)
		;
	error = !maps ? -errno : !log ? -ENOMEM : bpf_object__load(maps);
	while (!error && !result && (program = bpf_object__next_program(maps, program))) {
		const char *name = bpf_program__name(program);

		progress_at(tried++, count);
		if (!is_wanted(which, name, families))
			continue;
		error = program_try(which, maps, name, log, &trial);
		if (!error)
			result = each(data, &trial);
	}
	bpf_object__close(maps);
	free(log);
	libbpf_set_print(print);
	return error ? fail(message, error, "the programs cannot be tried: %s", strerror(-error)) :
		       result;
}

/* What no program can do without. */
static int host_check(int error, struct message *message)
{
	struct utsname kernel;

	if (error == -EPERM)
		return fail(message, error,
			    "the kernel refuses eBPF programs: %s (needs root of the host: in a "
			    "container CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and no user "
			    "namespace)",
			    strerror(-error));
	if (!access(BTF, R_OK))
		return 0;
	uname(&kernel);
	return fail(message, -ENOENT,
		    "Linux %s has no BTF here: " BTF ": %s (boot a kernel that is built with "
		    "CONFIG_DEBUG_INFO_BTF)",
		    kernel.release, strerror(errno));
}

int programs_try(int (*each)(void *data, const struct program_trial *trial), void *data,
		 struct message *message)
{
	int error = host_check(0, message);

	progress_phase("trying each eBPF program", OBJECTS);
	for (int which = 0; !error && which < OBJECTS; which++) {
		progress_step(which);
		error = object_try(which, PROGRAMS_ALL, each, data, message);
	}
	if (error == -EPERM)
		host_check(error, message);
	return error;
}

const char *program_verdict_name(enum program_verdict verdict)
{
	static const char *const names[] = {
		[PROGRAM_LOADS] = "loads",         [PROGRAM_REFUSED] = "refused",
		[PROGRAM_NO_HELPER] = "no helper", [PROGRAM_NOT_PERMITTED] = "not permitted",
		[PROGRAM_FAILED] = "failed",
	};

	return names[verdict];
}

static int keep_first(void *data, const struct program_trial *trial)
{
	struct program_trial *first = data;

	if (trial->verdict == PROGRAM_LOADS)
		return 0;
	*first = *trial;
	return 1;
}

int load_failed(enum kernel_object which, unsigned int families, int error, struct message *message)
{
	struct program_trial refused = {};
	struct utsname kernel;

	if (host_check(error, message))
		return error;
	uname(&kernel);
	if (object_try(which, families, keep_first, &refused, message) < 0)
		return error;
	if (refused.verdict == PROGRAM_LOADS)
		return fail(message, error,
			    "Linux %s does not load the eBPF programs: %s, though it takes each of "
			    "them (WAYBILL_DEBUG=1 shows more)",
			    kernel.release, strerror(-error));
	return fail(message, error,
		    "Linux %s does not take the program %s: %s%s (waybill doctor tries all of "
		    "them; WAYBILL_DEBUG=1 shows the whole log)",
		    kernel.release, refused.name,
		    refused.verdict == PROGRAM_NO_HELPER ? "it lacks a function: " : "",
		    refused.reason);
}
