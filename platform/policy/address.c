// SPDX-License-Identifier: BSD-2-Clause
/*
 * Addresses and users in a policy file. A v4-mapped prefix is IPv4 here as it is everywhere else,
 * and a prefix with bits beyond its length is refused: it is a slip of one or the other number.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <net/if.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"
#include "value.h"

static const uint8_t v4_mapped[12] = { [10] = 0xff, [11] = 0xff };

/* Clears all bits from "length" on, of 16 bytes. */
static void cut(uint8_t address[16], unsigned int length)
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		unsigned int keep = length > i * 8 ? length - i * 8 : 0;

		if (keep < 8)
			address[i] &= 0xff00 >> keep;
	}
}

static void show_prefix(const struct prefix *prefix, char *text, size_t size)
{
	char address[INET6_ADDRSTRLEN] = "";

	inet_ntop(prefix->v4 ? AF_INET : AF_INET6, prefix->address + (prefix->v4 ? 12 : 0), address,
		  sizeof(address));
	snprintf(text, size, "%s/%u", address, prefix->length);
}

/* A length of one to three digits, or -1. */
static int read_length(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits >= 1 && digits <= 3 && !text[digits] ? atoi(text) : -1;
}

int value_prefix(const char *text, struct prefix *prefix, struct reason *reason)
{
	const char *slash = strchr(text, '/');
	size_t size = slash ? (size_t)(slash - text) : strlen(text);
	char address[INET6_ADDRSTRLEN + 1], mend[INET6_ADDRSTRLEN + 8];
	struct prefix cleared;
	int length, bits;

	*prefix = (struct prefix){ .length = 0 };
	if (size >= sizeof(address))
		goto not_an_address;
	memcpy(address, text, size);
	address[size] = 0;
	if (inet_pton(AF_INET, address, prefix->address + 12) == 1) {
		memcpy(prefix->address, v4_mapped, sizeof(v4_mapped));
		prefix->v4 = true;
	} else if (inet_pton(AF_INET6, address, prefix->address) != 1) {
		goto not_an_address;
	}
	bits = prefix->v4 ? 32 : 128;
	length = slash ? read_length(slash + 1) : bits;
	if (length < 0 || length > bits) {
		snprintf(reason->text, sizeof(reason->text),
			 "has no length from 0 to %d after the slash", bits);
		return -EINVAL;
	}
	if (!prefix->v4 && length >= 96 && !memcmp(prefix->address, v4_mapped, sizeof(v4_mapped))) {
		prefix->v4 = true;
		length -= 96;
	}
	prefix->length = length;
	cleared = *prefix;
	cut(cleared.address, prefix->v4 ? length + 96 : length);
	if (!memcmp(cleared.address, prefix->address, sizeof(cleared.address)))
		return 0;
	show_prefix(&cleared, mend, sizeof(mend));
	snprintf(reason->text, sizeof(reason->text),
		 "has bits set beyond its length (did you mean %s?)", mend);
	return -EINVAL;

not_an_address:
	snprintf(reason->text, sizeof(reason->text),
		 "is not an address or prefix (as 10.0.0.0/8 or 2001:db8::/32; names are not "
		 "looked up)");
	return -EINVAL;
}

static void offer_users(struct suggestion *suggestion)
{
	FILE *file = fopen("/etc/passwd", "re"); /* not getpwent(): it may list a whole directory */
	size_t size = 0;
	char *line = NULL;

	if (!file)
		return;
	while (getline(&line, &size, file) > 0) {
		line[strcspn(line, ":\n")] = 0;
		suggestion_offer(suggestion, line);
	}
	free(line);
	fclose(file);
}

static int find_user(const char *name, uid_t *user, struct reason *reason)
{
	struct passwd entry, *found = NULL;
	struct suggestion suggestion;
	char buffer[16384];
	int error;

	error = getpwnam_r(name, &entry, buffer, sizeof(buffer), &found);
	if (found) {
		*user = found->pw_uid;
		return 0;
	}
	if (error && error != ENOENT && error != ESRCH && error != EBADF && error != EPERM) {
		snprintf(reason->text, sizeof(reason->text), "cannot be looked up: %s",
			 strerror(error));
		return -EINVAL;
	}
	suggestion_begin(&suggestion, name);
	offer_users(&suggestion);
	snprintf(reason->text, sizeof(reason->text), "is not a user of this host%s",
		 suggestion_end(&suggestion, " (create it first, or give its number)").text);
	return -EINVAL;
}

int value_user(const char *text, uid_t *user, struct reason *reason)
{
	uint64_t number;

	if (strspn(text, "0123456789") != strlen(text) || !*text)
		return find_user(text, user, reason);
	if (value_number(text, 0, UINT32_MAX - 1, &number, reason) < 0)
		return -EINVAL;
	*user = number;
	return 0;
}

/* A number by its name or as digits, or a range of numbers; kind is "user" or "group". */
static int read_ids(const char *text, int (*one)(const char *, uid_t *, struct reason *),
		    const char *kind, struct range *range, struct reason *reason)
{
	size_t digits = strspn(text, "0123456789"), more;
	char from_text[16];
	uint64_t from, to;
	uid_t id;

	more = text[digits] == '-' ? strspn(text + digits + 1, "0123456789") : 0;
	if (!digits || !more || text[digits + 1 + more]) {
		if (one(text, &id, reason) < 0)
			return -EINVAL;
		*range = (struct range){ .from = id, .to = id };
		return 0;
	}
	snprintf(from_text, sizeof(from_text), "%.*s", digits < 12 ? (int)digits : 12, text);
	if (value_number(from_text, 0, UINT32_MAX - 1, &from, reason) < 0 ||
	    value_number(text + digits + 1, 0, UINT32_MAX - 1, &to, reason) < 0) {
		snprintf(reason->text, sizeof(reason->text),
			 "is not a range of %s numbers from 0 to %u", kind, UINT32_MAX - 1);
		return -EINVAL;
	}
	if (from > to) {
		snprintf(reason->text, sizeof(reason->text),
			 "ends before it begins (did you mean %" PRIu64 "-%" PRIu64 "?)", to, from);
		return -EINVAL;
	}
	*range = (struct range){ .from = from, .to = to };
	return 0;
}

int value_users(const char *text, struct range *range, struct reason *reason)
{
	return read_ids(text, value_user, "user", range, reason);
}

static int value_group(const char *text, uid_t *id, struct reason *reason)
{
	struct group *group;
	uint64_t number;

	if (*text && strspn(text, "0123456789") == strlen(text)) {
		if (value_number(text, 0, UINT32_MAX - 1, &number, reason) < 0)
			return -EINVAL;
		*id = number;
		return 0;
	}
	group = getgrnam(text);
	if (!group) {
		snprintf(reason->text, sizeof(reason->text),
			 "is not a group on this host (getent group lists them; or give a number, "
			 "or a range as 1000-1999)");
		return -EINVAL;
	}
	*id = group->gr_gid;
	return 0;
}

int value_groups(const char *text, struct range *range, struct reason *reason)
{
	return read_ids(text, value_group, "group", range, reason);
}

int value_interface(const char *text, struct range *range, struct reason *reason)
{
	unsigned int index = if_nametoindex(text);

	if (!index) {
		snprintf(reason->text, sizeof(reason->text),
			 "is not an interface here (ip link lists them)");
		return -EINVAL;
	}
	*range = (struct range){ .from = index, .to = index };
	return 0;
}
