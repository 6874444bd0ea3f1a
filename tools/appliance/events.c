// SPDX-License-Identifier: GPL-2.0-only
/*
 * events.c - what backup and restore report to other programs
 *
 * A report never changes the result, but a command of --on-success or a metrics file
 * that fails makes the exit code 1: the user relies on them, and the backup stays.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "appliance.h"
#include "common/child.h"

#define PATIENCE	5	/* seconds from SIGTERM to SIGKILL */

/* The outcome, as commands, metrics and report get it. */
struct outcome_text {
	int exit_code;
	double seconds;
	const char *directory;
	char message[1400];
};

int events_begin(struct appliance *a)
{
	struct events *e = &a->events;
	int rc;

	vdi_catch_signals();
	e->begun = vdi_now();
	rc = vdi_report_open(&e->report, e->json, a->ops->verb);
	e->report.set = a->names.set;
	if (rc == EXIT_OK)
		rc = vdi_metrics_open(&e->metrics, e->metrics_path,
				      a->names.set, a->ops->verb);
	return rc;
}

static void sample(struct appliance *a)
{
	struct vdi_figures *f = &a->events.figures;
	unsigned int i;

	f->count = a->count;
	vdi_figures_read(f, vdi_client_fd(a->client));
	/* of one direction only, as in the summary */
	for (i = 0; i < a->count; i++) {
		f->device[i].name = vdi_names_get(&a->names, i);
		f->device[i].bytes = a->worker[i].bytes;
		f->device[i].commands = a->worker[i].commands;
	}
	f->bytes = appliance_bytes(a);
	f->total = appliance_total(a, f->bytes);
}

void events_status(struct appliance *a, const char *phase)
{
	struct events *e = &a->events;

	if (!vdi_report_due(&e->report, phase))
		return;
	sample(a);
	vdi_report_status(&e->report, phase, &e->figures);
}

void events_last_sample(struct appliance *a)
{
	if (a->events.json || a->events.metrics_path)
		sample(a);
}

/* --------------------------------------------------------------- commands */

/* The shell runs the command; -1 with errno. */
static pid_t start(struct appliance *a, const char *command,
		   const struct outcome_text *outcome)
{
	const char *message = outcome->exit_code ? outcome->message : "";
	struct child_variables own = { 0 };

	child_variable(&own, "VDI_SET=%s", a->names.set);
	child_variable(&own, "VDI_OPERATION=%s", a->ops->verb);
	child_variable(&own, "VDI_DIR=%s", outcome->directory);
	child_variable(&own, "VDI_BYTES=%ju", (uintmax_t)appliance_bytes(a));
	child_variable(&own, "VDI_SECONDS=%.3f", outcome->seconds);
	child_variable(&own, "VDI_EXIT_CODE=%d", outcome->exit_code);
	child_variable(&own, "VDI_DEVICES=%u", a->count);
	child_variable(&own, "VDI_MESSAGE=%s", message);
	return child_start_with(command, &own);
}

static bool interrupted(void *signals)
{
	return vdi_signal_pending() != *(unsigned int *)signals;
}

/* The status as of wait(2), or -1 if a signal has ended the wait. */
static int wait_for(pid_t pid)
{
	const struct timespec tick = { .tv_nsec = 20000000 };
	unsigned int signals = vdi_signal_pending();
	int status;

	while (!child_status(pid, &status)) {
		if (interrupted(&signals)) {
			signals = vdi_signal_pending();
			child_stop(pid, PATIENCE, interrupted, &signals);
			return -1;
		}
		nanosleep(&tick, NULL);
	}
	child_wait(pid);
	return status;
}

