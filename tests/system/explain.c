// SPDX-License-Identifier: BSD-2-Clause
/*
 * explain: what platform/explain.c says of a connection is what the kernel half does. Random
 * policies, services that are alive, down, or carry no records on, and random connects and
 * datagrams: every event that a monitor sees, of every hop of the chain, was foretold. Arguments:
 * the seed, the number of policies, and "user" for services that are told by their user.
 */
#include "world.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "../../platform/explain.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define SERVICES 4
#define CONNECTS 12
#define EVENTS 256

static struct world world;
static enum service_kind kind[SERVICES];
static pid_t holder[SERVICES]; /* of a service's datagram sockets */
static char own_path[PATH_MAX], copy_path[PATH_MAX], libraries[PATH_MAX + 8];
static struct policy_executable own, copy;
static volatile sig_atomic_t stop;
static struct event seen[EVENTS];
static atomic_uint seen_count;
static struct event foretold[EVENTS];
static size_t foretold_count;

static unsigned int below(unsigned int number)
{
	return rand() % number;
}

static bool one_in(unsigned int number)
{
	return !below(number);
}

static const char *pick(const char *const *list, size_t count)
{
	return list[below(count)];
}

#define PICK(list) pick(list, COUNT(list))

static int on_event(void *data, const struct event *event)
{
	if (seen_count < EVENTS)
		seen[seen_count++] = *event;
	return 0;
}

static void *monitor(void *unused)
{
	static const struct monitoring everything = { .each = on_event };
	struct message message = {};

	EXPECT(!instance_monitor(world.instance, &everything, &stop, &message), "%s", message.text);
	return NULL;
}

static const char *const protocols[] = { "tcp", "udp", "[ tcp, udp ]" };
static const char *const remotes[] = { "127.66.0.0/16", "127.66.0.1", "127.0.0.0/8",
				       "\"fd66::/64\"", "[ \"::/0\", 127.0.0.1 ]" };
static const char *const ports[] = { "8080", "8090", "8080-8090", "9001-9010", "1-65535" };
static const char *const users[] = { "61000", "0", "60000-60010", "[ 0, 61001 ]" };
static const char *const groups[] = { "62000", "0-61000" };
static const char *const cgroups[] = { "%C/app", "%C/other", "%C/s0", "[ %C/s1, %C/app ]", "%C" };
static const char *const locals[] = { "127.66.9.0/24", "0.0.0.0", "\"::\"" };
/* %T: this program; %N: the copy of it that every other client executes. */
static const char *const applications[] = { "%T", "%N", "/bin/sh", "[ %T, %N ]" };
static const char *const namespaces[] = { "/proc/self/ns/net", "/proc/1/ns/net" };
static const char *const actions[] = { "redirect", "redirect", "redirect", "permit", "block" };
static const char *const leaves[] = { "app", "app", "other", "s0", "s1" };

/* Writes a value of which the paths are not known before. */
static void write_value(FILE *file, const char *text)
{
	for (; *text; text++)
		if (text[0] == '%' && text[1] != 'C')
			fputs(*++text == 'T' ? own_path : copy_path, file);
		else
			fputc(*text, file);
}

static void write_conditions(FILE *file, const char *key, bool except)
{
	const char *comma = "";

#define CONDITION(name, list, chance)                                                              \
	if (one_in(chance)) {                                                                      \
		fprintf(file, "%s" name ": ", comma);                                              \
		write_value(file, PICK(list));                                                     \
		comma = ", ";                                                                      \
	}
	fprintf(file, ", %s: { ", key);
	CONDITION("protocol", protocols, except ? 9 : 2)
	CONDITION("remote", remotes, 3)
	CONDITION("remote_port", ports, except ? 6 : 2)
	CONDITION("user", users, 4)
	CONDITION("group", groups, 6)
	CONDITION("cgroup", cgroups, 4)
	CONDITION("local", locals, 6)
	CONDITION("interface", ((const char *const[]){ "lo" }), 9)
	CONDITION("application", applications, 5)
	CONDITION("original_application", applications, 5)
	CONDITION("netns", namespaces, 9)
	fputs(" }", file);
#undef CONDITION
}

