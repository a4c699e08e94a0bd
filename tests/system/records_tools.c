// SPDX-License-Identifier: BSD-2-Clause
/* The tools of records_tools.h: changing identity, and chains made by hand. */
#include "records_tools.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>

static void become(struct world *world, const char *leaf, uid_t user)
{
	static char current[16];
	char path[512];
	int descriptor;

	/* The saved user stays root, so there is a way back. */
	EXPECT(!setresuid(0, 0, 0) && !setresgid(0, 0, 0));
	if (strcmp(current, leaf)) {
		snprintf(path, sizeof(path), "%s%s/%s/cgroup.procs", world->mount, world->cgroup,
			 leaf);
		descriptor = open(path, O_WRONLY | O_CLOEXEC);
		EXPECT(descriptor >= 0 && write(descriptor, "0", 1) == 1, "%s: %s", path,
		       strerror(errno));
		close(descriptor);
		snprintf(current, sizeof(current), "%s", leaf);
	}
	EXPECT(!setresgid(user, user, 0) && !setresuid(user, user, 0));
}

void as_root(struct world *world)
{
	become(world, "other", 0);
}

void as_application(struct world *world)
{
	become(world, "app", APPLICATION_UID);
}

void as_service(struct world *world, int i)
{
	char leaf[16];

	snprintf(leaf, sizeof(leaf), "s%d", i);
	become(world, world->by_user ? "other" : leaf, SERVICE_UID(i));
}

void policy_limited(struct world *world, int services, const char *limits)
{
	char text[8192];
	int length =
		snprintf(text, sizeof(text), "version: 1\nlimits: { unheard: redirect, %s }\nservices:\n",
			 limits);

	for (int i = 0; i < services; i++)
		length += snprintf(text + length, sizeof(text) - length,
				   "  - name: %c\n    weight: %d\n    endpoint: { tcp: %d }\n"
				   "    identity: { cgroup: %%C/s%d }\n",
				   'a' + i, 300 - 10 * i, SERVICE_PORT(i), i);
	length += snprintf(text + length, sizeof(text) - length, "filters:\n");
	for (int i = 0; i < services; i++)
		length += snprintf(text + length, sizeof(text) - length,
				   "  - name: all\n    service: %c\n    match: { protocol: tcp, "
				   "remote_port: [ 8080-8099 ] }\n    action: redirect\n",
				   'a' + i);
	EXPECT(!world_apply(world, text));
}

uint64_t counted(struct world *world, enum counter which)
{
	uid_t user = getuid();
	gid_t group = getgid();
	uint64_t value;

	EXPECT(!setresuid(0, 0, 0));
	value = counter(world, which);
	EXPECT(!setresgid(group, group, 0) && !setresuid(user, user, 0));
	return value;
}

int listener_of(struct world *world, int i, enum family family, bool any)
{
	int descriptor, one = 1, zero = 0;
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(SERVICE_PORT(i)) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(i)) };
	bool as_v6 = family == V6 || any;

	as_service(world, i);
	descriptor = socket_of(as_v6 ? V6 : V4, 0);
	EXPECT(!setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	if (as_v6) {
		v6.sin6_addr = any ? in6addr_any : in6addr_loopback;
		EXPECT(!setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, any ? &zero : &one,
				   sizeof(int)));
		EXPECT(!bind(descriptor, (void *)&v6, sizeof(v6)), "%s", strerror(errno));
	} else {
		v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		EXPECT(!bind(descriptor, (void *)&v4, sizeof(v4)), "%s", strerror(errno));
	}
	EXPECT(!listen(descriptor, 128));
	return descriptor;
}

int server_listener(enum family family, uint16_t port)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(family, port, &address);
	int descriptor = socket_of(family, 0), error;

	/* The kernel finishes adding an IPv6 address a moment later. */
	for (int try = 0;
	     (error = bind(descriptor, (void *)&address, length)) && try < patience(200); try++)
		usleep(10000);
	EXPECT(!error && !listen(descriptor, 128), "%s", strerror(errno));
	return descriptor;
}

int accept_from(int listener)
{
	struct pollfd wait = { .fd = listener, .events = POLLIN };
	int accepted;

	EXPECT(poll(&wait, 1, patience(2000)) == 1, "nothing came to the listener");
	accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	EXPECT(accepted >= 0, "%s", strerror(errno));
	return accepted;
}

int connect_socket(int descriptor, enum family family, uint16_t port)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(family, port, &address);

	return connect(descriptor, (void *)&address, length) ? -errno : 0;
}

void disconnect(int descriptor)
{
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	EXPECT(!connect(descriptor, &nowhere, sizeof(nowhere)), "%s", strerror(errno));
}

void redirect_application(struct world *world, int i, int listener, enum family family,
			  struct leg *leg)
{
	as_application(world);
	leg->client = socket_of(family, 0);
	EXPECT_RESULT(connect_socket(leg->client, family, SERVER_PORT), 0);
	as_service(world, i);
	leg->accepted = accept_from(listener);
}

int onward_of(struct world *world, int i, int accepted)
{
	struct sockaddr_storage to;
	socklen_t length;
	int onward;

	as_service(world, i);
	EXPECT_RESULT(waybill_original_destination_query(accepted, &to, &length), 0);
	onward = socket_of(to.ss_family == AF_INET ? V4 : V6, 0);
	EXPECT_RESULT(waybill_forward(accepted, onward), 0);
	return onward;
}

void redirect_chain(struct world *world, int services, const int *listener, enum family family,
		    struct leg *leg)
{
	redirect_application(world, 0, listener[0], family, &leg[0]);
	for (int i = 1; i < services; i++) {
		leg[i].client = onward_of(world, i - 1, leg[i - 1].accepted);
		EXPECT_RESULT(connect_socket(leg[i].client, family == V6 ? V6 : V4, SERVER_PORT),
			      0);
		as_service(world, i);
		leg[i].accepted = accept_from(listener[i]);
	}
}

