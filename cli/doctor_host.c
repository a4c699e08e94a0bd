// SPDX-License-Identifier: BSD-2-Clause
/* What Waybill needs of a host. Features of the kernel are tried, not told by its version. */
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "doctor.h"

#define BTF "/sys/kernel/btf/vmlinux"
#define BPFFS "/sys/fs/bpf"

static void examine_mounts(struct doctor *doctor)
{
	struct message message = { "" };
	struct statfs status;

	if (cgroup_mount(doctor->mount, sizeof(doctor->mount), &message)) {
		doctor->mount[0] = '\0';
		doctor_find(doctor, SEVERITY_ERROR, "cgroup2", NULL, "%s", message.text);
	} else {
		doctor_find(doctor, SEVERITY_OK, "cgroup2", NULL, "mounted on %s", doctor->mount);
	}
	if (!statfs(BPFFS, &status) && status.f_type == BPF_FS_MAGIC)
		doctor_find(doctor, SEVERITY_OK, "bpffs", NULL, "mounted on " BPFFS);
	else
		doctor_find(doctor, SEVERITY_NOTE, "bpffs",
			    "waybill up mounts it, or: mount -t bpf bpf " BPFFS,
			    "not mounted on " BPFFS);
}

struct feature {
	const char *name, *since, *without;
	bool there;
	enum severity severity; /* if it is not */
};

static bool has_helper(enum bpf_prog_type type, enum bpf_func_id helper)
{
	return libbpf_probe_bpf_helper(type, helper, NULL) > 0;
}

static int say_nothing(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return 0;
}

static void examine_kernel(struct doctor *doctor)
{
	libbpf_print_fn_t print = libbpf_set_print(say_nothing);
	const struct feature features[] = {
		{ "programs on connect", "4.17", "nothing can be redirected",
		  libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, NULL) > 0,
		  SEVERITY_ERROR },
		{ "programs on socket options", "5.3", "services cannot ask for records",
		  libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_CGROUP_SOCKOPT, NULL) > 0,
		  SEVERITY_ERROR },
		{ "bpf_get_netns_cookie", "5.7", "namespaces cannot be told apart",
		  has_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_get_netns_cookie),
		  SEVERITY_ERROR },
		{ "bpf_sk_storage_get on connect", "5.8", "records cannot live on sockets",
		  has_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_sk_storage_get),
		  SEVERITY_ERROR },
		{ "bpf_loop", "5.17", "policies cannot be asked",
		  has_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_loop), SEVERITY_ERROR },
		{ "ring buffers", "5.8", "nothing can be monitored",
		  libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, NULL) > 0, SEVERITY_ERROR },
		{ "iterators over TCP sockets", "5.9", "waybill flows shows nothing",
		  kernel_has_function("bpf_iter_tcp"), SEVERITY_ERROR },
		{ "bpf_sock_destroy", "6.5", "waybill flows --reset ends no connections",
		  reset_supported(), SEVERITY_NOTE },
	};

	libbpf_set_print(print);
	for (size_t i = 0; i < sizeof(features) / sizeof(*features); i++)
		if (features[i].there)
			doctor_find(doctor, SEVERITY_OK, "kernel", NULL, "has %s",
				    features[i].name);
		else
			doctor_find(doctor, features[i].severity, "kernel",
				    "boot a later one, or give this container CAP_BPF",
				    "lacks %s, which Linux %s has: %s", features[i].name,
				    features[i].since, features[i].without);
}

void doctor_host(struct doctor *doctor)
{
	examine_mounts(doctor);
	if (access(BTF, R_OK))
		doctor_find(doctor, SEVERITY_ERROR, "BTF",
			    "boot a kernel that is built with CONFIG_DEBUG_INFO_BTF",
			    BTF " is not there: no program can be loaded");
	else
		doctor_find(doctor, SEVERITY_OK, "BTF", NULL, BTF " is there");
	examine_kernel(doctor);
}