static void write_identity(FILE *file, int i)
{
	if (one_in(12))
		fprintf(file, "{ cgroup: %%C%s }", one_in(2) ? "" : "/s0");
	else if (world.by_user)
		fprintf(file, "{ user: %d }", SERVICE_UID(i));
	else
		fprintf(file, "{ cgroup: %%C/s%d }", i);
}

/* A random policy. Exceptions may leave nothing of a filter: then another one. */
static void apply_random(void)
{
	char *text;
	size_t size;
	int error;

	do {
		FILE *file = open_memstream(&text, &size);
		int weight[SERVICES] = { 10, 20, 30, 40 };

		fputs("version: 1\n", file);
		if (one_in(2))
			fputs("limits: { hops: 1 }\n", file);
		fputs("services:\n", file);
		for (int i = 0; i < SERVICES; i++) {
			int other = below(SERVICES), swap = weight[i];

			weight[i] = weight[other];
			weight[other] = swap;
		}
		for (int i = 0; i < SERVICES; i++) {
			fprintf(file,
				"  - { name: %c, weight: %d, endpoint: { tcp: %d, udp: %d }, "
				"when_down: %s, identity: ",
				'a' + i, weight[i], SERVICE_PORT(i), SERVICE_PORT(i),
				one_in(2) ? "pass" : "block");
			write_identity(file, i);
			fputs(" }\n", file);
		}
		fputs("filters:\n", file);
		for (unsigned int i = 0; i < 16; i++) {
			fprintf(file, "  - { name: f%u, service: %c, weight: %u, action: %s", i,
				'a' + below(SERVICES), below(3), PICK(actions));
			write_conditions(file, "match", false);
			if (one_in(3))
				write_conditions(file, "except", true);
			fputs(" }\n", file);
		}
		fclose(file);
		error = world_apply(&world, text);
		EXPECT(!error || error == -EINVAL);
		free(text);
	} while (error);
}

/* So that every service can bind its port, whoever the next policy says that it is. */
static void apply_none(void)
{
	char text[2048] = "version: 1\nservices:\n";

	for (int i = 0; i < SERVICES; i++)
		sprintf(text + strlen(text),
			"  - { name: %c, weight: %d, endpoint: { tcp: %d, udp: %d }, identity: { "
			"cgroup: %%C } }\n",
			'a' + i, i, SERVICE_PORT(i), SERVICE_PORT(i));
	EXPECT(!world_apply(&world, text));
}

/* The datagram sockets of a service, in a process beside it. */
static void hold_datagrams(int i)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(SERVICE_PORT(i)) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(SERVICE_PORT(i)) };
	int one = 1, socket6, socket4;

	world.seen[i].ready = 0;
	if (world_service_fork(&world, i)) {
		socket6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		socket4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		setsockopt(socket6, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		if (bind(socket6, (void *)&v6, sizeof(v6)) ||
		    bind(socket4, (void *)&v4, sizeof(v4)))
			_exit(1);
		world.seen[i].ready = 1;
		for (;;)
			pause();
	}
	expect_count("datagram sockets", &world.seen[i].ready, 1);
	holder[i] = world.service[i];
	world.service[i] = 0;
}

static void restart_services(void)
{
	for (int i = 0; i < SERVICES; i++) {
		if (world.service[i])
			world_service_end(&world, i);
		if (holder[i]) {
			kill(holder[i], SIGKILL);
			waitpid(holder[i], NULL, 0);
			holder[i] = 0;
		}
	}
	apply_none();
	for (int i = 0; i < SERVICES; i++) {
		if (one_in(2))
			hold_datagrams(i);
		kind[i] = one_in(4) ? SERVICE_FORGETS : SERVICE_RECORDS;
		if (!one_in(4))
			world_service(&world, i, kind[i]);
	}
}

/* A connect, or a datagram, of a child. */
struct attempt {
	enum family family;
	bool udp, copy; /* as datagrams; by the copy */
	char to[INET6_ADDRSTRLEN], from[INET6_ADDRSTRLEN];
	uint16_t port;
	const char *leaf;
	uid_t user;
};

