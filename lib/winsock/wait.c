// SPDX-License-Identifier: BSD-2-Clause
/* Waits: for events and threads, for a time, and, if alertable, for routines to run. */
#include <errno.h>
#include <time.h>

#include "winsock.h"

struct wait {
	struct thread *thread;
	DWORD count;
	BOOL all;
	int index; /* of what has ended the wait, or -1 */
	struct object *objects[WSA_MAXIMUM_WAIT_EVENTS];
	struct waiter waiters[WSA_MAXIMUM_WAIT_EVENTS];
};

/* The index that would end the wait, or -1. Nothing is reset by a wait: all events are by hand. */
static int signalled(const struct wait *wait)
{
	DWORD i;

	for (i = 0; i < wait->count; i++)
		if (wait->objects[i]->signalled != !!wait->all)
			break;
	if (wait->all)
		return wait->count && i == wait->count ? 0 : -1;
	return i < wait->count ? (int)i : -1;
}

/* It is over even if what was signalled is reset before the thread gets to run. */
void wait_look(struct wait *wait)
{
	if (wait->index >= 0)
		return;
	wait->index = signalled(wait);
	if (wait->index >= 0)
		pthread_cond_signal(&wait->thread->wake);
}

static struct timespec deadline_of(DWORD milliseconds)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += milliseconds / 1000;
	at.tv_nsec += milliseconds % 1000 * 1000000L;
	if (at.tv_nsec >= 1000000000L) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000L;
	}
	return at;
}

static DWORD wait_locked(struct wait *wait, DWORD timeout, BOOL alertable)
{
	struct timespec deadline = deadline_of(timeout);
	int late = timeout == 0;

	for (;;) {
		wait_look(wait);
		if (wait->index >= 0)
			return WSA_WAIT_EVENT_0 + (DWORD)wait->index;
		if (alertable && thread_run_routines(wait->thread))
			return WSA_WAIT_IO_COMPLETION;
		if (late)
			return WSA_WAIT_TIMEOUT;
		if (timeout == INFINITE)
			pthread_cond_wait(&wait->thread->wake, &winsock_lock);
		else
			late = pthread_cond_timedwait(&wait->thread->wake, &winsock_lock,
						      &deadline) == ETIMEDOUT;
	}
}

/* Handles are the library's copies. */
static DWORD wait_for(DWORD count, const HANDLE *handles, BOOL all, DWORD timeout, BOOL alertable)
{
	struct wait wait = { .thread = thread_current(), .all = all, .index = -1 };
	DWORD i, found, result = WSA_WAIT_FAILED;
	int cancellable;

	if (!wait.thread) {
		winsock_result(WSA_NOT_ENOUGH_MEMORY);
		return WSA_WAIT_FAILED;
	}
	/* A thread that is cancelled in here would take the lock along. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
	pthread_mutex_lock(&winsock_lock);
	for (found = 0; found < count; found++) {
		wait.objects[found] = handle_object(handles[found]);
		if (!wait.objects[found])
			break;
		wait.waiters[found].wait = &wait;
		LIST_INSERT_HEAD(&wait.objects[found]->waiters, &wait.waiters[found], link);
	}
	wait.count = found;
	if (found == count)
		result = wait_locked(&wait, timeout, alertable);
	for (i = 0; i < found; i++) {
		LIST_REMOVE(&wait.waiters[i], link);
		object_release(wait.objects[i]);
	}
	pthread_mutex_unlock(&winsock_lock);
	pthread_setcancelstate(cancellable, NULL);
	if (result == WSA_WAIT_FAILED)
		winsock_result(WSA_INVALID_HANDLE);
	return result;
}

DWORD WSAAPI WSAWaitForMultipleEvents(DWORD cEvents, const WSAEVENT *lphEvents, BOOL fWaitAll,
				      DWORD dwTimeout, BOOL fAlertable)
{
	HANDLE handles[WSA_MAXIMUM_WAIT_EVENTS];
	int error = cEvents - 1 >= WSA_MAXIMUM_WAIT_EVENTS ?
			    WSA_INVALID_PARAMETER :
			    memory_read(handles, lphEvents, cEvents * sizeof(*handles));

	if (error) {
		winsock_result(error);
		return WSA_WAIT_FAILED;
	}
	return wait_for(cEvents, handles, fWaitAll, dwTimeout, fAlertable);
}

DWORD WINAPI WaitForSingleObjectEx(HANDLE hHandle, DWORD dwMilliseconds, BOOL bAlertable)
{
	return wait_for(1, &hHandle, FALSE, dwMilliseconds, bAlertable);
}

DWORD WINAPI WaitForSingleObject(HANDLE hHandle, DWORD dwMilliseconds)
{
	return wait_for(1, &hHandle, FALSE, dwMilliseconds, FALSE);
}

DWORD WINAPI SleepEx(DWORD dwMilliseconds, BOOL bAlertable)
{
	return wait_for(0, NULL, FALSE, dwMilliseconds, bAlertable) == WSA_WAIT_IO_COMPLETION ?
		       WAIT_IO_COMPLETION :
		       0;
}

void WINAPI Sleep(DWORD dwMilliseconds)
{
	wait_for(0, NULL, FALSE, dwMilliseconds, FALSE);
}

ULONGLONG WINAPI GetTickCount64(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (ULONGLONG)now.tv_sec * 1000 + (ULONGLONG)now.tv_nsec / 1000000;
}
