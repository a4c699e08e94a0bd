// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the verifier of the running kernel says about each program of eBPF objects: each is loaded
 * alone, so that one that is refused hides no other. A line for each program,
 *	PASS|FAIL OBJECT PROGRAM: what it took, or why it was refused
 * and the verifier's last words, indented, below one that was refused. Nothing is attached.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_SIZE (16 << 20)

/* Levels of the verifier's log: how much it did; each instruction on the way to what it refuses. */
#define STATISTICS 4
#define PATH 1

static char *verifier_log; /* of LOG_SIZE; the verifier keeps its end if it has more to say */
static char libbpf_words[4096];

/* What libbpf itself objects to, before the verifier is asked. */
static int keep_words(enum libbpf_print_level level, const char *format, va_list arguments)
{
	size_t used = strlen(libbpf_words);

	if (level == LIBBPF_WARN)
		vsnprintf(libbpf_words + used, sizeof(libbpf_words) - used, format, arguments);
	return 0;
}

/* The text behind the last occurrence of a word in the log. */
static const char *statistic(const char *name)
{
	const char *found = NULL;

	for (const char *at = verifier_log; (at = strstr(at, name)); at += strlen(name))
		found = at + strlen(name);
	return found ? found : "";
}

static void print_end(const char *text, int lines)
{
	const char *start = text + strlen(text);

	while (start > text && lines >= 0)
		if (*--start == '\n' && start[1])
			lines--;
	if (*start == '\n')
		start++;
	while (*start) {
		int length = strcspn(start, "\n");

		printf("\t%.*s\n", length, start);
		start += length + (start[length] == '\n');
	}
}

struct limits {
	unsigned long instructions;
	int lines;
};

/* Opens the object with one program that is to be loaded, or with none if it has not so many. */
static struct bpf_object *open_with(const char *path, int number, struct bpf_program **mine)
{
	struct bpf_program *program;
	struct bpf_object *object;
	int index = 0;

	*mine = NULL;
	libbpf_words[0] = verifier_log[0] = 0;
	object = bpf_object__open_file(path, NULL);
	if (!object)
		return NULL;
	bpf_object__for_each_program(program, object)
	{
		bpf_program__set_autoload(program, index == number);
		if (index++ == number)
			*mine = program;
	}
	return object;
}

static int load(struct bpf_object *object, struct bpf_program *program, int log_level)
{
	bpf_program__set_log_buf(program, verifier_log, LOG_SIZE);
	bpf_program__set_log_level(program, log_level);
	return bpf_object__load(object);
}

/*
 * Prints the verifier's last words; after it was asked once more, for the path that leads to what
 * it objects to. Where it only gave up (E2BIG), no path does, and to print one takes minutes.
 */
static void explain(const char *path, int number, int error, int lines)
{
	struct bpf_object *object = NULL;
	struct bpf_program *program;

	if (error != -E2BIG)
		object = open_with(path, number, &program);
	if (object)
		load(object, program, PATH);
	print_end(*verifier_log ? verifier_log : libbpf_words, lines);
	bpf_object__close(object);
}

/* Verifies the program of that number, and says whether there is one. */
static bool verify(const char *path, int number, const struct limits *limits, bool *failed)
{
	const char *slash = strrchr(path, '/'), *object_name = slash ? slash + 1 : path;
	struct bpf_program *program;
	struct bpf_object *object = open_with(path, number, &program);

	if (!program) {
		if (!object)
			printf("FAIL %s: cannot be opened\n%s", object_name, libbpf_words);
		*failed |= !object;
		bpf_object__close(object);
		return false;
	}

	int error = load(object, program, STATISTICS);
	unsigned long instructions = strtoul(statistic("processed "), NULL, 10);
	double seconds = strtod(statistic("verification time "), NULL) / 1e6;
	const char *stack = statistic("stack depth ");
	bool much = limits->instructions && instructions > limits->instructions;

	printf("%s %s %s: ", error || much ? "FAIL" : "PASS", object_name,
	       bpf_program__name(program));
	if (error) {
		printf("refused (%s) after %lu instructions\n", strerror(-error), instructions);
		explain(path, number, error, limits->lines);
	} else {
		printf("%lu instructions", instructions);
		if (much)
			printf(", more than %lu", limits->instructions);
		printf(", stack %.*s, %.2f s\n", (int)strcspn(stack, "\n"), stack, seconds);
	}
	fflush(stdout);
	*failed |= error || much;
	bpf_object__close(object);
	return true;
}

int main(int argc, char **argv)
{
	struct limits limits = { .lines = 25 };
	bool failed = false;
	int option;

	while ((option = getopt(argc, argv, "m:l:")) != -1) {
		if (option == 'm')
			limits.instructions = strtoul(optarg, NULL, 10);
		else if (option == 'l')
			limits.lines = atoi(optarg);
		else
			optind = argc;
	}
	if (optind >= argc) {
		fprintf(stderr,
			"usage: %s [-m INSTRUCTIONS] [-l LINES] OBJECT...\n"
			"\t-m: more are a failure; -l: lines of the verifier's words (25)\n",
			argv[0]);
		return 2;
	}
	if (geteuid()) {
		printf("skipped: needs root\n");
		return 77;
	}
	verifier_log = malloc(LOG_SIZE);
	if (!verifier_log)
		return 1;
	libbpf_set_print(keep_words);
	for (int i = optind; i < argc; i++)
		for (int number = 0; verify(argv[i], number, &limits, &failed);)
			number++;
	free(verifier_log);
	return failed;
}
