// SPDX-License-Identifier: BSD-2-Clause
/*
 * The executable at a path, in the numbers by which the kernel half knows it. The kernel is asked:
 * what stat() says of a file's device and inode is another thing on some file systems.
 */
#include "instance.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kernel/executable.h"
#include "executable.skel.h"

const void *executable_object(size_t *size)
{
	return waybill_executable__elf_bytes(size);
}

static int ask(int descriptor, struct policy_executable *executable)
{
	struct executable_question question = { .descriptor = descriptor };
	/* The kernel writes the context back to where it read it. */
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &question, .ctx_size_in = sizeof(question));
	libbpf_print_fn_t print = libbpf_set_print(libbpf_quiet);
	struct waybill_executable *program = waybill_executable__open();
	int error = program ? waybill_executable__load(program) : -errno;

	libbpf_set_print(print);
	if (!error)
		error = bpf_prog_test_run_opts(bpf_program__fd(program->progs.waybill_executable),
					       &run);
	waybill_executable__destroy(program);
	if (!error && (run.retval || !question.executable.inode))
		error = -EBADF;
	*executable = question.executable;
	return error;
}

int executable_find(const char *path, struct policy_executable *executable, char real[PATH_MAX])
{
	struct stat status;
	int descriptor, error;

	if (!realpath(path, real))
		return -errno;
	descriptor = open(real, O_PATH | O_CLOEXEC);
	if (descriptor < 0)
		return -errno;
	if (fstat(descriptor, &status))
		error = -errno;
	else if (!S_ISREG(status.st_mode) || !(status.st_mode & 0111))
		error = -ENOEXEC;
	else
		error = ask(descriptor, executable);
	close(descriptor);
	return error;
}

/* By the link in /proc itself: the path that it shows may be another thing here, or deleted. */
int executable_of_process(unsigned int pid, struct policy_executable *executable)
{
	char path[64];
	int descriptor, error;

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	descriptor = open(path, O_PATH | O_CLOEXEC);
	if (descriptor < 0)
		return -errno;
	error = ask(descriptor, executable);
	close(descriptor);
	return error;
}
