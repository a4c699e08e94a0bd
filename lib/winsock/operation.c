// SPDX-License-Identifier: BSD-2-Clause
/*
 * Overlapped calls. Each is in line with those of its kind on its socket. Whoever finds that the
 * socket may be ready (the caller who begins, the thread of ready.c, a receive that lets a query
 * go on) tries the first in line, and the next, until one has to wait; never two at a time.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "winsock.h"

/* How many wait in futex(2) for the status of a call. */
static int status_waiters;

/* Bits of OffsetHigh, which is the library's: what WSAGetOverlappedResult has to know. */
#define HAS_ROUTINE 1U
#define HAS_FLOW 2U
#define FLOW_SHIFT 2

struct operation *operation_new(enum direction direction, int (*attempt)(struct operation *),
				size_t buffers)
{
	struct operation *operation =
		calloc(1, sizeof(*operation) + buffers * sizeof(struct iovec));

	if (!operation)
		return NULL;
	operation->direction = direction;
	operation->attempt = attempt;
	operation->flow = -1;
	return operation;
}

void operation_free(struct operation *operation)
{
	free(operation);
}

int operation_check(LPWSAOVERLAPPED overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE call)
{
	WSAOVERLAPPED copy;
	char byte;
	int error = memory_take(&copy, overlapped, sizeof(copy));

	return error || !call ? error : memory_read(&byte, (void *)(uintptr_t)call, sizeof(byte));
}

/* The status is written last: from then on the caller may do with *overlapped what it likes. */
static void status_store(LPWSAOVERLAPPED overlapped, ULONG_PTR status)
{
	__atomic_store_n(&overlapped->Internal, status, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&status_waiters, __ATOMIC_SEQ_CST))
		syscall(SYS_futex, &overlapped->Internal, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL,
			0);
}

/* Out of its lines, and what it held is let go of. */
static void operation_leave(struct operation *operation)
{
	struct winsocket *socket = operation->socket;

	TAILQ_REMOVE(&socket->queues[operation->direction].operations, operation, link);
	/* One that is in operation_begin() still stays its thread's, which may end meanwhile. */
	if (operation->thread && !operation->issuing)
		LIST_REMOVE(operation, of_thread);
	socket_release(socket);
}

/* In the thread whose call it was. */
static void completion_run(struct routine *routine)
{
	struct operation *operation = (struct operation *)routine;
	LPWSAOVERLAPPED overlapped = operation->overlapped;
	LPWSAOVERLAPPED_COMPLETION_ROUTINE call = operation->call;
	DWORD error = (DWORD)operation->result, count = operation->count, flags = operation->flags;

	if (operation->flow >= 0)
		socket_thread_flow_set(operation->socket_id, (uint32_t)operation->flow);
	operation_free(operation);
	call(error, count, overlapped, flags);
}

/* Tells the caller, in every way that it asked for. Consumes the operation. */
static void operation_tell(struct operation *operation, int error)
{
	LPWSAOVERLAPPED overlapped = operation->overlapped;

	operation->result = error;
	overlapped->InternalHigh = operation->count;
	overlapped->Offset = operation->flags;
	overlapped->OffsetHigh |=
		operation->flow >= 0 ? HAS_FLOW | (DWORD)operation->flow << FLOW_SHIFT : 0;
	status_store(overlapped, winsock_status(error));
	if (operation->event) {
		object_signal(operation->event);
		object_release(operation->event);
	}
	if (operation->call && operation->thread) {
		operation->routine.run = completion_run;
		thread_queue(operation->thread, &operation->routine);
	} else {
		operation_free(operation);
	}
}

/* It is over: for its caller, who is still in operation_begin(), or to be told. */
static void operation_end(struct operation *operation, int error)
{
	operation_leave(operation);
	if (operation->issuing) {
		operation->result = error;
		operation->finished = true;
	} else {
		operation_tell(operation, error);
	}
}

void operations_try(struct winsocket *socket, enum direction direction)
{
	struct operation *operation;
	int result;

	if (socket->queues[direction].busy) {
		socket->queues[direction].again = true;
		return;
	}
	if (TAILQ_EMPTY(&socket->queues[direction].operations))
		return;
	socket->queues[direction].busy = true;
	socket->references++;
	socket->uses++;
	do {
		socket->queues[direction].again = false;
		while ((operation = TAILQ_FIRST(&socket->queues[direction].operations))) {
			pthread_mutex_unlock(&winsock_lock);
			result = operation->attempt(operation);
			pthread_mutex_lock(&winsock_lock);
			if (result == AGAIN && operation->cancelled)
				result = WSA_OPERATION_ABORTED;
			if (result == AGAIN)
				break;
			operation_end(operation, result);
		}
	} while (socket->queues[direction].again);
	socket->queues[direction].busy = false;
	socket_unuse(socket);
	socket_release(socket);
}

