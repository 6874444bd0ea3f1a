// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * replay.c - run a target on its corpus, without libFuzzer
 *
 *	replay-NAME FILE...
 *
 * Prints one line of TAP. If the target fails, the input is named.
 */
#include <signal.h>
#include <unistd.h>

#include "fuzz.h"

#define MAX_INPUT	(1 << 20)

static const char *current;

static void say(const char *text)
{
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		_exit(1);
}

/* The default action follows: SA_RESETHAND. */
static void on_crash(int sig)
{
	say("not ok 1 - ");
	say(current);
	say("\n");
	raise(sig);
}

static void catch_crashes(void)
{
	static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE,
				       SIGILL };
	struct sigaction action = { .sa_handler = on_crash,
				    .sa_flags = SA_RESETHAND | SA_NODEFER };
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

/* Memory of exactly that size, so that a sanitizer finds reads beyond it. */
static int run_file(const char *path)
{
	static uint8_t buffer[MAX_INPUT];
	FILE *file = fopen(path, "rb");
	uint8_t *input;
	size_t size;

	if (!file)
		return -1;
	size = fread(buffer, 1, sizeof(buffer), file);
	fclose(file);
	input = malloc(size ? size : 1);
	if (!input)
		return -1;
	memcpy(input, buffer, size);
	LLVMFuzzerTestOneInput(input, size);
	free(input);
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	int i;

	name = name ? name + 1 : argv[0];
	say("1..1\n");
	catch_crashes();
	if (argc < 2) {
		printf("not ok 1 - %s: no corpus\n", name);
		return 1;
	}
	for (i = 1; i < argc; i++) {
		current = argv[i];
		if (run_file(argv[i])) {
			printf("not ok 1 - %s: cannot be read\n", argv[i]);
			return 1;
		}
	}
	printf("ok 1 - %s: %d inputs\n", name, argc - 1);
	return 0;
}
