// SPDX-License-Identifier: BSD-2-Clause
/* The alternate screen of a terminal. Signals are let in only while it waits, so none is missed. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "output.h"
#include "screen.h"

/* Alternate screen, no cursor, long lines cut instead of wrapped; and all that back. */
#define TAKE "\033[?1049h\033[?25l\033[?7l\033[2J"
#define GIVE "\033[?7h\033[?25h\033[?1049l"

static struct termios before;
static bool taken, terminal;
static volatile sig_atomic_t ending, stopping, resized;
static sigset_t waiting; /* the mask while waiting */

static void on_signal(int number)
{
	if (number == SIGWINCH || number == SIGCONT)
		resized = 1;
	else if (number == SIGTSTP)
		stopping = 1;
	else
		ending = 1;
}

static void take(void)
{
	struct termios raw = before;

	raw.c_lflag &= ~(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	fputs(TAKE, stdout);
	fflush(stdout);
	taken = true;
}

void screen_end(void)
{
	if (!taken)
		return;
	taken = false;
	fputs(GIVE, stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
}

bool screen_begin(void)
{
	static const int caught[] = {
		SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH, SIGCONT
	};
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t blocked;

	terminal =
		isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !tcgetattr(STDIN_FILENO, &before);
	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(caught) / sizeof(*caught); i++) {
		/* Who is no screen can be stopped as anybody. */
		if (caught[i] == SIGTSTP && !terminal)
			continue;
		sigaction(caught[i], &action, NULL);
		sigaddset(&blocked, caught[i]);
	}
	sigprocmask(SIG_BLOCK, &blocked, &waiting);
	/* A reader that went away is found by the write. */
	signal(SIGPIPE, SIG_IGN);
	if (!terminal)
		return false;
	atexit(screen_end);
	take();
	return true;
}

size_t screen_lines(void)
{
	struct winsize size;

	if (!terminal)
		return SIZE_MAX;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row ? 24 : size.ws_row;
}

void screen_show(const char *text)
{
	size_t lines = screen_lines();

	if (!terminal) {
		fputs(text, stdout);
		fflush(stdout);
		return;
	}
	fputs("\033[H", stdout);
	for (size_t line = 0; *text && line < lines; line++) {
		size_t length = strcspn(text, "\n");

		/* A line feed after the last one would scroll. */
		printf("%s%.*s\033[K", line ? "\n" : "", (int)length, text);
		text += length + (text[length] == '\n');
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

/* As a job of a shell stops: with the terminal given back until it goes on. */
static void stop(void)
{
	stopping = 0;
	screen_end();
	raise(SIGSTOP);
	take();
}

static bool ends_by_key(void)
{
	char key;
	ssize_t count = read(STDIN_FILENO, &key, 1);

	return count > 0 && (key == 'q' || key == 'Q');
}

bool screen_wait(uint64_t nanoseconds)
{
	uint64_t end = boottime_now() + nanoseconds, now;
	struct pollfd input = { .fd = terminal ? STDIN_FILENO : -1, .events = POLLIN };

	while (!ending && !ferror(stdout) && !resized && (now = boottime_now()) < end) {
		struct timespec rest = { (end - now) / 1000000000, (end - now) % 1000000000 };
		int count = ppoll(&input, 1, &rest, &waiting);

		if (stopping)
			stop();
		/* The terminal is gone. */
		if (count > 0 && input.revents & (POLLHUP | POLLERR))
			return false;
		if (count > 0 && ends_by_key())
			return false;
	}
	resized = 0;
	return !ending && !ferror(stdout);
}
