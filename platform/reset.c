// SPDX-License-Identifier: BSD-2-Clause
/*
 * Ends live flows, given by their ids: an iterator over the TCP sockets of every network namespace
 * destroys both ends of each connection; flows of datagrams leave their table.
 */
#include "instance.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reset.skel.h"

bool kernel_has_function(const char *name)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool found = btf && btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;

	btf__free(btf);
	return found;
}

bool reset_supported(void)
{
	return kernel_has_function("bpf_sock_destroy");
}

const void *reset_object(size_t *size)
{
	return waybill_reset__elf_bytes(size);
}

int reset_load(struct instance *instance, struct waybill_reset **programs, struct message *message)
{
	libbpf_print_fn_t print = libbpf_set_print(libbpf_quiet);
	int error = 0;

	*programs = waybill_reset__open();
	if (!*programs)
		error = -errno;
	for (int i = 0; !error && i < MAPS; i++)
		error = bpf_map__reuse_fd(
			bpf_object__find_map_by_name((*programs)->obj, instance_maps[i]),
			instance->map[i]);
	if (!error)
		error = waybill_reset__load(*programs);
	libbpf_set_print(print);
	if (!error)
		return 0;
	waybill_reset__destroy(*programs);
	*programs = NULL;
	return load_failed(OBJECT_RESET, PROGRAMS_ALL, error, message);
}

/* Ends what is wanted in the namespace that the calling thread is in. */
static int reset_here(void *data, struct message *message)
{
	int iterator = bpf_iter_create(*(int *)data), error = 0;
	char nothing[64];
	ssize_t count;

	if (iterator < 0)
		return fail(message, iterator, "cannot go through the sockets: %s",
			    strerror(-iterator));
	do
		count = read(iterator, nothing, sizeof(nothing));
	while (count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR)));
	if (count < 0)
		error = fail(message, -errno, "cannot go through the sockets: %s", strerror(errno));
	close(iterator);
	return error;
}

/* Where what is to be ended is noted, and by what. */
static int map_of(const struct waybill_reset *programs, const struct reset *flow)
{
	return bpf_map__fd(flow->flow ? programs->maps.resets : programs->maps.socket_resets);
}

static const uint64_t *key_of(const struct reset *flow)
{
	return flow->flow ? &flow->flow : &flow->socket;
}

static int reset_connections(struct waybill_reset *programs, const struct reset *flow, size_t count,
			     size_t *failed, struct message *message)
{
	uint32_t sockets = 0;
	int link, error = 0;

	for (size_t i = 0; !error && i < count; i++)
		if (!flow[i].number && bpf_map_update_elem(map_of(programs, &flow[i]),
							   key_of(&flow[i]), &sockets, BPF_ANY))
			error = fail(message, -errno, "the list of flows to reset: %s",
				     strerror(errno));
	if (error)
		return error;
	link = bpf_link_create(bpf_program__fd(programs->progs.waybill_reset), 0, BPF_TRACE_ITER,
			       NULL);
	if (link < 0)
		return fail(message, link, "cannot go through the sockets: %s", strerror(-link));
	error = netns_each(reset_here, &link, message);
	close(link);
	for (size_t i = 0; i < count; i++)
		if (!flow[i].number &&
		    !bpf_map_lookup_elem(map_of(programs, &flow[i]), key_of(&flow[i]), &sockets) &&
		    sockets)
			++*failed;
	return error;
}

static int reset_datagrams(struct waybill_reset *programs, const struct reset *flow,
			   struct message *message)
{
	struct reset_datagrams context = { .flow = flow->flow, .number = flow->number };
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &context, .ctx_size_in = sizeof(context));
	int program = bpf_program__fd(programs->progs.waybill_reset_datagrams);
	int error = bpf_prog_test_run_opts(program, &options);

	/* One that has ended by itself meanwhile is as good. */
	return error ? fail(message, error, "cannot end a flow of datagrams: %s",
			    strerror(-error)) :
		       0;
}

int instance_reset(struct instance *instance, const struct reset *flow, size_t count,
		   struct message *message)
{
	struct waybill_reset *programs;
	size_t connections = 0, failed = 0;
	int error;

	if (!count)
		return 0;
	for (size_t i = 0; i < count; i++)
		connections += !flow[i].number;
	if (connections > RESET_MAX)
		return fail(message, -E2BIG,
			    "%zu connections are more than can be reset at once, "
			    "%u (select fewer)",
			    connections, RESET_MAX);
	if (connections && !reset_supported())
		return fail(
			message, -EOPNOTSUPP,
			"this kernel cannot reset connections: it lacks bpf_sock_destroy (Linux "
			"6.5 has it; until then end the services, or `ss --kill`)");
	error = reset_load(instance, &programs, message);
	if (error)
		return error;
	if (connections)
		error = reset_connections(programs, flow, count, &failed, message);
	for (size_t i = 0; !error && i < count; i++)
		if (flow[i].number)
			error = reset_datagrams(programs, &flow[i], message);
	if (!error && failed)
		error = fail(message, -EIO,
			     "%zu of %zu connections could not be reset: the kernel "
			     "refused (try again)",
			     failed, count);
	waybill_reset__destroy(programs);
	return error;
}
