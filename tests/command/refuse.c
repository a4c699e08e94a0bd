/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stands in for a kernel that does not take a program: preloaded into waybill, it spoils the program
 * named $REFUSE_PROGRAM on its way to the kernel, whose verifier then says what it says. With
 * $REFUSE_HELPER set it calls a helper that no kernel has; else it reads a register that nobody set.
 */
#include <dlfcn.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

long syscall(long number, ...);

static void *spoilt(const union bpf_attr *attributes)
{
	size_t size = attributes->insn_cnt * sizeof(struct bpf_insn);
	struct bpf_insn *instructions = malloc(size);

	if (!instructions)
		abort();
	memcpy(instructions, (void *)(uintptr_t)attributes->insns, size);
	if (getenv("REFUSE_HELPER"))
		instructions[0] = (struct bpf_insn){ .code = BPF_JMP | BPF_CALL, .imm = 999999 };
	else
		instructions[0] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_X,
						     .dst_reg = BPF_REG_0,
						     .src_reg = BPF_REG_9 };
	return instructions;
}

long syscall(long number, ...)
{
	long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	const char *refuse = getenv("REFUSE_PROGRAM");
	union bpf_attr *attributes, copy = {};
	void *instructions = NULL;
	long argument[6], result;
	va_list arguments;

	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		argument[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == SYS_bpf && argument[0] == BPF_PROG_LOAD && refuse) {
		attributes = (void *)argument[1];
		if (!strncmp(attributes->prog_name, refuse, BPF_OBJ_NAME_LEN - 1)) {
			memcpy(&copy, attributes,
			       (size_t)argument[2] < sizeof(copy) ? (size_t)argument[2] :
								    sizeof(copy));
			instructions = spoilt(attributes);
			copy.insns = (uintptr_t)instructions;
			argument[1] = (long)&copy;
		}
	}
	result = next(number, argument[0], argument[1], argument[2], argument[3], argument[4],
		      argument[5]);
	free(instructions);
	return result;
}
