// SPDX-License-Identifier: GPL-2.0-only
/*
 * report.c - events of a command for other programs, as JSON lines
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "report.h"

#define INTERVAL	1.0	/* seconds between two status objects */
#define TICK_MS		200	/* interval of checks for signals */

static void stop_reporting(struct vdi_report *report)
{
	if (!report->on_stdout)
		close(report->fd);
	report->fd = -1;
	free(report->pending);
	report->pending = NULL;
}

int vdi_report_open(struct vdi_report *report, const char *file,
		    const char *operation)
{
	*report = (struct vdi_report){
		.fd = -1,
		.operation = operation,
		.started = vdi_now(),
	};
	if (!file)
		return EXIT_OK;
	if (!*file) {
		report->fd = STDOUT_FILENO;
		report->on_stdout = true;
		return EXIT_OK;
	}
	report->fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (report->fd >= 0)
		return EXIT_OK;
	vdi_error("--json: cannot open %s: %s", file, strerror(errno));
	return vdi_signal_received() ? EXIT_INTERRUPTED : EXIT_FAILED;
}

FILE *vdi_report_text(const struct vdi_report *report)
{
	return report->on_stdout ? stderr : stdout;
}

/* ----------------------------------------------------------------- output */

/*
 * poll(2) reports a pipe as writable if it has room for PIPE_BUF bytes, and then a
 * write(2) of so many bytes does not block. False: the reader is gone, or busy.
 */
static bool write_pending(struct vdi_report *report, int timeout_ms)
{
	struct pollfd fds = { .fd = report->fd, .events = POLLOUT };
	ssize_t n;

	if (poll(&fds, 1, timeout_ms) <= 0)
		return false;
	n = report->pending_size;
	n = write(report->fd, report->pending, n < PIPE_BUF ? n : PIPE_BUF);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	if (n < 0) {
		vdi_error("warning: --json: cannot write: %s; no more events are written",
			  strerror(errno));
		stop_reporting(report);
		return false;
	}
	report->pending_size -= n;
	memmove(report->pending, report->pending + n, report->pending_size);
	return true;
}

static void flush_pending(struct vdi_report *report)
{
	while (report->fd >= 0 && report->pending_size) {
		if (!write_pending(report, 0))
			break;
	}
}

/* A signal that arrives meanwhile ends the wait. */
static void wait_pending(struct vdi_report *report)
{
	unsigned int signals = vdi_signal_pending();

	while (report->fd >= 0 && report->pending_size &&
	       vdi_signal_pending() == signals)
		write_pending(report, TICK_MS);
}

static void append_line(struct vdi_report *report, const char *text)
{
	size_t size = strlen(text);
	char *all = realloc(report->pending, report->pending_size + size + 1);

	if (!all) {
		vdi_error("warning: --json: out of memory");
		return;
	}
	memcpy(all + report->pending_size, text, size);
	all[report->pending_size + size] = '\n';
	report->pending = all;
	report->pending_size += size + 1;
}

void vdi_report_object(struct vdi_report *report, struct json_object *object,
		       bool required)
{
	const char *text = NULL;

	flush_pending(report);
	/* a line that was begun is completed before another one begins */
	if (report->fd >= 0 && object && (required || !report->pending_size))
		text = json_object_to_json_string_ext(object,
				JSON_C_TO_STRING_PLAIN |
				JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text)
		append_line(report, text);
	json_object_put(object);
	if (required)
		wait_pending(report);
	else
		flush_pending(report);
}

/* ---------------------------------------------------------------- objects */