/* An empty text: it has succeeded. Returns the exit code for a failure of it. */
static int run(struct appliance *a, const char *option, const char *command,
	       const struct outcome_text *outcome, char *why, size_t size)
{
	pid_t pid = start(a, command, outcome);
	int status;

	*why = '\0';
	if (pid < 0) {
		snprintf(why, size, "cannot run /bin/sh for %s: %s", option,
			 strerror(errno));
		return EXIT_FAILED;
	}
	status = wait_for(pid);
	if (status == -1) {
		snprintf(why, size, "the command of %s was stopped by a signal: %s",
			 option, command);
		return EXIT_INTERRUPTED;
	}
	if (WIFSIGNALED(status))
		snprintf(why, size, "the command of %s was killed by signal %d: %s",
			 option, WTERMSIG(status), command);
	else if (WEXITSTATUS(status))
		snprintf(why, size, "the command of %s ended with exit code %d: %s",
			 option, WEXITSTATUS(status), command);
	return status ? EXIT_FAILED : EXIT_OK;
}

static void run_on_success(struct appliance *a, struct outcome_text *outcome)
{
	const char *command = a->events.on_success;
	char why[1024];
	int rc;

	rc = run(a, "--on-success", command, outcome, why, sizeof(why));
	if (rc == EXIT_OK)
		return;
	outcome->exit_code = rc;
	snprintf(outcome->message, sizeof(outcome->message),
		 "the %s is complete, but %s", a->ops->verb, why);
	vdi_error("%s", outcome->message);
}

/* The exit code and the message remain those of the failure. */
static void run_on_failure(struct appliance *a, struct outcome_text *outcome)
{
	const char *command = a->events.on_failure;
	char why[1024];

	if (run(a, "--on-failure", command, outcome, why, sizeof(why)) != EXIT_OK)
		vdi_error("%s", why);
}

static void run_command(struct appliance *a, struct outcome_text *outcome)
{
	if (outcome->exit_code == EXIT_OK && a->events.on_success)
		run_on_success(a, outcome);
	else if (outcome->exit_code != EXIT_OK && a->events.on_failure)
		run_on_failure(a, outcome);
}

/* -------------------------------------------------------------------- end */

static void write_metrics(struct appliance *a, struct outcome_text *outcome)
{
	struct events *e = &a->events;
	struct vdi_metrics_run metrics = {
		.set = a->names.set,
		.operation = a->ops->verb,
		.ended = time(NULL),
		.seconds = outcome->seconds,
		.bytes = appliance_bytes(a),
		.waits_known = e->figures.waits_known,
		.database_waited = vdi_figures_database_waited(&e->figures),
		.appliance_waited = vdi_figures_appliance_waited(&e->figures),
		.exit_code = outcome->exit_code,
	};

	if (vdi_metrics_write(&e->metrics, &metrics) ||
	    outcome->exit_code != EXIT_OK)
		return;
	outcome->exit_code = EXIT_FAILED;
	snprintf(outcome->message, sizeof(outcome->message),
		 "the %s is complete, but %s cannot be written", a->ops->verb,
		 e->metrics_path);
}

static void end_report(struct appliance *a, const struct outcome_text *outcome)
{
	struct events *e = &a->events;
	struct vdi_report_end end = {
		.exit_code = outcome->exit_code,
		.message = outcome->message,
		.seconds = outcome->seconds,
		.figures = &e->figures,
	};

	e->report.directory = outcome->directory;
	vdi_report_end(&e->report, &end);
}

int events_end(struct appliance *a, int rc, const char *directory)
{
	double started = a->started ? : a->events.begun;
	struct outcome_text outcome = {
		.exit_code = rc,
		.seconds = vdi_now() - started,
		.directory = directory,
	};

	if (*a->message)
		snprintf(outcome.message, sizeof(outcome.message), "%s",
			 a->message);
	else
		vdi_first_error(outcome.message, sizeof(outcome.message));
	run_command(a, &outcome);
	write_metrics(a, &outcome);
	end_report(a, &outcome);
	vdi_metrics_close(&a->events.metrics);
	vdi_names_free(&a->names);
	return outcome.exit_code;
}
