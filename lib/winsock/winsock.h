/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the Winsock part share. Which file knows what:
 *
 *   error.c      Windows' errors and statuses, for errnos
 *   memory.c     the caller's memory, touched by the kernel, which says EFAULT
 *   thread.c     threads, and the routines that wait for their alertable waits
 *   handle.c     handles of events and threads
 *   wait.c       waits for them
 *   socket.c     what is known of a SOCKET beside the descriptor
 *   operation.c  overlapped calls: begun, tried again when the socket is ready, completed, aborted
 *   ready.c      the one thread that learns which socket is ready
 *   ioctl.c      the control codes
 *   message.c    sends and receives
 *   control.c    control messages, from one system's form into the other's
 *   option.c     socket options
 *   posix.c      the calls that POSIX has under the same name
 *
 * One lock guards all that is shared. Nothing that waits for a peer is done under it, and no function
 * of the caller's is called.
 */
#ifndef WAYBILL_LIB_WINSOCK_H
#define WAYBILL_LIB_WINSOCK_H

#define WAYBILL_WINSOCK_NO_POSIX_NAMES
#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/uio.h>
#include <waybill/winsock.h>

extern pthread_mutex_t winsock_lock;

/* The Windows error of an errno. */
int winsock_error(int error);
/* For the end of a call: 0 if the Windows error is 0, else SOCKET_ERROR, and it is the last error. */
int winsock_result(int error);
/* The same of a call that returns TRUE, or FALSE; and of a provider's, with its own place for errors. */
BOOL winsock_boolean(int error);
int winsock_provider_result(int error, LPINT lpErrno);
/* The value of Internal, an NTSTATUS, for a Windows error; and back. */
ULONG_PTR winsock_status(int error);
int winsock_status_error(ULONG_PTR status);

/* 0, or WSAEFAULT: nothing, or a part, was copied. */
int memory_read(void *to, const void *caller, size_t size);
int memory_write(void *caller, const void *from, size_t size);
/* Reads what is to be written later: WSAEFAULT also if it could not be. What is in it stays. */
int memory_take(void *to, void *caller, size_t size);

/* Something to run in a thread's alertable wait. */
struct routine {
	TAILQ_ENTRY(routine) link;
	void (*run)(struct routine *); /* without the lock; frees it */
};

struct operation;
LIST_HEAD(thread_operations, operation);

struct thread {
	int references; /* its own, and those of handles */
	bool ended;
	pthread_cond_t wake;
	TAILQ_HEAD(, routine) routines;
	struct thread_operations operations; /* what it began, or whose routine it is to run */
	struct object *object;               /* its handle's, or NULL */
	int running;                         /* routines; only it itself looks */
};

/* The calling thread; NULL: no memory. */
struct thread *thread_current(void);
/* These under the lock. */
void thread_release(struct thread *thread);
void thread_queue(struct thread *thread, struct routine *routine);
/* Runs, without the lock, what is queued for the calling thread. Whether there was anything. */
bool thread_run_routines(struct thread *thread);

/* What a handle is of. */
enum object_kind { OBJECT_EVENT, OBJECT_THREAD };

struct wait;

struct waiter {
	LIST_ENTRY(waiter) link;
	struct wait *wait;
};

struct object {
	enum object_kind kind;
	int references;
	bool signalled;
	LIST_HEAD(, waiter) waiters;
	struct thread *thread; /* OBJECT_THREAD */
};

/* All under the lock. */
struct object *object_new(enum object_kind kind);
void object_release(struct object *object);
void object_signal(struct object *object);
/* NULL: no memory. Takes over the caller's reference, also then. */
HANDLE handle_new(struct object *object);
/* With a reference for the caller; NULL: no such handle. */
struct object *handle_object(HANDLE handle);
bool handle_close(HANDLE handle);
/* Something that is waited for was signalled. */
void wait_look(struct wait *wait);

/* What an overlapped call waits for, and with whom it is in line. */
enum direction { QUERY, RECEIVE, SEND, IMMEDIATE, DIRECTIONS };

/* Indices of what is set for each family of a datagram socket. */
enum { FOUR, SIX };

/* What the caller of a datagram socket wants to be told with each. */
struct wishes {
	bool flows; /* the socket was set up to tell them */
	bool records[2], contexts[2], addresses[2];
};

struct winsocket {
	int fd;
	uint32_t id;    /* no other socket of this process ever had it */
	uint64_t inode; /* tells if the descriptor has become another socket's */
	int references;
	int uses;    /* short calls on the descriptor; it is closed when there are none */
	int blocked; /* calls that may block; closing the socket wakes them */
	bool ended;  /* SD_SEND was said */
	bool overlapped, closing;
	bool closed; /* of one that is closing, and still in the table */
	bool watched;  /* ready.c was told of it */
	bool datagram; /* its type */
	bool answered; /* Waybill has answered on it */
	struct wishes wishes;
	uint32_t flow; /* of the redirected datagram that was received last; 0: none yet */
	struct {
		TAILQ_HEAD(, operation) operations;
		bool busy;  /* somebody is trying the first one */
		bool again; /* and is to try again, for something may have changed */
	} queues[DIRECTIONS];
};

/*
 * The socket, used by the caller until socket_leave(): so long its descriptor is not closed. What
 * POSIX calls made is taken in. NULL: not a socket, or no memory: *error is the Windows error.
 */
