// SPDX-License-Identifier: BSD-2-Clause
/*
 * Datagrams through two of the reference relays, in both families; the log says of each flow what
 * it was. One that forgets records does not loop.
 */
#include <fcntl.h>

#include "datagram_tools.h"

static struct world world;

static void relay_start(int i, const char *path, bool forgets, int log)
{
	char listen[32], ready[16], byte;
	int ends[2];

	snprintf(listen, sizeof(listen), ":%d", SERVICE_PORT(i));
	EXPECT(!pipe(ends));
	if (world_service_fork(&world, i)) {
		snprintf(ready, sizeof(ready), "%d", ends[1]);
		dup2(log, STDOUT_FILENO);
		execl(path, path, "--listen", listen, "--datagrams", "--idle-timeout", "1",
		      "--ready-fd", ready, forgets ? "--no-records" : NULL, NULL);
		_exit(1);
	}
	close(ends[1]);
	EXPECT(read(ends[0], &byte, 1) == 1, "the relay does not start");
	close(ends[0]);
}

static int count_in(int log, const char *what)
{
	char text[65536];
	ssize_t size = pread(log, text, sizeof(text) - 1, 0);
	int found = 0;

	EXPECT(size >= 0);
	text[size] = '\0';
	for (char *at = text; (at = strstr(at, what)); at++)
		found++;
	return found;
}

int main(int argc, char **argv)
{
	int log[2], fd;

	EXPECT(argc == 3);
	for (int i = 0; i < 2; i++) {
		log[i] = open("/tmp", O_TMPFILE | O_RDWR, 0600);
		EXPECT(log[i] >= 0);
	}
	world_begin(&world, "datagram_relay");
	world_up(&world);
	datagram_server(&world);
	datagram_policy(&world, 2, NULL);
	relay_start(0, argv[1], argv[2][0] == 'f', log[0]);
	relay_start(1, argv[1], argv[2][1] == 'f', log[1]);
	for (enum family family = V4; family <= MAPPED; family++) {
		fd = datagram_socket(family);
		for (int round = 0; round < 3; round++)
			for (unsigned int n = 0; n < 5; n++)
				datagram_check(fd, family, n, "relayed");
		close(fd);
	}
	EXPECT(counter(&world, COUNT_FLOWS) == 2 * 15);
	EXPECT(!!counter(&world, COUNT_NO_RECORDS) == !!strchr(argv[2], 'f'));
	/* Idle for a second, they end, with their lines. */
	for (int i = 0; i < patience(200) && count_in(log[1], "\"end\":\"idle\"") < 15; i++)
		usleep(20000);
	for (int i = 0; i < 2; i++) {
		EXPECT(count_in(log[i], "\"protocol\":\"udp\"") == 15, "%d",
		       count_in(log[i], "\"protocol\":\"udp\""));
		EXPECT(count_in(log[i],
				"\"datagrams_up\":3,\"datagrams_down\":3,\"bytes_up\":21") == 15);
		EXPECT(count_in(log[i], "\"original_destination\":\"127.66.0.1:8080\"") == 2);
		EXPECT(count_in(log[i], "\"original_destination\":\"[fd66::5]:8080\"") == 1);
		EXPECT(count_in(log[i], "\"end\":\"idle\"") == 15);
	}
	world_end(&world);
}
