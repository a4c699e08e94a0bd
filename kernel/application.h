/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which file a process executes. The kernel tells files apart by inode, device and generation; a
 * path is another thing in each mount namespace, and the name in comm is what a process says of
 * itself. platform/ learns these numbers for a path from here too (executable.bpf.c), so both
 * sides have them from the same place.
 */
#ifndef WAYBILL_KERNEL_APPLICATION_H
#define WAYBILL_KERNEL_APPLICATION_H

#include "core.h"
#include "executable.h"

/* All 0 if there is no such file. */
static __always_inline void executable_of_file(struct file *file,
					       struct policy_executable *executable)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	executable->inode = BPF_CORE_READ(inode, i_ino);
	executable->device = BPF_CORE_READ(inode, i_sb, s_dev);
	executable->generation = BPF_CORE_READ(inode, i_generation);
}

/* That of the current process; a thread of the kernel has none. */
static __always_inline void executable_of_current(struct policy_executable *executable)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	executable_of_file(BPF_CORE_READ(task, mm, exe_file), executable);
}

#endif
