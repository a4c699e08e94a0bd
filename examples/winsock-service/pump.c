// SPDX-License-Identifier: BSD-2-Clause
/*
 * Carries the bytes of one TCP connection, in both directions, with the end of each passed on as
 * it is: the other may go on for long. A direction is read only when all it read was written.
 */
#include "service.h"

struct direction {
	SOCKET from, to;
	BOOL ended; /* from sent its last byte, and to was told so */
	int begin, end;
	char bytes[65536];
};

/* Moves what can be moved without waiting. Returns an error if the connection broke. */
static int move(struct direction *d)
{
	int count;

	if (d->begin == d->end && !d->ended) {
		count = recv(d->from, d->bytes, sizeof(d->bytes), 0);
		if (count == SOCKET_ERROR)
			return WSAGetLastError() == WSAEWOULDBLOCK ? 0 : WSAGetLastError();
		if (count == 0) {
			d->ended = TRUE;
			return shutdown(d->to, SD_SEND) ? WSAGetLastError() : 0;
		}
		d->begin = 0;
		d->end = count;
	}
	if (d->begin < d->end) {
		count = send(d->to, d->bytes + d->begin, d->end - d->begin, 0);
		if (count == SOCKET_ERROR)
			return WSAGetLastError() == WSAEWOULDBLOCK ? 0 : WSAGetLastError();
		d->begin += count;
	}
	return 0;
}

/* What to wait for at the socket that in reads from and out writes to. */
static SHORT events_of(const struct direction *in, const struct direction *out)
{
	return (in->begin < in->end || in->ended ? 0 : POLLRDNORM) |
	       (out->begin < out->end ? POLLWRNORM : 0);
}

static int carry(struct direction *up, struct direction *down)
{
	while (!up->ended || !down->ended) {
		WSAPOLLFD wait[2] = { { 0 } };
		ULONG count = 0, i;
		int error;

		/*
		 * A socket of which nothing is wanted is left out: an error is reported unasked,
		 * and for ever, while no room is left to read it.
		 */
		wait[count].fd = up->from;
		wait[count].events = events_of(up, down);
		if (wait[count].events)
			count++;
		wait[count].fd = down->from;
		wait[count].events = events_of(down, up);
		if (wait[count].events)
			count++;
		if (WSAPoll(wait, count, -1) == SOCKET_ERROR) {
			error = WSAGetLastError();
			if (error != WSAEINTR)
				return error;
		}
		for (i = 0; i < count; i++)
			if (wait[i].revents & POLLNVAL)
				return WSAENOTSOCK;
		error = move(up);
		if (!error)
			error = move(down);
		if (error)
			return error;
	}
	return 0;
}

int stream_carry(SOCKET accepted, SOCKET onward)
{
	struct direction *up = calloc(2, sizeof(*up)), *down = up + 1;
	u_long nonblocking = 1;
	int error;

	if (!up)
		return WSAENOBUFS;
	up->from = down->to = accepted;
	up->to = down->from = onward;
	if (ioctlsocket(accepted, FIONBIO, &nonblocking) ||
	    ioctlsocket(onward, FIONBIO, &nonblocking))
		error = WSAGetLastError();
	else
		error = carry(up, down);
	free(up);
	return error;
}
