/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listening sockets that `waybill exec` hands to its command as systemd does: from descriptor 3 on,
 * with LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES in the environment.
 */
#ifndef WAYBILL_CLI_EXEC_SOCKETS_H
#define WAYBILL_CLI_EXEC_SOCKETS_H

#include "../platform/platform.h"

#define EXEC_SOCKETS_MAX 3

struct exec_sockets {
	int fd[EXEC_SOCKETS_MAX];
	const char *name[EXEC_SOCKETS_MAX];
	size_t count;
};

/*
 * How many sockets we were handed ourselves; to be asked before anything is opened. What the
 * environment says of sockets that are not there is removed from it.
 */
size_t exec_sockets_inherited(void);
/* Passes those on to the process that we become. */
int exec_sockets_pass_on(void);

/* Listens at the endpoint of a service, as whoever we are. 0, or -errno with message. */
int exec_sockets_listen(struct exec_sockets *sockets, const struct policy_service *service,
			struct message *message);
/* Puts them where the command finds them. Returns 0 or -errno. */
int exec_sockets_hand_over(struct exec_sockets *sockets);

#endif
