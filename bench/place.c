// SPDX-License-Identifier: BSD-2-Clause
/*
 * Places: cgroups, a network namespace, an instance that is pinned nowhere and so ends with the
 * worker, a policy. A socket belongs to the cgroup in which it was made, and only services' cgroups
 * have hooks on their sockets: a listener that is a service's is made in service/, others and the
 * client in app/.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <dirent.h>

/* The last two are those of services that come first. */
static const char *const leaves[] = { "", "/app", "/service", "/first", "/second" };

#define FILTER_PORT 443 /* of the first filter that does not match; the next has the next */

#define LEAVES (sizeof(leaves) / sizeof(*leaves))

static int failed(char *error, size_t size, const char *what)
{
	int number = errno;

	snprintf(error, size, "%s: %s", what, strerror(number));
	return -number;
}

/* Makes the cgroups of a place. */
int place_begin(const char *cgroup, const char *mount, const struct place_recipe *recipe,
		char *error, size_t size)
{
	size_t count = recipe->kind == PLACE_CHAIN ? LEAVES : LEAVES - 2;
	char path[512];

	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s%s%s", mount, cgroup, leaves[i]);
		if (mkdir(path, 0755) && errno != EEXIST)
			return failed(error, size, path);
	}
	return 0;
}

/* Removes a cgroup with those below it, as far as nobody is in them. */
static bool cgroup_remove(const char *path, int depth)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	while (directory && depth && (entry = readdir(directory))) {
		char below[512];

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) <
		    (int)sizeof(below))
			cgroup_remove(below, depth - 1);
	}
	if (directory)
		closedir(directory);
	return !rmdir(path) || errno == ENOENT;
}

int place_cleaner(const char *cgroup, const char *mount)
{
	struct message message;
	char path[512], end;
	int ends[2];
	bool found;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	child = fork();
	if (child < 0)
		return -errno;
	if (child) {
		close(ends[0]);
		return 0; /* ends[1] stays open until the bench and all that it forked are gone */
	}
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	close(ends[1]);
	while (read(ends[0], &end, 1) < 0 && errno == EINTR)
		;
	/* The instance of the commands, if they were interrupted. */
	instance_down(cgroup + 1, &found, &message);
	snprintf(path, sizeof(path), "%s%s", mount, cgroup);
	for (int try = 0; try < 200; try++) {
		if (cgroup_remove(path, 2))
			_exit(0);
		usleep(10000);
	}
	fprintf(stderr, "bench: %s could not be removed\n", path);
	_exit(1);
}

int place_move(const struct place *place, const char *leaf)
{
	char path[600];
	int descriptor, error = 0;

	snprintf(path, sizeof(path), "%s/%s/cgroup.procs", place->directory, leaf);
	descriptor = open(path, O_WRONLY | O_CLOEXEC);
	if (descriptor < 0)
		return -errno;
	if (write(descriptor, "0", 1) != 1)
		error = -errno;
	close(descriptor);
	return error;
}

static int loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = 0;

	if (descriptor < 0 || ioctl(descriptor, SIOCSIFFLAGS, &request))
		error = -errno;
	if (descriptor >= 0)
		close(descriptor);
	return error;
}

static bool is_nft(const struct place *place)
{
	return place->recipe.kind == PLACE_NFT || place->recipe.kind == PLACE_NFT_UNMATCHED;
}

static int nft_load(char *text, size_t length, char *error, size_t size)
{
	int status, null, rules = memfd_create("rules", MFD_CLOEXEC);
	pid_t child = -1;

	if (text && rules >= 0 && write(rules, text, length) == (ssize_t)length &&
	    !lseek(rules, 0, SEEK_SET))
		child = fork();
	if (!child) {
		null = open("/dev/null", O_RDWR);
		dup2(rules, 0);
		dup2(null, 1);
		dup2(null, 2);
		execlp("nft", "nft", "-f", "-", NULL);
		execl("/usr/sbin/nft", "nft", "-f", "-", NULL);
		_exit(127);
	}
	if (rules >= 0)
		close(rules);
	free(text);
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return failed(error, size, "nft");
	if (!status)
		return 0;
	snprintf(error, size,
		 status == 127 << 8 ? "nft is not installed" :
				      "nft: the kernel takes no such REDIRECT rule");
	return -ENOENT;
}

/*
 * The /24s of filters that do not match: spread over all addresses, the server's neighbours among
 * them, but none touches another, and none is the server's, whose third byte is even.
 */
static uint32_t prefix_address(unsigned int number)
{
	return ((0x050000 + number * 0x1e3779) & 0x7fffff) << 9 | 1 << 8;
}

