// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The kernel half of Waybill: every program, by the hook that it is attached to. The hooks of
 * sockets sit on the instance's cgroup; those of socket options only on the cgroups of services,
 * where the policy tells services by cgroup, because they cost every getsockopt below them.
 */
#include "bind.h"
#include "claim.h"
#include "connect.h"
#include "datagram.h"
#include "flows.h"
#include "getsockopt.h"
#include "peername.h"
#include "setsockopt.h"

SEC("cgroup/connect4")
int waybill_connect4(struct bpf_sock_addr *ctx)
{
	return connect_redirect(ctx, 0);
}

SEC("cgroup/connect6")
int waybill_connect6(struct bpf_sock_addr *ctx)
{
	return connect_redirect(ctx, 1);
}

/*
 * With those below they are for datagrams alone: loaded and attached when a policy redirects any.
 */
SEC("cgroup/connect4")
int waybill_datagram4(struct bpf_sock_addr *ctx)
{
	return datagram_send(ctx, 0, 1);
}

SEC("cgroup/connect6")
int waybill_datagram6(struct bpf_sock_addr *ctx)
{
	return datagram_send(ctx, 1, 1);
}

SEC("cgroup/sendmsg4")
int waybill_sendmsg4(struct bpf_sock_addr *ctx)
{
	return datagram_send(ctx, 0, 0);
}

SEC("cgroup/sendmsg6")
int waybill_sendmsg6(struct bpf_sock_addr *ctx)
{
	return datagram_send(ctx, 1, 0);
}

SEC("cgroup/recvmsg4")
int waybill_recvmsg4(struct bpf_sock_addr *ctx)
{
	datagram_receive(ctx, 0);
	return ALLOW;
}

SEC("cgroup/recvmsg6")
int waybill_recvmsg6(struct bpf_sock_addr *ctx)
{
	datagram_receive(ctx, 1);
	return ALLOW;
}

SEC("cgroup/sock_release")
int waybill_release(struct bpf_sock *ctx)
{
	flows_release(ctx);
	return ALLOW;
}

/* 1 whatever happens: 0 would throw away what other programs answered to the same event. */
SEC("sockops")
int waybill_claim(struct bpf_sock_ops *ctx)
{
	claim_event(ctx);
	return 1;
}

SEC("cgroup/getpeername4")
int waybill_peername4(struct bpf_sock_addr *ctx)
{
	peername_restore(ctx, 0);
	return ALLOW;
}

SEC("cgroup/getpeername6")
int waybill_peername6(struct bpf_sock_addr *ctx)
{
	peername_restore(ctx, 1);
	return ALLOW;
}

SEC("cgroup/bind4")
int waybill_bind4(struct bpf_sock_addr *ctx)
{
	return bind_begin(ctx, 0);
}

SEC("cgroup/bind6")
int waybill_bind6(struct bpf_sock_addr *ctx)
{
	return bind_begin(ctx, 1);
}

SEC("cgroup/post_bind4")
int waybill_bound4(struct bpf_sock *ctx)
{
	return bind_end(ctx, 0);
}

SEC("cgroup/post_bind6")
int waybill_bound6(struct bpf_sock *ctx)
{
	return bind_end(ctx, 1);
}

SEC("cgroup/getsockopt")
int waybill_get(struct bpf_sockopt *ctx)
{
	return option_get(ctx);
}

SEC("cgroup/setsockopt")
int waybill_set(struct bpf_sockopt *ctx)
{
	return option_set(ctx);
}

SEC("iter/tcp")
int waybill_flows(struct bpf_iter__tcp *ctx)
{
	return flow_write(ctx);
}

const char LICENSE[] SEC("license") = "Dual BSD/GPL";
