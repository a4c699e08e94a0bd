/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The file that a process executes, and how platform/ asks for that of a path. */
#ifndef WAYBILL_KERNEL_EXECUTABLE_H
#define WAYBILL_KERNEL_EXECUTABLE_H

#include <linux/types.h>

/* As the kernel tells files apart. A generation differs when an inode's number is used again. */
struct policy_executable {
	__u64 inode; /* 0: none */
	__u32 device, generation;
};

/* The context that executable.bpf.c is run with. */
struct executable_question {
	__u32 descriptor; /* of the calling process */
	__u32 reserved;
	struct policy_executable executable; /* the answer */
};

#endif