static struct msghdr *message_of(struct iovec *part, char *control, size_t size)
{
	static struct msghdr message;

	message = (struct msghdr){
		.msg_iov = part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = size
	};
	return &message;
}

void send_descriptor(int channel, int descriptor)
{
	char control[CMSG_SPACE(sizeof(int))] = {}, byte = 0;
	struct iovec part = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr *message = message_of(&part, control, sizeof(control));
	struct cmsghdr *header = CMSG_FIRSTHDR(message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
	EXPECT(sendmsg(channel, message, 0) == 1);
}

int receive_descriptor(int channel)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec part = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr *message = message_of(&part, control, sizeof(control));
	int descriptor;

	EXPECT(recvmsg(channel, message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(message));
	memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(message)), sizeof(int));
	return descriptor;
}

int as_stranger(struct world *world, int descriptor, bool handed,
		int (*function)(int descriptor, void *data), void *data)
{
	int channel[2], status;
	pid_t child;

	EXPECT(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel));
	child = fork();
	EXPECT(child >= 0);
	if (!child) {
		as_application(world);
		if (handed) {
			close(descriptor);
			descriptor = receive_descriptor(channel[1]);
		}
		_exit(function(descriptor, data));
	}
	if (handed)
		send_descriptor(channel[0], descriptor);
	EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status));
	close(channel[0]);
	close(channel[1]);
	return WEXITSTATUS(status);
}

int query(int descriptor, int option, void *buffer, socklen_t *size)
{
	return getsockopt(descriptor, SOL_WAYBILL, option, buffer, size) ? -errno : 0;
}

int set_records(int descriptor, const void *records, size_t size)
{
	int result = setsockopt(descriptor, SOL_WAYBILL, WAYBILL_REDIRECT_RECORDS, records, size);

	return result ? -errno : 0;
}

size_t records_of(int accepted, void *records)
{
	socklen_t size = WAYBILL_RECORDS_MAX;

	EXPECT_RESULT(query(accepted, WAYBILL_REDIRECT_RECORDS, records, &size), 0);
	return size;
}

int state_of(int descriptor)
{
	struct waybill_info info;
	socklen_t size = sizeof(info);
	int error = query(descriptor, WAYBILL_REDIRECT_INFO, &info, &size);

	return error ? error : (int)info.state;
}

const char *result_name(int result)
{
	static _Thread_local char number[2][16];
	static _Thread_local unsigned int next;
	const char *name = result < 0 ? strerrorname_np(-result) : NULL;

	if (name)
		return name;
	next = !next;
	snprintf(number[next], sizeof(number[next]), "%d", result);
	return number[next];
}

#define REQUEST_SIZE 3000017 /* more than the buffers on the way hold */

static unsigned char byte_at(size_t i)
{
	return i * 31 + (i >> 8) * 7;
}

struct sender {
	int descriptor;
	bool end;
};

static void *send_request(void *data)
{
	static unsigned char buffer[REQUEST_SIZE];
	struct sender *sender = data;

	for (size_t i = 0; i < sizeof(buffer); i++)
		buffer[i] = byte_at(i);
	for (size_t sent = 0; sent < sizeof(buffer);) {
		ssize_t count = send(sender->descriptor, buffer + sent, sizeof(buffer) - sent,
				     MSG_NOSIGNAL);

		EXPECT(count > 0, "%s", strerror(errno));
		sent += count;
	}
	if (sender->end)
		EXPECT(!shutdown(sender->descriptor, SHUT_WR));
	return NULL;
}

/* All of it, and until the other side half-closes, if that is the end. */
static void expect_request(int descriptor, bool end)
{
	struct timeval limit = { .tv_sec = patience(10) };
	unsigned char buffer[65536];
	ssize_t count = 1;
	size_t got = 0;

	setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	while ((end || got < REQUEST_SIZE) &&
	       (count = recv(descriptor, buffer, sizeof(buffer), 0)) > 0)
		for (ssize_t i = 0; i < count; i++, got++)
			EXPECT(buffer[i] == byte_at(got), "byte %zu", got);
	EXPECT(end ? count == 0 : count > 0, "after %zu bytes: %s", got, strerror(errno));
	EXPECT(got == REQUEST_SIZE, "%zu bytes", got);
}

void converse(int client, int server, bool half_close)
{
	struct sender request = { client, half_close }, answer = { server, half_close };
	struct pollfd wait = { .fd = client, .events = POLLIN };
	pthread_t thread;

	/* The request, and its end; the other direction stays open. */
	EXPECT(!pthread_create(&thread, NULL, send_request, &request));
	expect_request(server, half_close);
	pthread_join(thread, NULL);
	EXPECT(poll(&wait, 1, half_close ? 100 : 0) == 0,
	       "the answer's direction ended with the request's");
	/* The answer, as long, and its end. */
	EXPECT(!pthread_create(&thread, NULL, send_request, &answer));
	expect_request(client, half_close);
	pthread_join(thread, NULL);
}

bool listened(enum family family, uint16_t port)
{
	FILE *file = fopen(family == V6 ? "/proc/net/tcp6" : "/proc/net/tcp", "r");
	char line[256], wanted[16];
	bool found = false;

	snprintf(wanted, sizeof(wanted), ":%04X ", port);
	while (file && fgets(line, sizeof(line), file))
		found |= strstr(line, wanted) && strstr(line, " 0A ");
	if (file)
		fclose(file);
	return found;
}