static void add_number(struct json_object *object, const char *key,
		       uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

/* Seconds to three digits: a shorter line, and more would not be exact. */
static void add_seconds(struct json_object *object, const char *key,
			double value)
{
	char text[40];

	snprintf(text, sizeof(text), "%.3f", value > 0 ? value : 0);
	json_object_object_add(object, key,
			       json_object_new_double_s(value, text));
}

static void add_name(struct json_object *object, const char *key,
		     const char *name)
{
	if (name)
		vdi_json_add_name(object, key, name);
}

static struct json_object *begin(const struct vdi_report *report,
				 const char *type)
{
	struct json_object *object = json_object_new_object();

	add_name(object, "message_type", type);
	add_name(object, "operation", report->operation);
	add_name(object, "set", report->set);
	return object;
}

static struct json_object *device_object(const struct vdi_figures *figures,
					 unsigned int i)
{
	const struct vdi_device_figures *device = &figures->device[i];
	struct json_object *object = json_object_new_object();

	add_name(object, "name", device->name);
	add_number(object, "bytes", device->bytes);
	if (!figures->waits_known)
		return object;
	add_number(object, "commands", device->commands);
	add_number(object, "database_waited_ms",
		   device->database_waited_ns / 1000000);
	add_number(object, "appliance_waited_ms",
		   device->appliance_waited_ns / 1000000);
	return object;
}

static void add_devices(struct json_object *object,
			const struct vdi_figures *figures)
{
	struct json_object *array = json_object_new_array();
	unsigned int i;

	for (i = 0; i < figures->count; i++)
		json_object_array_add(array, device_object(figures, i));
	json_object_object_add(object, "devices", array);
}

static void add_total(struct json_object *object, struct vdi_report *report,
		      const struct vdi_figures *figures)
{
	double left;

	if (!figures->total)
		return;
	add_number(object, "total_bytes", figures->total);
	json_object_object_add(object, "percent_done",
			       json_object_new_int(vdi_percent(figures->bytes,
							       figures->total)));
	left = vdi_throughput_left(&report->pace, figures->bytes, figures->total);
	if (left >= 0)
		add_number(object, "seconds_remaining", left + 0.5);
}

bool vdi_report_due(const struct vdi_report *report, const char *phase)
{
	return report->fd >= 0 && (!report->phase ||
				   strcmp(report->phase, phase) ||
				   vdi_now() - report->last >= INTERVAL);
}

void vdi_report_status(struct vdi_report *report, const char *phase,
		       const struct vdi_figures *figures)
{
	struct json_object *object;
	double now = vdi_now();

	if (report->fd < 0)
		return;
	if (!report->phase || strcmp(report->phase, phase))
		vdi_throughput_start(&report->pace, now, figures->bytes);
	else
		vdi_throughput_update(&report->pace, now, figures->bytes);
	report->phase = phase;
	report->last = now;
	object = begin(report, "status");
	add_name(object, "phase", phase);
	add_seconds(object, "seconds_elapsed", now - report->started);
	add_number(object, "bytes_done", figures->bytes);
	add_number(object, "bytes_per_second", report->pace.rate);
	add_total(object, report, figures);
	add_devices(object, figures);
	vdi_report_object(report, object, false);
}

static void add_figures(struct json_object *object,
			const struct vdi_figures *figures)
{
	if (!figures)
		return;
	add_number(object, "bytes_done", figures->bytes);
	if (figures->waits_known) {
		add_seconds(object, "database_waited_seconds",
			    vdi_figures_database_waited(figures));
		add_seconds(object, "appliance_waited_seconds",
			    vdi_figures_appliance_waited(figures));
	}
	add_devices(object, figures);
}

void vdi_report_end(struct vdi_report *report,
		    const struct vdi_report_end *end)
{
	bool ok = end->exit_code == EXIT_OK;
	struct json_object *object;

	if (report->fd < 0)
		return;
	object = begin(report, ok ? "summary" : "error");
	add_name(object, "directory", report->directory);
	if (!ok)
		add_name(object, "message", end->message);
	json_object_object_add(object, "exit_code",
			       json_object_new_int(end->exit_code));
	add_seconds(object, "seconds_elapsed", vdi_now() - report->started);
	add_seconds(object, "duration_seconds", end->seconds);
	add_figures(object, end->figures);
	vdi_report_object(report, object, true);
	if (report->fd >= 0)
		stop_reporting(report);
}