/* Writes those of one filter, "written" before it; returns how many are written then. */
static unsigned int prefixes_write(FILE *file, const struct place *place, unsigned int written)
{
	unsigned int filters = place->recipe.filters, prefixes = place->recipe.prefixes;
	unsigned int each = prefixes > filters ? prefixes / filters : 1;

	for (unsigned int i = 0; i < each; i++, written++) {
		uint32_t address = prefix_address(written % prefixes);

		fprintf(file, "%s %u.%u.%u.0/24", i ? "," : "", address >> 24, address >> 16 & 255,
			address >> 8 & 255);
	}
	return written;
}

static void nft_redirect(FILE *file, const struct place *place)
{
	if (place->recipe.by_ipv6)
		fprintf(file, "ip6 daddr ::1");
	else
		fprintf(file, "ip daddr %s", SERVER_ADDRESS);
	fprintf(file, " tcp dport %d redirect to :%d\n", SERVER_PORT, SERVICE_PORT);
}

static int nft_rules(const struct place *place, char *error, size_t size)
{
	unsigned int written = 0;
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	if (!file)
		return failed(error, size, "nft");
	fprintf(file, "table %s bench {\n", place->recipe.by_ipv6 ? "ip6" : "ip");
	for (unsigned int i = 0; i < place->recipe.filters; i++) {
		fprintf(file, "set s%u { type ipv4_addr; flags interval; elements = {", i);
		written = prefixes_write(file, place, written);
		fprintf(file, " }; }\n");
	}
	fprintf(file, "chain out { type nat hook output priority -100;\n");
	for (unsigned int i = 0; i < place->recipe.filters; i++)
		fprintf(file, "ip daddr @s%u tcp dport %u redirect to :%d\n", i, FILTER_PORT + i,
			SERVICE_PORT);
	if (!place->recipe.filters)
		nft_redirect(file, place);
	fprintf(file, "}\n}\n");
	fclose(file);
	return nft_load(text, length, error, size);
}

/* Whether the listener is a service's, rather than the server that is asked for. */
static bool is_redirected(const struct place *place)
{
	return place->recipe.kind == PLACE_NFT || place->recipe.kind == PLACE_REDIRECT ||
	       place->recipe.kind == PLACE_CHAIN;
}

static int listen_at(const struct sockaddr *address, socklen_t length)
{
	int descriptor = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1, zero = 0;

	if (descriptor < 0 || setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    (address->sa_family == AF_INET6 &&
	     setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero))) ||
	    bind(descriptor, address, length) || listen(descriptor, 1024))
		return -errno;
	return descriptor;
}

/* By IPv6 a service may be come to by IPv4: all such places have a listener that takes both. */
static int listener_make(const struct place *place)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	struct sockaddr_in address = { .sin_family = AF_INET };
	bool redirected = is_redirected(place);

	any.sin6_port = address.sin_port = htons(redirected ? SERVICE_PORT : SERVER_PORT);
	inet_pton(AF_INET, redirected ? "127.0.0.1" : SERVER_ADDRESS, &address.sin_addr);
	return place->recipe.by_ipv6 ? listen_at((void *)&any, sizeof(any)) :
				       listen_at((void *)&address, sizeof(address));
}

/* The listener of a service that comes first, in its cgroup. */
static int listener_before(const struct place *place, const char *leaf, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int error = place_move(place, leaf);

	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	return error ? error : listen_at((void *)&address, sizeof(address));
}

static int listeners_make(struct place *place)
{
	bool inside = is_redirected(place) || place->recipe.inside;
	int error;

	if (place->recipe.kind == PLACE_CHAIN) {
		place->first = listener_before(place, "first", FIRST_PORT);
		place->second = listener_before(place, "second", SECOND_PORT);
		if (place->first < 0 || place->second < 0)
			return place->first < 0 ? place->first : place->second;
	}
	error = place_move(place, inside ? "service" : "app");
	if (error)
		return error;
	place->listener = listener_make(place);
	return place->listener < 0 ? place->listener : 0;
}

/* Whom the client asks for. */
static void place_address(struct place *place)
{
	struct sockaddr_in *to = (void *)&place->to;
	struct sockaddr_in6 *to6 = (void *)&place->to;

	if (place->recipe.by_ipv6) {
		to6->sin6_family = AF_INET6;
		to6->sin6_port = htons(SERVER_PORT);
		to6->sin6_addr = in6addr_loopback;
		place->to_length = sizeof(*to6);
		return;
	}
	to->sin_family = AF_INET;
	to->sin_port = htons(SERVER_PORT);
	inet_pton(AF_INET, SERVER_ADDRESS, &to->sin_addr);
	place->to_length = sizeof(*to);
}

/* The server at its address; the service where it receives what is redirected. */
static int receiver_make(const char *address, int port)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(port) };
	int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, address, &here.sin_addr);
	if (descriptor < 0 || bind(descriptor, (void *)&here, sizeof(here)))
		return -errno;
	return descriptor;
}

