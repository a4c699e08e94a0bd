// SPDX-License-Identifier: BSD-2-Clause
/*
 * policy_swap RELAY [SECONDS]: 2,000 connections a second through two relays, while the policy is
 * swapped 100 times a second: no connection fails, escapes a service, or is seen by one twice.
 */
#include "world.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static struct world world;
static char *relay;
static atomic_int stop, swaps, connected, failed;
static int wanted = 2000;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec * 1e-9;
}

static pid_t start_relay(int i)
{
	char port[16], leaf[8], log[64];
	pid_t child = fork();

	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(leaf, sizeof(leaf), "s%d", i);
	world_enter(&world, leaf);
	snprintf(port, sizeof(port), ":%d", SERVICE_PORT(i));
	snprintf(log, sizeof(log), "/tmp/waybill-swap-%d-%d", getppid(), i);
	execl(relay, relay, "--listen", port, "--service", i ? "b" : "a", "--log", log, NULL);
	_exit(127);
}

/*
 * Two policies that redirect alike and differ in everything else, from a few threads: storing a
 * policy waits for the programs that may still use the one before.
 */
static void *swap(void *data)
{
	const struct policy *policies[2] = { ((struct policy **)data)[0],
					     ((struct policy **)data)[1] };
	double begin = now();
	int mine = 0;

	while (!stop) {
		struct message message = {};
		struct apply_result result;

		if (instance_apply(world.instance, policies[mine % 2], &result, &message)) {
			fprintf(stderr, "%s\n", message.text);
			failed++;
			break;
		}
		mine++;
		swaps++;
		/* 100 a second in all. */
		while (!stop && swaps > (now() - begin) * 100)
			usleep(500);
	}
	return NULL;
}

static void *connect_forever(void *data)
{
	double begin = now();
	enum family family = (enum family)(intptr_t)data;

	for (int i = 0; !stop; i++) {
		struct linger reset = { .l_onoff = 1 };
		int descriptor = connect_to((family + i) % FAMILIES, SERVER_PORT);
		char answer[4] = "";

		if (descriptor < 0 || send(descriptor, "ping", 4, MSG_NOSIGNAL) != 4 ||
		    recv(descriptor, answer, 4, MSG_WAITALL) != 4) {
			fprintf(stderr, "connection: %s\n",
				strerror(descriptor < 0 ? -descriptor : errno));
			failed++;
		} else {
			connected++;
			setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		}
		close(descriptor);
		while (!stop && i > (now() - begin) * wanted / 4)
			usleep(200);
	}
	return NULL;
}

static struct policy *policy(int variant)
{
	char path[] = "/tmp/waybill-swap-XXXXXX";
	struct message message = {};
	struct policy *result;
	FILE *file = fdopen(mkstemp(path), "w");

	fprintf(file, "version: 1\nlimits: { unheard: redirect, hops: %d }\nservices:\n", 4 + variant);
	for (int i = 0; i < 2; i++)
		fprintf(file,
			"  - { name: %c, weight: %d, endpoint: { tcp: %d }, identity: { cgroup: "
			"%s/s%d } }\n",
			'a' + i, 100 * (variant + 2) - i, SERVICE_PORT(i), world.cgroup, i);
	fprintf(file, "filters:\n");
	for (int i = 0; i < 40 * variant; i++)
		fprintf(file,
			"  - { name: n%d, service: a, weight: 9, match: { remote: [ 127.66.7.%d ] }, "
			"action: permit }\n",
			i, i);
	for (int i = 0; i < 2; i++)
		fprintf(file,
			"  - { name: all, service: %c, match: { remote_port: [ 8080 ] }, action: "
			"redirect, context: \"%d\" }\n",
			'a' + i, variant);
	fclose(file);
	EXPECT(!policy_load(path, &result, &message), "%s", message.text);
	unlink(path);
	return result;
}

int main(int argc, char **argv)
{
	double seconds = argc > 2 ? atof(argv[2]) : 10, begin;
	struct policy *policies[2];
	pthread_t threads[7];
	pid_t relays[2];
	int rate;

	EXPECT(argc > 1, "usage: policy_swap RELAY [SECONDS]");
	relay = argv[1];
	world_begin(&world, "policy_swap");
	world_up(&world);
	world_server(&world);
	for (int i = 0; i < 2; i++)
		relays[i] = start_relay(i);
	policies[0] = policy(0);
	policies[1] = policy(1);
	usleep(500000);
	pthread_create(&threads[0], NULL, swap, policies);
	while (!swaps && !failed)
		usleep(1000);
	for (intptr_t i = 0; i < 4; i++)
		pthread_create(&threads[1 + i], NULL, connect_forever, (void *)i);
	pthread_create(&threads[5], NULL, swap, policies);
	pthread_create(&threads[6], NULL, swap, policies);
	begin = now();
	usleep(seconds * 1e6);
	stop = 1;
	seconds = now() - begin;
	for (int i = 0; i < 7; i++)
		pthread_join(threads[i], NULL);
	rate = connected / seconds;
	printf("%d connections (%d a second), %d swaps (%.0f a second)\n", connected, rate, swaps,
	       swaps / seconds);
	EXPECT(!failed, "%d failed", failed);
	expect_count("server", &SERVER_SEEN(&world)->accepted, connected);
	/* Each went through a and b, and through nothing twice. */
	EXPECT(counter(&world, COUNT_REDIRECTED) == 2 * (uint64_t)connected, "%llu redirected",
	       (unsigned long long)counter(&world, COUNT_REDIRECTED));
	EXPECT(counter(&world, COUNT_NO_RECORDS) == 0);
	EXPECT(counter(&world, COUNT_UNCLAIMED) == 0);
	EXPECT(counter(&world, COUNT_DOWN_BLOCKED) == 0);
	for (int i = 0; i < 2; i++) {
		char path[64];

		kill(relays[i], SIGKILL);
		waitpid(relays[i], NULL, 0);
		snprintf(path, sizeof(path), "/tmp/waybill-swap-%d-%d", getpid(), i);
		unlink(path);
	}
	for (int i = 0; i < 2; i++)
		policy_free(policies[i]);
	world_end(&world);
}
