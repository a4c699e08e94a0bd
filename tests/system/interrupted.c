// SPDX-License-Identifier: BSD-2-Clause
/*
 * interrupted WAYBILL: `up`, `apply` and `down` are killed at random moments, a hundred times;
 * what is left can be used or brought up again, and after the last `down` there is no pin, no
 * link, no map and no program of it. The kernel itself is asked what exists.
 */
#include "world.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static char *waybill;
static struct world world;

/* Starts the command; kills it after so many microseconds, or lets it end if that is 0. */
static int run(const char *verb, char *const extra[], unsigned int kill_after)
{
	char *arguments[10] = { waybill, (char *)verb, "--instance", world.name };
	int status, count = 4;
	pid_t child;

	for (int i = 0; extra && extra[i]; i++)
		arguments[count++] = extra[i];
	child = fork();
	if (!child) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 1);
		if (kill_after || !strcmp(verb, "down"))
			dup2(null, 2);
		execv(waybill, arguments);
		_exit(127);
	}
	if (kill_after) {
		usleep(kill_after);
		kill(child, SIGKILL);
	}
	EXPECT(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* How long it takes when nobody interrupts it. */
static unsigned int microseconds(const char *verb, char *const extra[])
{
	struct timespec begin, end;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	EXPECT(!run(verb, extra, 0), "%s", verb);
	clock_gettime(CLOCK_MONOTONIC, &end);
	return (end.tv_sec - begin.tv_sec) * 1000000 + (end.tv_nsec - begin.tv_nsec) / 1000;
}

/* How many programs are attached to the world's cgroup. */
static int attached(void)
{
	uint32_t programs[64], count, total = 0;
	char path[512];
	int cgroup;
	static const enum bpf_attach_type types[] = {
		BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT, BPF_CGROUP_SOCK_OPS,
		BPF_CGROUP_GETSOCKOPT,    BPF_CGROUP_SETSOCKOPT,    BPF_CGROUP_INET4_POST_BIND,
		BPF_CGROUP_UDP4_SENDMSG,  BPF_CGROUP_UDP6_RECVMSG,  BPF_CGROUP_INET_SOCK_RELEASE,
	};

	snprintf(path, sizeof(path), "%s%s", world.mount, world.cgroup);
	cgroup = open(path, O_RDONLY | O_DIRECTORY);
	EXPECT(cgroup >= 0);
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		count = 64;
		EXPECT(!bpf_prog_query(cgroup, types[i], 0, NULL, programs, &count), "%s",
		       strerror(errno));
		total += count;
	}
	close(cgroup);
	return total;
}

/* The ids of all links of the kernel, as a number that a leak makes larger. */
static int links(void)
{
	uint32_t id = 0;
	int count = 0;

	while (!bpf_link_get_next_id(id, &id))
		count++;
	return count;
}

int main(int argc, char **argv)
{
	char policy[] = "/tmp/waybill-interrupted-XXXXXX", cgroup[160], path[256];
	char *up[] = { "--cgroup", cgroup, NULL }, *apply[] = { policy, NULL };
	unsigned int up_time, apply_time;
	int completed = 0, before;
	FILE *file;

	EXPECT(argc == 2, "usage: interrupted WAYBILL");
	waybill = argv[1];
	world_begin(&world, "interrupted");
	alarm(patience(1200)); /* it takes a minute or two where nobody else works */
	srandom(time(NULL));
	snprintf(cgroup, sizeof(cgroup), "%s", world.cgroup);
	file = fdopen(mkstemp(policy), "w");
	fprintf(file,
		"version: 1\nservices:\n  - name: a\n    weight: 1\n    endpoint: { tcp: 9001, udp: 9001 }\n"
		"    identity: { cgroup: %s/s0 }\nfilters:\n  - name: all\n    service: a\n"
		"    action: redirect\n    context: hello\n",
		world.cgroup);
	fclose(file);
	before = links();
	up_time = microseconds("up", up);
	apply_time = microseconds("apply", apply);
	for (int round = 0; round < 100; round++) {
		unsigned int moment = random() % 1000;

		/* Loading takes most of up's time; half of the rounds aim at what comes after it. */
		if (round % 2)
			moment = 850 + moment / 5;
		completed += run("up", up, up_time / 1000 * moment + 1) == 0;
		if (round % 4 == 0) {
			EXPECT(!run("up", up, 0), "up after an interrupted up, round %d", round);
			run("apply", apply, random() % apply_time + 1);
			/* It may have been about to attach the hooks of datagrams. */
			if (round % 8 == 0)
				EXPECT(!run("apply", apply, 0), "apply, round %d", round);
			else
				EXPECT(!run("up", up, 0), "up after an apply, round %d", round);
		}
		run("down", NULL, 200 + random() % 20000);
		if (round % 10 == 9)
			EXPECT(run("down", NULL, 0) != 1, "down, round %d", round);
	}
	EXPECT(run("down", NULL, 0) != 1);
	unlink(policy);
	snprintf(path, sizeof(path), "/sys/fs/bpf/waybill/%s", world.name);
	EXPECT(access(path, F_OK), "%s is left", path);
	for (int i = 0; i < patience(100) && attached(); i++)
		usleep(20000);
	EXPECT(!attached(), "%d programs are attached", attached());
	/* Other tests may come and go meanwhile: only what stays counts. */
	for (int i = 0; i < patience(500) && links() > before; i++)
		usleep(20000);
	printf("%d of 100 interrupted ups completed\n", completed);
	world_end(&world);
}
