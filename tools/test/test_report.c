// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_report.c - events as JSON lines, a reader that does not read, and the pace
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/report.h"

static const struct vdi_figures two_devices = {
	.count = 2,
	.device = {
		{ .name = "a \"b\"", .bytes = 10, .commands = 2,
		  .database_waited_ns = 1500000000 },
		{ .name = "\xff", .bytes = 20, .commands = 3,
		  .appliance_waited_ns = 250000000 },
	},
	.waits_known = true,
	.bytes = 30,
	.total = 40,
};

struct fixture {
	struct vdi_report report;
	int in;			/* read end of the pipe that is written to */
	char text[1 << 20];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(vdi_report_open(&f->report, NULL, "backup"), EXIT_OK);
	f->report.set = "s";
	f->report.fd = fds[1];
	f->in = fds[0];
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->in);
	free(f);
	return 0;
}

static void read_all(struct fixture *f)
{
	size_t used = 0;
	ssize_t n;

	fcntl(f->in, F_SETFL, O_NONBLOCK);
	while ((n = read(f->in, f->text + used, sizeof(f->text) - 1 - used)) > 0)
		used += n;
	f->text[used] = '\0';
}

static struct json_object *take_line(char **text)
{
	char *line = strsep(text, "\n");
	struct json_object *object = json_tokener_parse(line);

	assert_non_null(object);
	return object;
}

static const char *value(struct json_object *object, const char *key)
{
	struct json_object *member;

	if (!json_object_object_get_ex(object, key, &member))
		return "missing";
	return json_object_get_string(member);
}

static void end(struct vdi_report *report, int exit_code, const char *message)
{
	struct vdi_report_end how = {
		.exit_code = exit_code,
		.message = message,
		.seconds = 1.5,
		.figures = &two_devices,
	};

	vdi_report_end(report, &how);
}

static void status_and_summary(void **state)
{
	struct fixture *f = *state;
	struct json_object *object, *device;
	char *at = f->text;

	vdi_report_status(&f->report, "transfer", &two_devices);
	f->report.directory = "/b\xfe";
	end(&f->report, EXIT_OK, NULL);
	assert_int_equal(f->report.fd, -1);
	read_all(f);
	object = take_line(&at);
	assert_string_equal(value(object, "message_type"), "status");
	assert_string_equal(value(object, "operation"), "backup");
	assert_string_equal(value(object, "set"), "s");
	assert_string_equal(value(object, "phase"), "transfer");
	assert_string_equal(value(object, "bytes_done"), "30");
	assert_string_equal(value(object, "total_bytes"), "40");
	assert_string_equal(value(object, "percent_done"), "75");
	/* the first status has no rate */
	assert_string_equal(value(object, "seconds_remaining"), "missing");
	assert_true(json_object_object_get_ex(object, "devices", &device));
	device = json_object_array_get_idx(device, 0);
	assert_string_equal(value(device, "name"), "a \"b\"");
	assert_string_equal(value(device, "database_waited_ms"), "1500");
	json_object_put(object);
	object = take_line(&at);
	assert_string_equal(value(object, "message_type"), "summary");
	assert_string_equal(value(object, "exit_code"), "0");
	assert_string_equal(value(object, "directory_hex"), "2f62fe");
	assert_string_equal(value(object, "duration_seconds"), "1.500");
	assert_string_equal(value(object, "database_waited_seconds"), "1.500");
	assert_string_equal(value(object, "appliance_waited_seconds"), "0.250");
	assert_string_equal(value(object, "message"), "missing");
	assert_true(json_object_object_get_ex(object, "devices", &device));
	device = json_object_array_get_idx(device, 1);
	assert_string_equal(value(device, "name_hex"), "ff");
	json_object_put(object);
	assert_string_equal(at, "");
}

static void error_is_one_line(void **state)
{
	struct fixture *f = *state;
	struct json_object *object;
	char *at = f->text;

	end(&f->report, EXIT_ABORTED, "line 1\nline 2");
	read_all(f);
	object = take_line(&at);
	assert_string_equal(value(object, "message_type"), "error");
	assert_string_equal(value(object, "message"), "line 1\nline 2");
	assert_string_equal(value(object, "exit_code"), "3");
	json_object_put(object);
	assert_string_equal(at, "");
}

