/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libwaybill: what a redirect service links. This header is its manual.
 *
 * A redirect service is a program to which Waybill sends connections of others. It accepts one,
 * asks for its records, context and original destination, opens a socket of its own towards that
 * destination, puts the records on it and connects. waybill_connect_onward() is all of that but
 * the accept.
 *
 * No function here needs a privilege, keeps state, starts a thread, logs, or frees or closes
 * what it was given. All are thread-safe, also on the same socket. All return 0 (or what is
 * said) or a negative errno; errno itself is not meaningful after them.
 */
#ifndef WAYBILL_H
#define WAYBILL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <waybill/abi.h>
