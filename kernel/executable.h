/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How platform/ asks which file is at a path. */
#ifndef WAYBILL_KERNEL_EXECUTABLE_H
#define WAYBILL_KERNEL_EXECUTABLE_H

#include "../decision/image.h"

/* The context that executable.bpf.c is run with. */
struct executable_question {
	__u32 descriptor; /* of the calling process */
	__u32 reserved;
	struct policy_executable executable; /* the answer */
};

#endif