struct winsocket *socket_enter(SOCKET s, int *error);
void socket_leave(struct winsocket *socket);
/* The descriptor, or -1: what is none must not become one by losing its upper half. */
int socket_descriptor(SOCKET s);
/* Whether receives on it have to look at flows. */
bool socket_tells_flows(SOCKET s);
/*
 * Around a call that may block: NULL if nothing is known of the socket, and then nothing is to be
 * done. After it, whether the socket has been closed meanwhile: the call was woken by that.
 */
struct winsocket *socket_block(SOCKET s);
bool socket_unblock(struct winsocket *socket);
/* Whether calls wait in a line, which an ordinary call must not overtake. */
bool socket_waits(SOCKET s, enum direction direction);
/* These under the lock. */
void socket_unuse(struct winsocket *socket);
void socket_release(struct winsocket *socket);
struct winsocket *socket_find(int fd, uint32_t id);
void sockets_each(void (*function)(struct winsocket *socket));
/* Which flow a question on a datagram socket is about; 0: none, or not known yet. */
uint32_t socket_flow(struct winsocket *socket, int64_t thread_flow);
/*
 * The flow of the datagram that the calling thread received last on the socket of this id, 0 for one that was
 * not redirected; -1: it received none. And sets it.
 */
int64_t socket_thread_flow(uint32_t id);
void socket_thread_flow_set(uint32_t id, uint32_t flow);
/* Some thread received a datagram of a flow, or of none (0), and what waits for that may go on. */
void socket_received(struct winsocket *socket, uint32_t flow);
/* Makes the kernel tell the flow of each datagram. 0 or a Windows error. */
int socket_tell_flows(struct winsocket *socket);

/* What an attempt returns when the socket is not ready. No Windows error has this value. */
#define AGAIN (-1)

#define BUFFERS_MAX 1024
/* Larger than anything that the library or the kernel puts before a caller, or takes from one. */
#define CONTROL_ROOM 4096

struct message {
	WSAMSG *caller; /* WSARecvMsg: updated at the end. Else NULL */
	DWORD *flags;   /* WSARecv, WSARecvFrom: likewise */
	INT *name_length;
	struct sockaddr *name;
	socklen_t name_size;
	CHAR *control;
	ULONG control_size;
	int call_flags;
	size_t done; /* of a stream, in the attempts so far */
	size_t count;
	struct iovec *buffers;
};

struct operation {
	struct routine routine; /* the first: it is queued as that once it is complete */
	TAILQ_ENTRY(operation) link;
	LIST_ENTRY(operation) of_thread;
	struct winsocket *socket;
	uint32_t socket_id; /* when the socket may be gone */
	enum direction direction;
	/* Without the lock: 0, a Windows error, or AGAIN. Sets count, flags, flow. */
	int (*attempt)(struct operation *);
	LPWSAOVERLAPPED overlapped;
	LPWSAOVERLAPPED_COMPLETION_ROUTINE call;
	struct object *event;
	struct thread *thread;
	bool issuing;  /* in operation_begin(), which takes the result */
	bool finished; /* with issuing: result is there */
	bool cancelled;
	int result;
	DWORD count, flags;
	int64_t flow; /* received; -1: none */
	union {
		struct {
			DWORD code;
			void *out;
			DWORD size;
			int64_t flow; /* the thread's, when it asked */
		} query;
		struct message message;
	};
	struct iovec buffers[]; /* of message */
};

struct operation *operation_new(enum direction direction, int (*attempt)(struct operation *),
				size_t buffers);
void operation_free(struct operation *operation);
/* Whether a call can be an overlapped one with these, which may be NULL. 0 or a Windows error. */
int operation_check(LPWSAOVERLAPPED overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE call);
/*
 * Begins a call, and takes the operation over. 0: it has completed, with this count and flags (both
 * can be NULL). WSA_IO_PENDING, or another Windows error: nothing remains of it. thread_id names the
 * thread of the routine; NULL: the calling one.
 */
int operation_begin(struct winsocket *socket, struct operation *operation,
		    LPWSAOVERLAPPED overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE call,
		    const WSATHREADID *thread_id, DWORD *count, DWORD *flags);
/*
 * As an ordinary call that blocks: until it is complete, or a signal handler ran (WSAEINTR). Leaves
 * the socket.
 */
int operation_wait(struct winsocket *socket, struct operation *operation, DWORD *count);
/* These under the lock. Aborts all of a socket, of one lpOverlapped, or of a thread that ends. */
int operations_cancel(struct winsocket *socket, LPWSAOVERLAPPED overlapped);
void operations_end(struct thread *thread);
/* The socket may have become ready. */
void operations_try(struct winsocket *socket, enum direction direction);

/* Under the lock: has operations_try() called when the socket is ready. 0 or a Windows error. */
int ready_watch(struct winsocket *socket);
void ready_forget(struct winsocket *socket);
/* In a child of fork(2): as if nothing had been watched yet. */
void ready_reset(void);

/* The Windows error of a send, some of which depend on the socket. */
int send_error(SOCKET s, int error);

/*
 * From the kernel's control messages to the caller's, those that it wants. *size is the room, then
 * what is used; *truncated: not all had room. 0 or WSAEFAULT.
 */
int control_to_caller(const struct wishes *wishes, const struct msghdr *message, CHAR *caller,
		      ULONG *size, bool *truncated);
/* And back, into room for the kernel's. 0 or a Windows error. */
int control_from_caller(const CHAR *caller, ULONG size, char *bytes, size_t room, size_t *used);

#endif
