// SPDX-License-Identifier: BSD-2-Clause
/*
 * Threads: what each has to know of its overlapped calls, the routines that wait for one of its
 * alertable waits, and what happens when it ends.
 */
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include "winsock.h"

pthread_mutex_t winsock_lock = PTHREAD_MUTEX_INITIALIZER;

/*
 * A child of fork(2) has nobody who could hold the lock, nor the thread of ready.c. What the
 * parent's threads began is not completed in it.
 */
static void before_fork(void)
{
	pthread_mutex_lock(&winsock_lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&winsock_lock);
}

static void after_fork_in_child(void)
{
	ready_reset();
	pthread_mutex_unlock(&winsock_lock);
}

__attribute__((constructor)) static void fork_prepare(void)
{
	pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

static __thread struct thread *current;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_there;

static struct thread *thread_new(void)
{
	struct thread *thread = calloc(1, sizeof(*thread));
	pthread_condattr_t monotonic;

	if (!thread)
		return NULL;
	thread->references = 1;
	TAILQ_INIT(&thread->routines);
	LIST_INIT(&thread->operations);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&thread->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return thread;
}

void thread_release(struct thread *thread)
{
	if (--thread->references)
		return;
	pthread_cond_destroy(&thread->wake);
	free(thread);
}

/* Routines of a thread that is no more are not run; what they are about has completed. */
static void routines_drop(struct thread *thread)
{
	struct routine *routine;

	while ((routine = TAILQ_FIRST(&thread->routines))) {
		TAILQ_REMOVE(&thread->routines, routine, link);
		free(routine);
	}
}

static void thread_ended(void *argument)
{
	struct thread *thread = argument;

	pthread_mutex_lock(&winsock_lock);
	thread->ended = true;
	operations_end(thread);
	routines_drop(thread);
	if (thread->object) {
		thread->object->thread = NULL;
		object_signal(thread->object);
		object_release(thread->object);
		thread->object = NULL;
		thread->references--;
	}
	thread_release(thread);
	pthread_mutex_unlock(&winsock_lock);
	if (current == thread)
		current = NULL;
}

static void key_make(void)
{
	key_there = !pthread_key_create(&key, thread_ended);
}

/* From here on the calling thread is this one. */
static bool thread_become(struct thread *thread)
{
	pthread_once(&once, key_make);
	if (!key_there || pthread_setspecific(key, thread))
		return false;
	current = thread;
	return true;
}

struct thread *thread_current(void)
{
	struct thread *thread;

	if (current)
		return current;
	thread = thread_new();
	if (thread && !thread_become(thread)) {
		pthread_cond_destroy(&thread->wake);
		free(thread);
		thread = NULL;
	}
	return thread;
}

void thread_queue(struct thread *thread, struct routine *routine)
{
	TAILQ_INSERT_TAIL(&thread->routines, routine, link);
	pthread_cond_signal(&thread->wake);
}

bool thread_run_routines(struct thread *thread)
{
	bool any = false;
	struct routine *routine;

	while ((routine = TAILQ_FIRST(&thread->routines))) {
		any = true;
		TAILQ_REMOVE(&thread->routines, routine, link);
		pthread_mutex_unlock(&winsock_lock);
		thread->running++;
		routine->run(routine);
		thread->running--;
		pthread_mutex_lock(&winsock_lock);
	}
	return any;
}

/* The handle's object of a thread: one for all handles. NULL: no memory. Under the lock. */
static struct object *thread_object(struct thread *thread)
{
	if (!thread->object) {
		thread->object = object_new(OBJECT_THREAD);
		if (!thread->object)
			return NULL;
		thread->object->thread = thread;
		thread->references++;
	}
	thread->object->references++;
	return thread->object;
}

struct start {
	struct thread *thread;
	LPTHREAD_START_ROUTINE function;
	void *parameter;
};

static void *thread_start(void *argument)
{
	struct start start = *(struct start *)argument;

	free(argument);
	if (thread_become(start.thread))
		start.function(start.parameter);
	else
		thread_ended(start.thread);
	return NULL;
}

static int thread_create(const struct start *start, SIZE_T stack)
{
	struct start *copy = malloc(sizeof(*copy));
	pthread_attr_t detached;
	pthread_t made;
	int error = WSA_NOT_ENOUGH_MEMORY;

	if (!copy)
		return error;
	*copy = *start;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	/* Rounded up, as Windows does. */
	if (stack && stack < (SIZE_T)PTHREAD_STACK_MIN)
		stack = (SIZE_T)PTHREAD_STACK_MIN;
	if ((!stack || !pthread_attr_setstacksize(&detached, (stack + 65535) & ~(SIZE_T)65535)) &&
	    !pthread_create(&made, &detached, thread_start, copy))
		error = 0;
	pthread_attr_destroy(&detached);
	if (error)
		free(copy);
	return error;
}

HANDLE WINAPI CreateThread(void *lpThreadAttributes, SIZE_T dwStackSize,
			   LPTHREAD_START_ROUTINE lpStartAddress, LPVOID lpParameter,
			   DWORD dwCreationFlags, LPDWORD lpThreadId)
{
	static DWORD ids;
	struct start start = { .function = lpStartAddress, .parameter = lpParameter };
	DWORD id = __atomic_add_fetch(&ids, 1, __ATOMIC_RELAXED) << 2;
	struct object *object;
	HANDLE handle = NULL;
	int error = 0;

	if (lpThreadAttributes || dwCreationFlags || !lpStartAddress)
		error = WSA_INVALID_PARAMETER;
	else if (lpThreadId)
		error = memory_write(lpThreadId, &id, sizeof(id));
	if (!error && !(start.thread = thread_new()))
		error = WSA_NOT_ENOUGH_MEMORY;
	if (error) {
		winsock_result(error);
		return NULL;
	}
	pthread_mutex_lock(&winsock_lock);
	object = thread_object(start.thread);
	if (object)
		handle = handle_new(object);
	pthread_mutex_unlock(&winsock_lock);
	error = handle ? thread_create(&start, dwStackSize) : WSA_NOT_ENOUGH_MEMORY;
	if (!error)
		return handle;
	thread_ended(start.thread);
	pthread_mutex_lock(&winsock_lock);
	if (handle)
		handle_close(handle);
	pthread_mutex_unlock(&winsock_lock);
	winsock_result(error);
	return NULL;
}

int WSPAPI WPUOpenCurrentThread(LPWSATHREADID lpThreadId, LPINT lpErrno)
{
	struct thread *thread = thread_current();
	WSATHREADID id = { 0 };
	struct object *object = NULL;
	int error = WSAENOBUFS;

	pthread_mutex_lock(&winsock_lock);
	if (thread)
		object = thread_object(thread);
	if (object)
		id.ThreadHandle = handle_new(object);
	pthread_mutex_unlock(&winsock_lock);
	if (id.ThreadHandle)
		error = memory_write(lpThreadId, &id, sizeof(id));
	if (error && id.ThreadHandle) {
		pthread_mutex_lock(&winsock_lock);
		handle_close(id.ThreadHandle);
		pthread_mutex_unlock(&winsock_lock);
	}
	return winsock_provider_result(error, lpErrno);
}

int WSPAPI WPUCloseThread(LPWSATHREADID lpThreadId, LPINT lpErrno)
{
	WSATHREADID id;
	int error = memory_read(&id, lpThreadId, sizeof(id));

	pthread_mutex_lock(&winsock_lock);
	if (!error && !handle_close(id.ThreadHandle))
		error = WSA_INVALID_HANDLE;
	pthread_mutex_unlock(&winsock_lock);
	return winsock_provider_result(error, lpErrno);
}

struct user_routine {
	struct routine routine; /* the first */
	LPWSAUSERAPC function;
	DWORD_PTR context;
};

static void user_routine_run(struct routine *routine)
{
	struct user_routine user = *(struct user_routine *)routine;

	free(routine);
	user.function(user.context);
}

int WSPAPI WPUQueueApc(LPWSATHREADID lpThreadId, LPWSAUSERAPC lpfnUserApc, DWORD_PTR dwContext,
		       LPINT lpErrno)
{
	struct user_routine *user = malloc(sizeof(*user));
	struct object *object;
	WSATHREADID id;
	int error = memory_read(&id, lpThreadId, sizeof(id));

	if (!error && !lpfnUserApc)
		error = WSAEFAULT;
	if (!error && !user)
		error = WSAENOBUFS;
	if (error) {
		free(user);
		return winsock_provider_result(error, lpErrno);
	}
	*user = (struct user_routine){ { .run = user_routine_run }, lpfnUserApc, dwContext };
	pthread_mutex_lock(&winsock_lock);
	object = handle_object(id.ThreadHandle);
	if (object && object->thread)
		thread_queue(object->thread, &user->routine);
	else
		error = WSA_INVALID_HANDLE;
	if (object)
		object_release(object);
	pthread_mutex_unlock(&winsock_lock);
	if (error)
		free(user);
	return winsock_provider_result(error, lpErrno);
}
