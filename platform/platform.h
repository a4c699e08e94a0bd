/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The privileged wing's engine room: an instance is one set of Waybill's programs, attached to
 * one cgroup with all below it. All of its state is in the kernel: maps, and links that hold the
 * programs, pinned under /sys/fs/bpf/waybill/NAME. Nothing here stays running.
 *
 * Functions return 0 or a negative errno, and then say in message, in one line, which thing
 * failed, why, and how to mend it. They are not thread-safe on the same instance.
 */
#ifndef WAYBILL_PLATFORM_H
#define WAYBILL_PLATFORM_H

#include <signal.h>
#include <stdbool.h>

#include "../decision/decide.h"
#include "../kernel/state.h"
#include "policy/policy.h"

#define INSTANCE_DEFAULT "main"

struct instance;

/* process.c: the first process for which a function says so, or 0. */
unsigned int process_find(bool (*fits)(unsigned int pid, void *data), void *data);
/* Which process holds a socket, 0 if none is found: of one, or of many, read once. */
unsigned int process_of_socket(unsigned long inode);
struct socket_holders {
	struct socket_holder {
		unsigned long inode;
		unsigned int pid;
	} * holder;
	size_t count, room;
};
int socket_holders_read(struct socket_holders *holders); /* 0 or -ENOMEM */
unsigned int socket_holder_find(const struct socket_holders *holders, unsigned long inode);
void socket_holders_free(struct socket_holders *holders);

/* cgroup.c: where cgroup2 is mounted, read from mountinfo. Returns 0, or -ENOENT with message. */
int cgroup_mount(char *path, size_t size, struct message *message);
/* The id of a cgroup, given its directory. */
int cgroup_id(const char *directory, uint64_t *id);
/* Whether the mount shows the whole hierarchy: in a cgroup namespace a path may be another one. */
bool cgroup_shows_all(const char *mount);
/* The path of a cgroup below the mount ("/" for the root), from its id. -ENOENT if it is gone. */
int cgroup_path(uint64_t id, char *path, size_t size);
/* The path of a process's cgroup below the mount. 0 or -errno. */
int cgroup_of_process(unsigned int pid, char *path, size_t size);
/* Whether a path is a cgroup or below it. */
bool cgroup_is_below(const char *path, const char *above);

/*
 * executable.c: the executable of a process, or at a path, for policy_target. -ENOEXEC: it is not
 * one. Needs root.
 */
int executable_of_process(unsigned int pid, struct policy_executable *executable);
int executable_find(const char *path, struct policy_executable *executable, char real[PATH_MAX]);

/*
 * instance.c. instance_up makes an instance and attaches it to cgroup (a path below the mount of
 * cgroup2, NULL for all of it), or renews the programs of one that is up, without a gap.
 * *renewed tells which. It works on a half-made one too.
 */
int instance_up(const char *name, const char *cgroup, uint32_t connections, bool *renewed,
		struct message *message);
/* Removes an instance, whatever state it is in. *found: whether there was anything to remove. */
int instance_down(const char *name, bool *found, struct message *message);
/* Opens an instance that is up. -ENOENT with message if it is not. */
int instance_open(const char *name, struct instance **instance, struct message *message);
/* -ESTALE if the cgroup that it is on was removed: it redirects nothing any more. */
int instance_cgroup_check(const struct instance *instance, struct message *message);
/*
 * Makes an instance that is pinned nowhere: it lives until it is closed, and until every process
 * that has inherited its descriptors has ended. connections as above; 0: the default. For `run`.
 */
int instance_create_private(const char *cgroup, uint32_t connections, struct instance **instance,
			    struct message *message);
void instance_close(struct instance *instance);
/*
 * Redirects IPv6 datagrams too, in the caller's network namespace, until instance_datagrams6_end
 * (which another process can call, with the same owner). instance_up does this by itself.
 */
int instance_datagrams6(struct instance *instance, uint32_t owner, struct message *message);
void instance_datagrams6_end(uint32_t owner);
/* Removes what killed processes may have left of that, and what others have as well. */
void addresses_remove(void);
/* Names of instances that are pinned, for free() each and then the array. */
int instance_list(char ***names, size_t *count, struct message *message);
const struct control *instance_control(struct instance *instance);
/* The cookie of the network namespace that the caller is in. */
int netns_cookie(uint64_t *cookie);

/*
 * trial.c: loads each program alone, over maps that are thrown away, and says what became of it.
 * Stops where each returns other than 0, and returns that. Takes no instance, and touches none.
 */
enum program_verdict {
	PROGRAM_LOADS,
	PROGRAM_REFUSED,       /* by the verifier */
	PROGRAM_NO_HELPER,     /* it calls a function that this kernel does not have */
	PROGRAM_NOT_PERMITTED, /* to this process */
	PROGRAM_FAILED,        /* before it came to the verifier */
};
struct program_trial {
	char name[32];
	const char *without; /* what does not work if it does not load */
	enum program_verdict verdict;
	char reason[256];      /* if it does not load: why, in one line */
	uint32_t instructions; /* that the verifier went through */
	double milliseconds;   /* that this took; negative if the kernel did not say */
};
int programs_try(int (*each)(void *data, const struct program_trial *trial), void *data,
		 struct message *message);
const char *program_verdict_name(enum program_verdict verdict);

/* apply.c. Compiles the policy for the instance and swaps it in. */
struct apply_result {
	uint32_t generation;
	size_t services, filters, lines;
	double seconds;
};
int instance_apply(struct instance *instance, const struct policy *policy,
		   struct apply_result *result, struct message *message);
/* Compiles, and applies nothing. For `apply --check`. */
int instance_check(struct instance *instance, const struct policy *policy,
		   struct apply_result *result, struct message *message);
