// SPDX-License-Identifier: BSD-2-Clause
/* Processes looked for in /proc, one by one; what goes meanwhile is passed over. */
#include "platform.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

unsigned int process_find(bool (*fits)(unsigned int pid, void *data), void *data)
{
	DIR *directory = opendir("/proc");
	struct dirent *entry;
	unsigned int found = 0, pid;

	while (directory && !found && (entry = readdir(directory)))
		if (sscanf(entry->d_name, "%u", &pid) == 1 && fits(pid, data))
			found = pid;
	if (directory)
		closedir(directory);
	return found;
}

static int add(struct socket_holders *holders, unsigned long inode, unsigned int pid)
{
	if (holders->count == holders->room) {
		size_t room = holders->room ? 2 * holders->room : 256;
		struct socket_holder *more = reallocarray(holders->holder, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		holders->holder = more;
		holders->room = room;
	}
	holders->holder[holders->count++] = (struct socket_holder){ inode, pid };
	return 0;
}

/* Never the one: all of them are gone through. But without memory there is no use in that. */
static bool add_sockets(unsigned int pid, void *data)
{
	char path[64], link[64];
	unsigned long inode;
	struct dirent *entry;
	DIR *directory;
	int error = 0;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	directory = opendir(path);
	while (directory && !error && (entry = readdir(directory))) {
		ssize_t length =
			readlinkat(dirfd(directory), entry->d_name, link, sizeof(link) - 1);

		if (length <= 0)
			continue;
		link[length] = '\0';
		if (sscanf(link, "socket:[%lu]", &inode) == 1)
			error = add(data, inode, pid);
	}
	if (directory)
		closedir(directory);
	return error;
}

static int compare(const void *left, const void *right)
{
	const struct socket_holder *a = left, *b = right;

	return (a->inode > b->inode) - (a->inode < b->inode);
}

int socket_holders_read(struct socket_holders *holders)
{
	*holders = (struct socket_holders){ 0 };
	if (process_find(add_sockets, holders)) {
		socket_holders_free(holders);
		return -ENOMEM;
	}
	if (holders->count)
		qsort(holders->holder, holders->count, sizeof(*holders->holder), compare);
	return 0;
}

unsigned int socket_holder_find(const struct socket_holders *holders, unsigned long inode)
{
	struct socket_holder key = { .inode = inode }, *found = NULL;

	if (inode && holders->count)
		found = bsearch(&key, holders->holder, holders->count, sizeof(key), compare);
	return found ? found->pid : 0;
}

void socket_holders_free(struct socket_holders *holders)
{
	free(holders->holder);
	*holders = (struct socket_holders){ 0 };
}

unsigned int process_of_socket(unsigned long inode)
{
	struct socket_holders holders;
	unsigned int pid;

	if (socket_holders_read(&holders))
		return 0;
	pid = socket_holder_find(&holders, inode);
	socket_holders_free(&holders);
	return pid;
}
