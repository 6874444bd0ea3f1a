// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_command.c - commands of the user that store or supply the data of a device
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/child.h"
#include "common/common.h"
#include "store/command.h"

#define SIZE	(5U << 20)	/* more than any pipe holds */

struct fixture {
	char dir[40];
	uint8_t *data, *back;
	struct command *c;
	unsigned int asked;	/* calls of stop_later() */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	size_t i;

	strcpy(f->dir, "/tmp/command.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chdir(f->dir), 0);
	f->data = malloc(SIZE);
	f->back = malloc(SIZE + 1);
	for (i = 0; i < SIZE; i++)
		f->data[i] = i * 2654435761U >> 13;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = { "out", "eof", "group" };
	struct fixture *f = *state;
	size_t i;

	command_close(f->c);
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(files[i]);
	assert_int_equal(rmdir(f->dir), 0);
	free(f->data);
	free(f->back);
	free(f);
	return 0;
}

/* A wait that has begun is stopped. */
static bool stop_later(void *context)
{
	struct fixture *f = context;

	return ++f->asked > 2;
}

static void open_spec(struct fixture *f, const char *shell, bool writing, bool stops)
{
	const struct command_spec spec = {
		.shell = shell,
		.environment = environ,
		.device = "dev",
		.writing = writing,
		.stop = stops ? stop_later : NULL,
		.stop_context = f,
	};
	char why[256];

	f->c = command_open(&spec, why, sizeof(why));
	assert_non_null(f->c);
}

static void open_sink(struct fixture *f, const char *shell)
{
	open_spec(f, shell, true, false);
}

static void open_source(struct fixture *f, const char *shell)
{
	open_spec(f, shell, false, false);
}

static enum command_result write_all(struct fixture *f)
{
	enum command_result result = COMMAND_OK;
	size_t at;

	for (at = 0; result == COMMAND_OK && at < SIZE; at += SIZE / 5)
		result = command_write(f->c, f->data + at, SIZE / 5);
	return result;
}

static void says(struct fixture *f, const char *text)
{
	if (!strstr(command_why(f->c), text))
		fail_msg("'%s' does not contain '%s'", command_why(f->c), text);
}

static void check_file(struct fixture *f, size_t size)
{
	FILE *in = fopen("out", "r");

	assert_non_null(in);
	assert_int_equal(fread(f->back, 1, SIZE + 1, in), size);
	assert_memory_equal(f->data, f->back, size);
	fclose(in);
}

/* ---------------------------------------------------------------- writing */

static void sink_stores_all_data(void **state)
{
	struct fixture *f = *state;

	open_sink(f, "cat > out");
	assert_int_equal(write_all(f), COMMAND_OK);
	assert_int_equal(command_finish(f->c), COMMAND_OK);
	check_file(f, SIZE);
	assert_int_equal(command_finish(f->c), COMMAND_OK);
	assert_int_equal(command_write(f->c, f->data, 1), COMMAND_FAILED);
	says(f, "after VDC_Flush");
}

static void sink_fails_after_the_end(void **state)
{
	struct fixture *f = *state;

	open_sink(f, "cat > out; echo cause >&2; exit 7");
	assert_int_equal(write_all(f), COMMAND_OK);
	assert_int_equal(command_finish(f->c), COMMAND_FAILED);
	says(f, "the command of device 'dev' ended with exit code 7; its last messages: cause");
}

/* The data is small, so that the pipe takes it without a reader. */
static void sink_succeeds_without_reading(void **state)
{
	struct fixture *f = *state;

	open_sink(f, "true");
	command_write(f->c, f->data, 10);
	if (!*command_why(f->c))
		assert_int_equal(command_finish(f->c), COMMAND_FAILED);
	says(f, "ended with exit code 0 before it had read all data");
}

static void sink_reads_a_part(void **state)
{
	struct fixture *f = *state;

	open_sink(f, "head -c 1000000 > /dev/null");
	assert_int_equal(write_all(f), COMMAND_FAILED);
	says(f, "ended with exit code 0 before it had read all data");
}

static void sink_closes_its_input(void **state)
{
	struct fixture *f = *state;

	open_sink(f, "exec <&-; sleep 1000");
	assert_int_equal(write_all(f), COMMAND_FAILED);
	says(f, "closed its input before it had read all data");
}

static void sink_is_killed(void **state)
{
	struct fixture *f = *state;

	open_sink(f, "head -c 1000000 > /dev/null; kill -9 $$");
	assert_int_equal(write_all(f), COMMAND_FAILED);
	says(f, "was killed by signal 9");
}

/* It sees no end of its input. */
static void sink_is_stopped_while_the_pipe_is_full(void **state)
{
	struct fixture *f = *state;

	open_spec(f, "echo $$ > group; sleep 1000; cat > out; echo > eof", true, true);
	assert_int_equal(write_all(f), COMMAND_STOPPED);
	command_close(f->c);
	f->c = NULL;
	assert_int_not_equal(access("eof", F_OK), 0);
	assert_int_not_equal(access("out", F_OK), 0);
}

static void sink_is_closed_before_the_end(void **state)
{
	struct fixture *f = *state;

	open_sink(f, "trap '' TERM; cat > out && echo > eof");
	assert_int_equal(write_all(f), COMMAND_OK);
	command_close(f->c);
	f->c = NULL;
	assert_int_not_equal(access("eof", F_OK), 0);
}

/* Started in a process that is killed. */
static void write_a_part(struct fixture *f)
{
	open_sink(f, "echo $$ > group; cat > out && echo > eof");
	if (write_all(f) != COMMAND_OK || !kill(getpid(), SIGKILL))
		_exit(1);
}

static void sink_of_a_killed_process_sees_no_end(void **state)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	struct fixture *f = *state;
	pid_t pid = fork(), group;
	int status;
	FILE *in;