/*
 * Compiles an image that is only asked, and belongs to no instance; policy_compile() for this host.
 */
int policy_compile_here(const struct policy *policy, struct policy_image *image,
			struct message *message);
/*
 * A copy of the image in force, for free(image->line). -ENOENT without message if no policy is
 * applied. Its header, services and filters are read with the functions of decision/image.h.
 */
int instance_policy(struct instance *instance, struct policy_image *image, struct message *message);
/* The first line of it alone: the image may be large. -ENOENT likewise. */
int instance_policy_header(struct instance *instance, struct policy_header *header);

/* keys.c. A new key; records of the old one pass for as long as records do. -EBUSY: too soon. */
int instance_rotate_key(struct instance *instance, uint32_t *id, struct message *message);
int instance_keys(struct instance *instance, struct key_ring *ring, struct message *message);

/* report.c: sums over all CPUs. */
int instance_counters(struct instance *instance, uint64_t counters[COUNTERS],
		      struct message *message);
/* -ENOENT without message if the service has no counters. */
int instance_service_counters(struct instance *instance, uint32_t service,
			      struct service_counters *counters);
/* The name and the meaning of a counter, of a decision; for people and for JSON keys. */
const char *counter_name(enum counter counter);
const char *counter_meaning(enum counter counter);
const char *decision_name(enum verdict decision);
bool decision_exists(enum verdict decision);
const char *decision_meaning(enum verdict decision);

/*
 * tables.c: what can fill up. Of a share, used is that of the user (or of the users who share a
 * counter) who has most.
 */
#define TABLES 10
#define SHARES 2
struct table_fill {
	const char *name, *meaning;
	uint64_t used, size;
};
int instance_tables(struct instance *instance, struct table_fill table[TABLES],
		    struct message *message);
int instance_shares(struct instance *instance, struct table_fill share[SHARES],
		    struct message *message);

/* flows.c: live flows, read from the kernel's sockets, and from the table of datagrams' flows. */
struct flow {
	const struct flow_entry *entry;
	const struct records_hop *hop[WAYBILL_HOPS_MAX]; /* the chain, first hop first */
	size_t hops;
};
int instance_flows(struct instance *instance, int (*each)(void *data, const struct flow *flow),
		   void *data, struct message *message);

/*
 * holders.c: sockets below the instance's cgroup, of whatever network namespace, that have bound an
 * address which is a number's (of connections or of flows) and are neither's. They are older than
 * the instance, whose hooks let nobody bind one. Stops where each returns other than 0.
 */
struct address_holder {
	struct waybill_address address;
	bool udp;
	uint32_t uid;     /* of who made the socket */
	unsigned int pid; /* of one who has it; 0: not found */
};
int instance_address_holders(struct instance *instance,
			     int (*each)(void *data, const struct address_holder *holder),
			     void *data, struct message *message);

/*
 * reset.c: ends flows, both sockets of a connection. Those that have ended by themselves meanwhile
 * are no error, as when a service hands on that the hop before has ended. -EOPNOTSUPP if the kernel
 * cannot (before 6.5) and there is a connection among them.
 */
struct reset {
	uint64_t flow;   /* id; 0: */
	uint64_t socket; /* cookie of one that belongs to no flow */
	uint32_t number; /* of a flow of datagrams; else 0 */
};
int instance_reset(struct instance *instance, const struct reset *flow, size_t count,
		   struct message *message);
bool reset_supported(void);
/* Whether the kernel has a function of that name that programs can call or be called for. */
bool kernel_has_function(const char *name);

/*
 * inspect.c: what is attached. Of each of the instance's links: whether the kernel runs its program
 * on the cgroup that it was attached to.
 */
enum link_state {
	LINK_EFFECTIVE,
	LINK_MISSING,  /* it should be there, and is not */
	LINK_ORPHANED, /* its cgroup is gone */
	LINK_INERT,    /* its cgroup is there, and does not run it */
	LINK_UNKNOWN,  /* it could not be asked about; error says why */
};
struct link_report {
	const char *name; /* of the pin */
	enum link_state state;
	bool option;      /* it is of an option hook, above services */
	uint32_t program; /* id, 0 if unknown */
	uint64_t cgroup; /* that it was attached to; of what is gone it is known of options alone */
	int error;
};
/* How many option hooks a cgroup has that has any. */
size_t option_hooks(void);
int instance_links(struct instance *instance,
		   int (*each)(void *data, const struct link_report *report), void *data,
		   struct message *message);
/* Programs of others that run on the hooks that the instance uses, on its cgroup. */
struct foreign_program {
	const char *hook, *name; /* the latter as its owner called it, or "" */
	uint32_t id;
};
int instance_foreign_programs(struct instance *instance,
			      int (*each)(void *data, const struct foreign_program *program),
			      void *data, struct message *message);

/*
 * monitor.c: decisions as they happen, until each returns other than 0, or *stop is set (by a
 * signal's handler). One monitor an instance at a time: -EBUSY for a second. What is not wanted is
 * left out in the kernel.
 */
struct monitoring {
	uint32_t decisions; /* bit n: enum verdict n; 0: all */
	uint32_t service;   /* id; 0: any, and what is about none */
	bool by_user;
	uid_t user;    /* of who connects; only if by_user */
	uint32_t rate; /* events in a second, at most; 0: as many as come */
	int (*each)(void *data, const struct event *event);
	/* May be NULL. Once a second, and at the end: what was over the rate, or came too fast. */
	void (*missed)(void *data, uint64_t left_out, uint64_t lost);
	void *data;
};
int instance_monitor(struct instance *instance, const struct monitoring *wanted,
		     volatile sig_atomic_t *stop, struct message *message);

#endif
