/* SPDX-License-Identifier: GPL-2.0 */
/*
 * check.h - expectations and test functions, for programs whose tests sdk.sh runs one
 * by one, by their names
 */
#ifndef CHECK_H
#define CHECK_H

#include <cstdio>
#include <cstring>

extern int check_failures;

struct Test {
	const char *name;
	void (*run)();
};

static inline void check(const char *file, int line, const char *text,
			 long long got, long long wanted)
{
	if (got == wanted)
		return;
	fprintf(stderr, "%s:%d: %s: got %#llx, expected %#llx\n", file, line,
		text, got, wanted);
	__atomic_fetch_add(&check_failures, 1, __ATOMIC_RELAXED);
}

/* The first argument is the value to be tested. */
#define IS(got, wanted) \
	check(__FILE__, __LINE__, #got, (long long)(got), (long long)(wanted))
#define TRUTH(what)	IS(!!(what), true)

/* The arguments are --list, or the name of one test. */
template <size_t N>
static int run_test(const Test (&tests)[N], int argc, char **argv)
{
	size_t i;

	for (i = 0; argc == 2 && i < N; i++) {
		if (!strcmp(argv[1], "--list")) {
			puts(tests[i].name);
		} else if (!strcmp(argv[1], tests[i].name)) {
			tests[i].run();
			return check_failures ? 1 : 0;
		}
	}
	return argc == 2 && !strcmp(argv[1], "--list") ? 0 : 2;
}

#endif /* CHECK_H */