	if (!pid)
		write_a_part(f);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	in = fopen("group", "r");
	assert_non_null(in);
	assert_int_equal(fscanf(in, "%d", &group), 1);
	fclose(in);
	/* its processes have become children of this one */
	while (!kill(-group, 0)) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		nanosleep(&tick, NULL);
	}
	assert_int_not_equal(access("eof", F_OK), 0);
}

/* ---------------------------------------------------------------- reading */

static void make_file(struct fixture *f)
{
	FILE *out = fopen("out", "w");

	assert_non_null(out);
	assert_int_equal(fwrite(f->data, 1, SIZE, out), SIZE);
	assert_int_equal(fclose(out), 0);
}

/* Reads to the end; the result is that of the last read. */
static enum command_result read_all(struct fixture *f, size_t *total)
{
	enum command_result result;
	size_t done;

	*total = 0;
	do {
		result = command_read(f->c, f->back + *total, SIZE / 5, &done);
		if (result == COMMAND_OK)
			*total += done;
	} while (result == COMMAND_OK && done == SIZE / 5 && *total < SIZE);
	return result;
}

static void source_is_read_to_its_end(void **state)
{
	struct fixture *f = *state;
	size_t done;

	make_file(f);
	open_source(f, "cat out");
	assert_int_equal(read_all(f, &done), COMMAND_OK);
	assert_int_equal(done, SIZE);
	assert_memory_equal(f->data, f->back, SIZE);
	assert_true(command_drained(f->c));
	assert_int_equal(command_read(f->c, f->back, 10, &done), COMMAND_OK);
	assert_int_equal(done, 0);
}

/* All bytes are there, but the last ones are not handed over. */
static void source_fails_at_its_end(void **state)
{
	struct fixture *f = *state;
	size_t done;

	make_file(f);
	open_source(f, "cat out; echo cause >&2; exit 3");
	assert_int_equal(read_all(f, &done), COMMAND_FAILED);
	assert_true(done < SIZE);
	assert_false(command_drained(f->c));
	says(f, "ended with exit code 3; its last messages: cause");
}

static void source_is_stopped(void **state)
{
	struct fixture *f = *state;
	size_t done;

	open_spec(f, "sleep 1000", false, true);
	assert_int_equal(command_read(f->c, f->back, 10, &done), COMMAND_STOPPED);
}

static void source_is_empty(void **state)
{
	struct fixture *f = *state;
	size_t done;

	open_source(f, "true");
	assert_int_equal(command_read(f->c, f->back, 10, &done), COMMAND_OK);
	assert_int_equal(done, 0);
	assert_true(command_drained(f->c));
}

static void source_leaves_a_process(void **state)
{
	struct fixture *f = *state;
	size_t done;

	open_source(f, "sleep 1000 &");
	assert_int_equal(command_read(f->c, f->back, 10, &done), COMMAND_FAILED);
	says(f, "keeps its output open");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sink_stores_all_data),
		TEST(sink_fails_after_the_end),
		TEST(sink_succeeds_without_reading),
		TEST(sink_reads_a_part),
		TEST(sink_closes_its_input),
		TEST(sink_is_killed),
		TEST(sink_is_stopped_while_the_pipe_is_full),
		TEST(sink_is_closed_before_the_end),
		TEST(sink_of_a_killed_process_sees_no_end),
		TEST(source_is_read_to_its_end),
		TEST(source_fails_at_its_end),
		TEST(source_is_stopped),
		TEST(source_is_empty),
		TEST(source_leaves_a_process),
	};

	vdi_catch_signals();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