static const char *const to4[] = { SERVER4, SERVER4, "127.66.0.2", "127.0.0.1", "0.0.0.0" };
static const char *const to6[] = { SERVER6, SERVER6, "::1", "::" };

static struct attempt random_attempt(void)
{
	static const uint16_t to_port[] = { 8080, 8080, 8090, 9001, 9002, 7000 };
	struct attempt attempt = {
		.family = below(FAMILIES),
		.udp = one_in(4),
		.copy = one_in(2),
		.port = to_port[below(COUNT(to_port))],
		.leaf = PICK(leaves),
		.user = one_in(2) ? 0 :
			one_in(2) ? 61000 + below(2) :
				    SERVICE_UID(below(SERVICES)),
	};

	if (attempt.family == V6)
		strcpy(attempt.to, PICK(to6));
	else
		sprintf(attempt.to, "%s%s", attempt.family == MAPPED ? "::ffff:" : "", PICK(to4));
	if (attempt.udp && attempt.family == V4 && one_in(4))
		strcpy(attempt.to, "127.96.0.1");
	if (attempt.family == V4 && one_in(4))
		strcpy(attempt.from, "127.66.9.1");
	if (attempt.family == MAPPED && one_in(4))
		strcpy(attempt.from, "::ffff:127.66.9.1");
	return attempt;
}

static socklen_t fill(const struct attempt *attempt, const char *text, uint16_t port,
		      struct sockaddr_storage *address)
{
	struct sockaddr_in6 *v6 = (void *)address;
	struct sockaddr_in *v4 = (void *)address;

