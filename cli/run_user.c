// SPDX-License-Identifier: BSD-2-Clause
/*
 * As whom a command runs: whoever called sudo, so that a command which needs no root does not
 * get it just because Waybill does.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run_child.h"

/* Reads a user's or group's number. (uid_t)-1 is none: the kernel takes it for "unchanged". */
static int parse_id(const char *text, unsigned int *id)
{
	unsigned long value;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 10);
	*id = value;
	return *end || errno || value >= (uid_t)-1 ? -EINVAL : 0;
}

static void fill(struct run_user *user, const struct passwd *entry)
{
	user->uid = entry->pw_uid;
	user->gid = entry->pw_gid;
	snprintf(user->name, sizeof(user->name), "%s", entry->pw_name);
	snprintf(user->home, sizeof(user->home), "%s", entry->pw_dir);
	snprintf(user->shell, sizeof(user->shell), "%s", entry->pw_shell);
}

static int find_sudo(struct run_user *user, struct message *message)
{
	const struct passwd *entry;
	unsigned int uid, gid;

	if (geteuid() || !getenv("SUDO_UID"))
		return 0;
	if (parse_id(getenv("SUDO_UID"), &uid) || parse_id(getenv("SUDO_GID"), &gid)) {
		snprintf(message->text, sizeof(message->text),
			 "SUDO_UID and SUDO_GID do not tell who you are (give --user NAME)");
		return -EINVAL;
	}
	if (!uid)
		return 0;
	entry = getpwuid(uid);
	if (entry)
		fill(user, entry);
	user->uid = uid;
	user->gid = gid;
	user->change = true;
	return 0;
}

int run_user_find(struct run_user *user, const char *name, struct message *message)
{
	const struct passwd *entry;
	unsigned int uid;

	*user = (struct run_user){ 0 };
	if (!name)
		return find_sudo(user, message);
	entry = getpwnam(name);
	if (!entry && !parse_id(name, &uid))
		entry = getpwuid(uid);
	if (!entry) {
		snprintf(message->text, sizeof(message->text),
			 "--user: there is no user \"%.64s\" (getent passwd lists them)", name);
		return -EINVAL;
	}
	fill(user, entry);
	/* Root that stays root keeps its groups and its environment too. */
	user->change = entry->pw_uid != geteuid();
	return 0;
}

void run_user_by_id(struct run_user *user, uid_t uid, gid_t otherwise)
{
	const struct passwd *entry = getpwuid(uid);

	*user = (struct run_user){ .gid = otherwise };
	if (entry)
		fill(user, entry);
	user->uid = uid;
	user->change = uid != geteuid();
}

int run_user_become(const struct run_user *user)
{
	gid_t group = user->gid;

	if (!user->change)
		return 0;
	if (user->name[0] ? initgroups(user->name, user->gid) : setgroups(1, &group))
		return -errno;
	if (setresgid(user->gid, user->gid, user->gid) ||
	    setresuid(user->uid, user->uid, user->uid))
		return -errno;
	if (user->name[0]) {
		setenv("USER", user->name, 1);
		setenv("LOGNAME", user->name, 1);
		setenv("HOME", user->home, 1);
		setenv("SHELL", user->shell[0] ? user->shell : "/bin/sh", 1);
	}
	return 0;
}