static bool tried_now(const struct operation *operation)
{
	const struct winsocket *socket = operation->socket;

	return socket->queues[operation->direction].busy &&
	       TAILQ_FIRST(&socket->queues[operation->direction].operations) == operation;
}

/* One that is being tried ends when the attempt has: by that, or as aborted. */
static void operation_cancel(struct operation *operation)
{
	struct winsocket *socket = operation->socket;
	enum direction direction = operation->direction;
	bool first = TAILQ_FIRST(&socket->queues[direction].operations) == operation;

	if (tried_now(operation)) {
		operation->cancelled = true;
		return;
	}
	socket->references++;
	operation_end(operation, WSA_OPERATION_ABORTED);
	/* The next in line may be able to go on where this one could not. */
	if (first && !socket->closing && !TAILQ_EMPTY(&socket->queues[direction].operations))
		ready_watch(socket);
	socket_release(socket);
}

int operations_cancel(struct winsocket *socket, LPWSAOVERLAPPED overlapped)
{
	struct operation *operation, *next;
	int direction, count = 0;

	for (direction = 0; direction < DIRECTIONS; direction++) {
		operation = TAILQ_FIRST(&socket->queues[direction].operations);
		for (; operation; operation = next) {
			next = TAILQ_NEXT(operation, link);
			if (overlapped && operation->overlapped != overlapped)
				continue;
			operation_cancel(operation);
			count++;
		}
	}
	return count;
}

void operations_end(struct thread *thread)
{
	struct operation *operation;

	while ((operation = LIST_FIRST(&thread->operations))) {
		LIST_REMOVE(operation, of_thread);
		operation->thread = NULL;
		if (!operation->finished)
			operation_cancel(operation);
	}
}

/* The thread whose routine it will be; NULL: it has no more such. Under the lock. */
static struct thread *thread_of(const WSATHREADID *thread_id, struct thread *calling)
{
	struct object *object;
	struct thread *thread;

	if (!thread_id)
		return calling;
	object = handle_object(thread_id->ThreadHandle);
	if (!object)
		return NULL;
	thread = object->thread;
	object_release(object);
	return thread;
}

/* Everything that can fail, before anybody could see the operation. Under the lock. */
static int operation_enter(struct winsocket *socket, struct operation *operation,
			   const WSATHREADID *thread_id, struct thread *calling)
{
	HANDLE event = operation->call ? NULL : operation->overlapped->hEvent;

	if (socket->closing)
		return WSAENOTSOCK;
	operation->thread = thread_of(thread_id, calling);
	if (!operation->thread)
		return WSA_INVALID_HANDLE;
	if (event) {
		operation->event = handle_object(event);
		if (!operation->event || operation->event->kind != OBJECT_EVENT) {
			if (operation->event)
				object_release(operation->event);
			return WSA_INVALID_HANDLE;
		}
		operation->event->signalled = false;
	}
	operation->socket = socket;
	operation->socket_id = socket->id;
	operation->issuing = true;
	socket->references++;
	LIST_INSERT_HEAD(&operation->thread->operations, operation, of_thread);
	TAILQ_INSERT_TAIL(&socket->queues[operation->direction].operations, operation, link);
	operation->overlapped->InternalHigh = 0;
	operation->overlapped->Offset = 0;
	operation->overlapped->OffsetHigh = operation->call ? HAS_ROUTINE : 0;
	__atomic_store_n(&operation->overlapped->Internal, STATUS_PENDING, __ATOMIC_RELEASE);
	return 0;
}

/* What the first attempt came to. Under the lock; consumes the operation unless it pends. */
static int operation_issued(struct winsocket *socket, struct operation *operation, DWORD *count,
			    DWORD *flags)
{
	int error;

	operation->issuing = false;
	if (!operation->finished) {
		error = ready_watch(socket);
		if (!error)
			return WSA_IO_PENDING;
		operation_leave(operation);
		operation->result = error;
	} else if (operation->thread) {
		LIST_REMOVE(operation, of_thread);
	}
	error = operation->result;
	if (count)
		*count = operation->count;
	if (flags)
		*flags = operation->flags;
	if (operation->flow >= 0)
		socket_thread_flow_set(socket->id, (uint32_t)operation->flow);
	if (!error) {
		operation_tell(operation, 0);
		return 0;
	}
	status_store(operation->overlapped, winsock_status(error));
	if (operation->event)
		object_release(operation->event);
	operation_free(operation);
	return error;
}

int operation_begin(struct winsocket *socket, struct operation *operation,
		    LPWSAOVERLAPPED overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE call,
		    const WSATHREADID *thread_id, DWORD *count, DWORD *flags)
{
	struct thread *calling = thread_current();
	int error;

	operation->overlapped = overlapped;
	operation->call = call;
	if (!calling) {
		operation_free(operation);
		return WSAENOBUFS;
	}
	pthread_mutex_lock(&winsock_lock);
	error = operation_enter(socket, operation, thread_id, calling);
	if (error) {
		operation_free(operation);
	} else {
		/* Behind others it waits its turn, and the call returns at once. */
		if (TAILQ_FIRST(&socket->queues[operation->direction].operations) == operation)
			operations_try(socket, operation->direction);
		error = operation_issued(socket, operation, count, flags);
	}
	pthread_mutex_unlock(&winsock_lock);
	return error;
}

