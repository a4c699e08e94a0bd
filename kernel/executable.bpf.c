// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Asks the kernel which file a descriptor of the calling process is, in the numbers by which the
 * connect hook knows executables. Run once for each path that a policy names.
 */
#include "application.h"

SEC("syscall")
int waybill_executable(struct executable_question *question)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u32 descriptor = question->descriptor;
	struct policy_executable executable;
	struct file **table, *file = 0;
	struct fdtable *descriptors;

	descriptors = BPF_CORE_READ(task, files, fdt);
	if (descriptor >= BPF_CORE_READ(descriptors, max_fds))
		return 1;
	table = BPF_CORE_READ(descriptors, fd);
	bpf_probe_read_kernel(&file, sizeof(file), table + descriptor);
	if (!file)
		return 1;
	executable_of_file(file, &executable);
	question->executable = executable;
	return 0;
}

const char LICENSE[] SEC("license") = "Dual BSD/GPL";
