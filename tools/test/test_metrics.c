// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_metrics.c - the file for Prometheus, and what it keeps of the previous one
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/common.h"
#include "common/metrics.h"

struct fixture {
	char dir[32];
	char path[64];
	char text[8192];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/metrics.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/vdi.prom", f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	/* fails if a temporary file is left */
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void read_text(struct fixture *f)
{
	FILE *in = fopen(f->path, "r");
	size_t n;

	assert_non_null(in);
	n = fread(f->text, 1, sizeof(f->text) - 1, in);
	f->text[n] = '\0';
	fclose(in);
}

static void write_text(struct fixture *f, const char *text)
{
	FILE *out = fopen(f->path, "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static int run(struct fixture *f, const char *set, int exit_code, int64_t ended)
{
	struct vdi_metrics_run how = {
		.set = set,
		.operation = "backup",
		.ended = ended,
		.seconds = 12.3456,
		.bytes = UINT64_C(1) << 40,
		.waits_known = true,
		.database_waited = 1.25,
		.appliance_waited = 3,
		.exit_code = exit_code,
	};
	struct vdi_metrics metrics;
	int rc = vdi_metrics_open(&metrics, f->path, set, "backup");

	if (rc == EXIT_OK)
		assert_true(vdi_metrics_write(&metrics, &how));
	vdi_metrics_close(&metrics);
	return rc;
}

static void has(struct fixture *f, const char *line)
{
	char text[512];

	read_text(f);
	snprintf(text, sizeof(text), "\n%s\n", line);
	if (!strstr(f->text, text))
		fail_msg("'%s' is missing in: %s", line, f->text);
}

static void all_values(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	umask(0077);
	assert_int_equal(run(f, "n", EXIT_OK, 1000), EXIT_OK);
	has(f, "vdi_last_success_timestamp_seconds{set=\"n\",operation=\"backup\"} 1000");
	has(f, "vdi_last_run_timestamp_seconds{set=\"n\",operation=\"backup\"} 1000");
	has(f, "vdi_last_run_exit_code{set=\"n\",operation=\"backup\"} 0");
	has(f, "vdi_last_run_duration_seconds{set=\"n\",operation=\"backup\"} 12.346");
	has(f, "vdi_last_run_bytes{set=\"n\",operation=\"backup\"} 1099511627776");
	has(f, "vdi_last_run_wait_seconds{set=\"n\",operation=\"backup\",side=\"database\"} 1.250");
	has(f, "vdi_last_run_wait_seconds{set=\"n\",operation=\"backup\",side=\"appliance\"} 3.000");
	has(f, "# TYPE vdi_last_run_wait_seconds gauge");
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
}

static void success_is_kept_after_failures(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, "n", EXIT_FAILED, 900), EXIT_OK);
	has(f, "vdi_last_run_exit_code{set=\"n\",operation=\"backup\"} 1");
	has(f, "vdi_last_success_timestamp_seconds{set=\"n\",operation=\"backup\"} 0");
	assert_int_equal(run(f, "n", EXIT_OK, 1000), EXIT_OK);
	assert_int_equal(run(f, "n", EXIT_ABORTED, 2000), EXIT_OK);
	assert_int_equal(run(f, "n", EXIT_TIMED_OUT, 3000), EXIT_OK);
	has(f, "vdi_last_success_timestamp_seconds{set=\"n\",operation=\"backup\"} 1000");
	has(f, "vdi_last_run_timestamp_seconds{set=\"n\",operation=\"backup\"} 3000");
	assert_int_equal(run(f, "n", EXIT_OK, 4000), EXIT_OK);
	has(f, "vdi_last_success_timestamp_seconds{set=\"n\",operation=\"backup\"} 4000");
}

static void labels_are_escaped(void **state)
{
	static const char set[] = "a\"b\\c\ne}\xff\xc3\xbc";
	struct fixture *f = *state;

	assert_int_equal(run(f, set, EXIT_OK, 1000), EXIT_OK);
	has(f, "vdi_last_run_exit_code{set=\"a\\\"b\\\\c\\ne}\xef\xbf\xbd\xc3\xbc\",operation=\"backup\"} 0");
	assert_int_equal(run(f, set, EXIT_FAILED, 2000), EXIT_OK);
	has(f, "vdi_last_success_timestamp_seconds{set=\"a\\\"b\\\\c\\ne}\xef\xbf\xbd\xc3\xbc\",operation=\"backup\"} 1000");
}

static void other_files_are_not_replaced(void **state)
{
	struct fixture *f = *state;
	struct vdi_metrics metrics;

	assert_int_equal(run(f, "n", EXIT_OK, 1000), EXIT_OK);
	assert_int_equal(run(f, "m", EXIT_OK, 2000), EXIT_FAILED);
	has(f, "vdi_last_run_timestamp_seconds{set=\"n\",operation=\"backup\"} 1000");
	assert_int_equal(vdi_metrics_open(&metrics, f->path, "n", "restore"),
			 EXIT_FAILED);
	/* no file is written after that */
	assert_null(metrics.path);
	write_text(f, "root:x:0:0:\n");
	assert_int_equal(run(f, "n", EXIT_OK, 3000), EXIT_FAILED);
	read_text(f);
	assert_string_equal(f->text, "root:x:0:0:\n");
	write_text(f, "");
	assert_int_equal(run(f, "n", EXIT_OK, 4000), EXIT_OK);
}

/* The set of a backup that cannot be read is not known. */
static void unknown_set(void **state)
{
	struct fixture *f = *state;
	struct vdi_metrics metrics;
	struct vdi_metrics_run how = {
		.operation = "verify", .set = "n", .ended = 1000
	};

	assert_int_equal(vdi_metrics_open(&metrics, f->path, NULL, "verify"),
			 EXIT_OK);
	assert_true(vdi_metrics_write(&metrics, &how));
	vdi_metrics_close(&metrics);
	how = (struct vdi_metrics_run){
		.operation = "verify", .ended = 2000, .exit_code = EXIT_DAMAGED
	};
	assert_int_equal(vdi_metrics_open(&metrics, f->path, NULL, "verify"),
			 EXIT_OK);
	assert_true(vdi_metrics_write(&metrics, &how));
	vdi_metrics_close(&metrics);
	has(f, "vdi_last_run_exit_code{set=\"n\",operation=\"verify\"} 5");
	has(f, "vdi_last_success_timestamp_seconds{set=\"n\",operation=\"verify\"} 1000");
	assert_null(strstr(f->text, "wait"));
	assert_int_equal(vdi_metrics_open(&metrics, f->path, NULL, "backup"),
			 EXIT_FAILED);
}

static void unwritable(void **state)
{
	struct fixture *f = *state;
	struct vdi_metrics metrics;

	assert_int_equal(vdi_metrics_open(&metrics, "/no directory/f.prom", "n",
					  "backup"), EXIT_FAILED);
	assert_int_equal(vdi_metrics_open(&metrics, f->dir, "n", "backup"),
			 EXIT_FAILED);
	assert_int_equal(vdi_metrics_open(&metrics, "/dev/null", "n", "backup"),
			 EXIT_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_values, setup, teardown),
		cmocka_unit_test_setup_teardown(success_is_kept_after_failures,
						setup, teardown),
		cmocka_unit_test_setup_teardown(labels_are_escaped, setup, teardown),
		cmocka_unit_test_setup_teardown(other_files_are_not_replaced,
						setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_set, setup, teardown),
		cmocka_unit_test_setup_teardown(unwritable, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