/* Many more bytes than the pipe holds: status objects are dropped as a whole. */
static void busy_reader_loses_whole_lines(void **state)
{
	struct fixture *f = *state;
	struct json_object *object;
	unsigned int i, lines = 0;
	char *at = f->text;

	for (i = 0; i < 2000; i++)
		vdi_report_status(&f->report, "transfer", &two_devices);
	read_all(f);
	at = strrchr(f->text, '\n');
	assert_non_null(at);
	/* the rest of a line that was begun, and the last object, follow */
	at = f->text + strlen(f->text);
	end(&f->report, EXIT_OK, NULL);
	fcntl(f->in, F_SETFL, O_NONBLOCK);
	assert_true(read(f->in, at, sizeof(f->text) - 1 - strlen(f->text)) > 0);
	for (at = f->text; *at; lines++) {
		object = take_line(&at);
		if (!*at)
			assert_string_equal(value(object, "message_type"),
					    "summary");
		json_object_put(object);
	}
	assert_true(lines > 10 && lines < 2000);
}

static void closed_pipe_ends_the_report(void **state)
{
	struct fixture *f = *state;

	close(f->in);
	vdi_report_status(&f->report, "transfer", &two_devices);
	assert_int_equal(f->report.fd, -1);
	vdi_report_status(&f->report, "transfer", &two_devices);
	end(&f->report, EXIT_OK, NULL);
}

static void due_at_each_phase(void **state)
{
	struct fixture *f = *state;

	assert_true(vdi_report_due(&f->report, "waiting"));
	vdi_report_status(&f->report, "waiting", &two_devices);
	f->report.last = vdi_now() + 1000;
	assert_false(vdi_report_due(&f->report, "waiting"));
	assert_true(vdi_report_due(&f->report, "transfer"));
	f->report.last -= 2000;
	assert_true(vdi_report_due(&f->report, "waiting"));
	end(&f->report, EXIT_OK, NULL);
}

static void unwritable_file(void **state)
{
	struct vdi_report report;

	(void)state;
	assert_int_equal(vdi_report_open(&report, "/no directory/file", "backup"),
			 EXIT_FAILED);
	assert_int_equal(report.fd, -1);
}

static void rate_and_time_left(void **state)
{
	struct vdi_throughput pace;

	(void)state;
	vdi_throughput_start(&pace, 10, 0);
	assert_int_equal(vdi_throughput_left(&pace, 0, 1000), -1);
	vdi_throughput_update(&pace, 12, 200);
	assert_int_equal(pace.rate, 100);
	assert_int_equal(vdi_throughput_left(&pace, 200, 1000), 8);
	/* the average of 100 and 300 */
	vdi_throughput_update(&pace, 13, 500);
	assert_int_equal(pace.rate, 200);
	/* a count that has started again */
	vdi_throughput_update(&pace, 14, 100);
	assert_int_equal(pace.rate, 100);
	assert_int_equal(vdi_throughput_left(&pace, 1000, 1000), 0);
	assert_int_equal(vdi_throughput_left(&pace, 2000, 1000), 0);
}

static void percent(void **state)
{
	(void)state;
	assert_int_equal(vdi_percent(0, 1), 0);
	assert_int_equal(vdi_percent(999, 1000), 99);
	assert_int_equal(vdi_percent(1000, 1000), 100);
	assert_int_equal(vdi_percent(1001, 1000), 100);
	assert_int_equal(vdi_percent(UINT64_MAX - 1, UINT64_MAX), 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(status_and_summary, setup, teardown),
		cmocka_unit_test_setup_teardown(error_is_one_line, setup, teardown),
		cmocka_unit_test_setup_teardown(busy_reader_loses_whole_lines,
						setup, teardown),
		cmocka_unit_test_setup_teardown(closed_pipe_ends_the_report,
						setup, teardown),
		cmocka_unit_test_setup_teardown(due_at_each_phase, setup, teardown),
		cmocka_unit_test(unwritable_file),
		cmocka_unit_test(rate_and_time_left),
		cmocka_unit_test(percent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