int place_enter(struct place *place, char *error, size_t size)
{
	int status;

	if (unshare(CLONE_NEWNET))
		return failed(error, size, "a network namespace (needs root)");
	status = loopback_up();
	if (!status && is_nft(place)) {
		status = nft_rules(place, error, size);
		if (status)
			return status;
	}
	place_address(place);
	if (!status)
		status = listeners_make(place);
	if (!status)
		status = place_move(place, "service");
	if (!status) {
		place->inside = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		place->service = receiver_make("0.0.0.0", SERVICE_PORT);
		if (place->inside < 0 || place->service < 0)
			status = -errno;
	}
	if (!status)
		status = place_move(place, "app");
	if (!status) {
		place->outside = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		place->sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		place->server = receiver_make(SERVER_ADDRESS, SERVER_PORT);
		if (place->outside < 0 || place->sender < 0 || place->server < 0)
			status = -errno;
	}
	if (!status && place->recipe.inside)
		status = place_move(place, "service");
	errno = -status;
	return status ? failed(error, size, place->directory) : 0;
}

/*
 * Filters that do not match: the address alone rules them out, as it does for most connections of a
 * host. In a near miss the address belongs to one half of the filters, and the port to the other:
 * everything is looked up, to the last.
 */
static void filters_write(FILE *file, const struct place *place)
{
	unsigned int written = 0;

	for (unsigned int i = 0; i < place->recipe.filters; i++) {
		bool near = place->recipe.kind == PLACE_NEAR_MISS;

		fprintf(file,
			"  - name: f%u\n    service: service\n    match: { protocol: tcp, remote: [",
			i);
		written = prefixes_write(file, place, written);
		if (near && i % 2)
			fprintf(file, ", " SERVER_ADDRESS "/32");
		fprintf(file, " ], remote_port: [ %u ] }\n    action: redirect\n",
			near && !(i % 2) ? SERVER_PORT : FILTER_PORT + i);
	}
}

static void service_write(FILE *file, const struct place *place, const char *name,
			  unsigned int weight, int port)
{
	fprintf(file, "  - name: %s\n    weight: %u\n    endpoint: { tcp: %d, udp: %d }\n", name,
		weight, port, port);
	if (place->recipe.by_user)
		fprintf(file, "    identity: { user: %d }\n", SERVICE_UID);
	else
		fprintf(file, "    identity: { cgroup: %s/%s }\n", place->cgroup, name);
}

/* One filter that redirects a port. */
static void filter_write(FILE *file, const char *service, const char *protocol, int port)
{
	fprintf(file,
		"  - name: %s\n    service: %s\n    match: { protocol: %s, "
		"remote_port: [ %d ] }\n    action: redirect\n",
		service, service, protocol, port);
}

char *place_policy(const struct place *place, size_t *length)
{
	bool chain = place->recipe.kind == PLACE_CHAIN;
	char *text = NULL;
	FILE *file = open_memstream(&text, length);

	if (!file)
		return NULL;
	/* Nobody listens at the destination: who answers is the service. */
	fprintf(file, "version: 1\nlimits: { unheard: redirect }\nservices:\n");
	if (chain) {
		service_write(file, place, "first", 300, FIRST_PORT);
		service_write(file, place, "second", 200, SECOND_PORT);
	}
	service_write(file, place, "service", 100, SERVICE_PORT);
	fprintf(file, "filters:\n");
	if (chain) {
		filter_write(file, "first", "tcp", SERVER_PORT);
		filter_write(file, "second", "tcp", SERVER_PORT);
	}
	if (place->recipe.kind >= PLACE_DATAGRAMS)
		filter_write(file, "service", "udp",
			     place->recipe.kind == PLACE_DATAGRAMS ? SERVER_PORT : 53);
	else if (place->recipe.filters)
		filters_write(file, place);
	else
		filter_write(file, "service", "tcp", SERVER_PORT);
	fclose(file);
	return text;
}

int place_attach(struct place *place, char *error, size_t size)
{
	struct message message = {};
	struct apply_result applied;
	struct policy *policy = NULL;
	/* All are one user's, who may have half of the room, and what is over is found in time. */
	uint32_t room = place->recipe.open > 1000 ? 5 * place->recipe.open : 0;
	size_t length;
	char *text;
	int status;

	if (place->recipe.kind == PLACE_PLAIN || is_nft(place))
		return 0;
	status = instance_create_private(place->cgroup, room, &place->instance, &message);
	if (!status && place->recipe.kind != PLACE_NO_POLICY) {
		text = place_policy(place, &length);
		status =
			text ? policy_load_text("bench", text, length, &policy, &message) : -ENOMEM;
		free(text);
		if (!status)
			status = instance_apply(place->instance, policy, &applied, &message);
		policy_free(policy);
	}
	if (status)
		snprintf(error, size, "%.200s", message.text);
	return status;
}

void place_detach(struct place *place)
{
	instance_close(place->instance);
	place->instance = NULL;
}