	memset(address, 0, sizeof(*address));
	if (attempt->family == V4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		inet_pton(AF_INET, text, &v4->sin_addr);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	inet_pton(AF_INET6, text, &v6->sin6_addr);
	return sizeof(*v6);
}

/* Keeps the connection until the chain has come to its end. */
static int try(void *data)
{
	const struct attempt *attempt = data;
	struct timeval patience = { .tv_usec = 100000 };
	struct sockaddr_storage address;
	socklen_t length;
	char byte = 'x';
	int descriptor = socket(attempt->family == V4 ? AF_INET : AF_INET6,
				(attempt->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

	if (attempt->from[0]) {
		length = fill(attempt, attempt->from, 0, &address);
		if (bind(descriptor, (void *)&address, length))
			return 98;
	}
	setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	length = fill(attempt, attempt->to, attempt->port, &address);
	if (attempt->udp)
		return sendto(descriptor, &byte, 1, 0, (void *)&address, length) < 0;
	if (connect(descriptor, (void *)&address, length))
		return 0;
	if (send(descriptor, &byte, 1, MSG_NOSIGNAL) == 1 && recv(descriptor, &byte, 1, 0) < 0 &&
	    errno == EAGAIN)
		return 0;
	return 0;
}

/* In the copy, which is told of the attempt by a file of it. */
static int try_copy(void *data)
{
	char number[16];
	int file = memfd_create("attempt", 0);

	if (write(file, data, sizeof(struct attempt)) != sizeof(struct attempt))
		return 97;
	snprintf(number, sizeof(number), "%d", file);
	setenv("LD_LIBRARY_PATH", libraries, 1);
	execl(copy_path, copy_path, "try", number, NULL);
	return 96;
}

static int tried(int file)
{
	struct attempt attempt;

	return pread(file, &attempt, sizeof(attempt), 0) == sizeof(attempt) ? try(&attempt) : 95;
}

static void remove_copy(void)
{
	unlink(copy_path);
}

/* The libraries are found from where the program is. */
static void copy_program(void)
{
	char command[3 * PATH_MAX + 32];

	snprintf(copy_path, sizeof(copy_path), "/tmp/waybill-explain-%d", getpid());
	EXPECT(readlink("/proc/self/exe", own_path, sizeof(own_path) - 1) > 0);
	snprintf(command, sizeof(command), "cp %s %s && chmod 755 %s", own_path, copy_path,
		 copy_path);
	atexit(remove_copy);
	EXPECT(!system(command));
	snprintf(libraries, sizeof(libraries), "%.*s/../lib",
		 (int)(strrchr(own_path, '/') - own_path), own_path);
	EXPECT(!executable_of_process(getpid(), &own));
	EXPECT(!executable_find(copy_path, &copy, (char[PATH_MAX]){ 0 }));
}

/* As the hooks have addresses. */
static struct waybill_address normal(const char *text, uint16_t port)
{
	struct waybill_address address = { .family = AF_INET6, .port = htons(port) };

	if (strchr(text, '.') && !strchr(text, ':')) {
		address.address[10] = address.address[11] = 0xff;
		inet_pton(AF_INET, text, address.address + 12);
		address.family = AF_INET;
		return address;
	}
	inet_pton(AF_INET6, text, address.address);
	if (IN6_IS_ADDR_V4MAPPED(address.address))
		address.family = AF_INET;
	return address;
}

static void foretell(enum verdict decision, uint32_t hops, const struct policy_service *service,
		     const struct policy_filter *filter)
{
	EXPECT(foretold_count < EVENTS);
	foretold[foretold_count++] = (struct event){
		.decision = decision,
		.hop_count = hops,
		.service = service ? service->id : 0,
		.filter = filter ? filter->id : 0,
	};
}

/* The events of one step, in the order of the walk. */
static void foretell_step(const struct explanation *explanation, const struct explain_step *step)
{
	uint32_t hops = step->query.hop_count;

	if (step->decision == DECISION_NO_FILTER || step->decision == DECISION_FLOW_FOREIGN) {
		foretell(step->decision, hops, NULL, NULL);
		return;
	}
	if (step->decision == DECISION_TO_SERVICE) {
		foretell(step->decision, hops, step->service[step->slot].service, NULL);
		return;
	}
	if (step->presumed < POLICY_SERVICES_MAX)
		foretell(DECISION_NO_RECORDS, hops, step->service[step->presumed].service, NULL);
	for (size_t i = 0; i < step->services; i++) {
		const struct explain_service *at = &step->service[i];
		const struct policy_filter *filter =
			policy_filter(explanation->image, explanation->header, at->filter);
		bool last = filter && step->slot == i;

		if (filter && at->decision)
			foretell(last ? step->decision : at->decision,
				 hops + (last && step->decision == DECISION_REDIRECT &&
					 step->presumed < POLICY_SERVICES_MAX),
				 at->service, filter);
	}
}

/* The whole way, also through services that carry no records on. */
static void foretell_way(struct explanation *explanation, struct explain_query query)
{
	struct explain_step *steps;
	static char cgroup[256];
	size_t count;
	int again;

	do {
		again = -1;
		EXPECT(!explain_follow(explanation, &query, &steps, &count));
		for (size_t i = 0; i < count && again < 0; i++) {
			foretell_step(explanation, &steps[i]);
			if (steps[i].decision != DECISION_REDIRECT)
				break;
			again = steps[i].service[steps[i].slot].service->name[0] - 'a';
			if (query.udp)
				break;
			if (kind[again] != SERVICE_FORGETS) {
				again = -1;
				continue;
			}
			/* From here on it is a connection of that service. */
			query = (struct explain_query){ .remote = steps[i].query.remote };
			query.local = normal(query.remote.family == AF_INET ? "0.0.0.0" : "::", 0);
			query.uid = query.gid = world.by_user ? SERVICE_UID(again) : 0;
			if (world.by_user)
				snprintf(cgroup, sizeof(cgroup), "%s/other", world.cgroup);
			else
				snprintf(cgroup, sizeof(cgroup), "%s/s%d", world.cgroup, again);
			query.cgroup = cgroup;
			query.executable = own;
		}
		free(steps);
	} while (again >= 0 && !query.udp);
}

static void print_events(const char *whose, const struct event *event, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fprintf(stderr, "  %s %s, service %08x, filter %08x, %u hops\n", whose,
			decision_name(event[i].decision), event[i].service, event[i].filter,
			event[i].hop_count);
}

static bool as_foretold(bool udp)
{
	if (seen_count != foretold_count)
		return false;
	for (size_t i = 0; i < foretold_count; i++)
		if (seen[i].decision != foretold[i].decision ||
		    seen[i].service != foretold[i].service ||
		    seen[i].filter != foretold[i].filter ||
		    (!udp && seen[i].hop_count != foretold[i].hop_count))
			return false;
	return true;
}

/*
 * That every condition is asked as the whole is: a filter of which none fails is one that matches.
 */
static void check_conditions(struct explanation *explanation, const struct explain_query *query)
{
	struct explain_step step;
	char value[512];

	explain_connect(explanation, query, &step);
	for (size_t i = 0; i < step.services; i++) {
		const struct explain_service *at = &step.service[i];
		uint32_t first = at->service->first_filter;

		for (uint32_t filter = first; filter < first + at->service->filters; filter++) {
			bool failed = explain_failed(explanation, &step.query, filter, value,
						     sizeof(value));

			if (filter > at->filter && at->filter != POLICY_FILTERS_MAX)
				break;
			EXPECT(failed == (filter != at->filter), "filter %u", filter);
		}
	}
}

static void check(struct policy_image *image, const struct attempt *attempt)
{
	struct explanation explanation;
	struct message message;
	char cgroup[256];
	const char *local = attempt->family == V4 ? "0.0.0.0" : "::";
	struct explain_query query = {
		.remote = normal(attempt->to, attempt->port),
		.local = normal(attempt->from[0] ? attempt->from : local, 0),
		.udp = attempt->udp,
		.uid = attempt->user,
		.gid = attempt->user ? attempt->user + 1000 : 0,
		.cgroup = cgroup,
		.executable = attempt->copy ? copy : own,
	};

	snprintf(cgroup, sizeof(cgroup), "%s/%s", world.cgroup, attempt->leaf);
	EXPECT(!explain_begin(&explanation, image, instance_control(world.instance), &message));
	foretold_count = 0;
	foretell_way(&explanation, query);
	check_conditions(&explanation, &query);
	seen_count = 0;
	EXPECT(world_as(&world, attempt->leaf, attempt->user, attempt->copy ? try_copy : try,
			(void *)attempt) <= 1);
	for (int i = 0; i < patience(100) && seen_count < foretold_count; i++)
		usleep(10000);
	/* And no more than that. */
	usleep(20000);
	if (as_foretold(attempt->udp))
		return;
	print_events("foretold", foretold, foretold_count);
	print_events("seen    ", seen, seen_count);
	EXPECT(false, "%s %s to %s port %u from %s, user %u, %s", attempt->udp ? "udp" : "tcp",
	       attempt->family == MAPPED ? "mapped" : "", attempt->to, attempt->port, attempt->from,
	       attempt->user, attempt->leaf);
}

int main(int argc, char **argv)
{
	unsigned int tally[DECISIONS + 1] = { 0 };
	pthread_t thread;

	EXPECT(argc >= 3);
	if (!strcmp(argv[1], "try"))
		return tried(atoi(argv[2]));
	srand(atoi(argv[1]));
	world_begin(&world, "explain");
	world.by_user = argc > 3;
	copy_program();
	world_up(&world);
	world_server(&world);
	pthread_create(&thread, NULL, monitor, NULL);
	usleep(300000);
	for (int i = atoi(argv[2]); i; i--) {
		struct policy_image image;

		restart_services();
		apply_random();
		EXPECT(!instance_policy(world.instance, &image, NULL));
		for (int j = 0; j < CONNECTS; j++) {
			struct attempt attempt = random_attempt();

			check(&image, &attempt);
			for (size_t k = 0; k < foretold_count; k++)
				tally[foretold[k].decision]++;
		}
		free(image.line);
	}
	for (size_t i = DECISION_NO_FILTER; i < COUNT(tally) - 1; i++)
		if (tally[i])
			printf("%s: %u\n", decision_name(i), tally[i]);
	/* So many kinds of decisions that it was worth it. */
	EXPECT(tally[DECISION_REDIRECT] && tally[DECISION_DOWN_PASS] &&
	       tally[DECISION_DOWN_BLOCK] && tally[DECISION_NO_RECORDS] && tally[DECISION_SEEN] &&
	       tally[DECISION_TO_SERVICE]);
	stop = 1;
	pthread_join(thread, NULL);
	for (int i = 0; i < SERVICES; i++)
		if (holder[i])
			kill(holder[i], SIGKILL);
	world_end(&world);
}