/* Until the call is over; false: a signal handler ran. */
static bool status_wait(LPWSAOVERLAPPED overlapped)
{
	bool interrupted = false;

	__atomic_add_fetch(&status_waiters, 1, __ATOMIC_SEQ_CST);
	while (!interrupted &&
	       __atomic_load_n(&overlapped->Internal, __ATOMIC_SEQ_CST) == STATUS_PENDING)
		interrupted = syscall(SYS_futex, &overlapped->Internal, FUTEX_WAIT_PRIVATE,
				      STATUS_PENDING, NULL, NULL, 0) &&
			      errno == EINTR;
	__atomic_sub_fetch(&status_waiters, 1, __ATOMIC_SEQ_CST);
	return !interrupted;
}

int operation_wait(struct winsocket *socket, struct operation *operation, DWORD *count)
{
	WSAOVERLAPPED overlapped = { .hEvent = NULL };
	bool interrupted = false;
	int error = operation_begin(socket, operation, &overlapped, NULL, NULL, count, NULL);

	if (error != WSA_IO_PENDING) {
		socket_leave(socket);
		return error;
	}
	/* While it waits the socket may be closed, which ends it. */
	pthread_mutex_lock(&winsock_lock);
	socket_unuse(socket);
	pthread_mutex_unlock(&winsock_lock);
	while (!status_wait(&overlapped)) {
		interrupted = true;
		pthread_mutex_lock(&winsock_lock);
		operations_cancel(socket, &overlapped);
		pthread_mutex_unlock(&winsock_lock);
	}
	pthread_mutex_lock(&winsock_lock);
	socket_release(socket);
	pthread_mutex_unlock(&winsock_lock);
	error = winsock_status_error(overlapped.Internal);
	*count = (DWORD)overlapped.InternalHigh;
	return error == WSA_OPERATION_ABORTED && interrupted ? WSAEINTR : error;
}

BOOL WSAAPI WSAGetOverlappedResult(SOCKET s, LPWSAOVERLAPPED lpOverlapped, LPDWORD lpcbTransfer,
				   BOOL fWait, LPDWORD lpdwFlags)
{
	struct winsocket *socket;
	const DWORD none = 0;
	WSAOVERLAPPED seen;
	ULONG_PTR status;
	int error;

	socket = socket_enter(s, &error);
	if (!socket) {
		/* The result of what closing aborted can be had all the same. */
		if (error != WSAENOTSOCK)
			return winsock_boolean(error);
		error = 0;
	}
	if (memory_read(&seen, lpOverlapped, sizeof(seen)) ||
	    memory_write(lpcbTransfer, &none, sizeof(none)) ||
	    memory_write(lpdwFlags, &none, sizeof(none)))
		error = WSAEFAULT;
	else if (fWait && seen.OffsetHigh & HAS_ROUTINE)
		error = WSA_INVALID_PARAMETER;
	if (error || !fWait)
		goto out;
	if (socket)
		socket_leave(socket);
	while (!status_wait(lpOverlapped))
		continue;
	socket = socket_enter(s, &error);
	error = 0;
out:
	if (!error) {
		status = __atomic_load_n(&lpOverlapped->Internal, __ATOMIC_SEQ_CST);
		error = winsock_status_error(status);
	}
	if (error != WSAEFAULT && error != WSA_IO_INCOMPLETE && error != WSA_INVALID_PARAMETER) {
		*lpcbTransfer = (DWORD)lpOverlapped->InternalHigh;
		*lpdwFlags = lpOverlapped->Offset;
		if (socket && lpOverlapped->OffsetHigh & HAS_FLOW)
			socket_thread_flow_set(socket->id, lpOverlapped->OffsetHigh >> FLOW_SHIFT);
	}
	if (socket)
		socket_leave(socket);
	return winsock_boolean(error);
}

BOOL WINAPI CancelIoEx(HANDLE hFile, LPOVERLAPPED lpOverlapped)
{
	struct winsocket *socket;
	int error, count;

	socket = socket_enter((SOCKET)hFile, &error);
	if (!socket)
		return winsock_boolean(error == WSAENOTSOCK ? WSA_INVALID_HANDLE : error);
	pthread_mutex_lock(&winsock_lock);
	count = operations_cancel(socket, lpOverlapped);
	pthread_mutex_unlock(&winsock_lock);
	socket_leave(socket);
	return winsock_boolean(count ? 0 : ERROR_NOT_FOUND);
}
