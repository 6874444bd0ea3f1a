// SPDX-License-Identifier: GPL-2.0-only
/*
 * partner.c - the database's side of a set, started by vdi backup or vdi restore
 *
 * It is a process of its own, because a process can join a set only once, and because
 * the death of one side has to be noticed by the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "appliance.h"
#include "common/child.h"

/*
 * Time for the database's side to end after the set was closed. It waits up to 30 s
 * for commands of the client, and 10 s for its command to terminate.
 */
#define PATIENCE_SECONDS	60
#define KILL_SECONDS		10

/* The arguments of vdi serve; the last NULL ends the array. */
#define MAX_ARGUMENTS		(20 + 2 * VDI_MAX_DEVICES)

struct arguments {
	const char **argv;
	unsigned int count;
};

static void add(struct arguments *args, const char *word)
{
	args->argv[args->count++] = word;
}

static void add_option(struct arguments *args, const char *option,
		       const char *value)
{
	add(args, option);
	add(args, value);
}

static void add_command(struct arguments *args, char *const *command)
{
	add(args, "--");
	while (*command)
		add(args, *command++);
	add(args, NULL);
}

/* 0 or a negative errno. */
static int spawn(struct appliance *a, const char **argv)
{
	/* standard output is that of the command of a restore */
	static const struct child_files files = {
		.in = -1, .out = STDOUT_FILENO, .err = STDERR_FILENO
	};

	a->partner.pid = child_spawn("/proc/self/exe", (char *const *)argv,
				     &files, environ);
	if (a->partner.pid > 0)
		return 0;
	a->partner.pid = 0;
	return -errno;
}

static int start(struct appliance *a, int report)
{
	struct partner *p = &a->partner;
	struct arguments args = { .count = 0 };
	char number[12], size[12];
	unsigned int i;
	int err;

	for (i = 0; p->command[i]; i++)
		;
	args.argv = calloc(MAX_ARGUMENTS + i, sizeof(*args.argv));
	if (!args.argv)
		return -ENOMEM;
	snprintf(number, sizeof(number), "%d", report);
	snprintf(size, sizeof(size), "%u", p->block_size);
	add_option(&args, "vdi", "serve");
	add_option(&args, a->ops->verb, a->names.set);
	add_option(&args, "--report-fd", number);
	add(&args, "--quiet");
	if (a->instance)
		add_option(&args, "--instance", a->instance);
	for (i = 0; i < a->names.given; i++)
		add_option(&args, "--device", a->names.given_name[i]);
	if (p->block_size)
		add_option(&args, "--block-size", size);
	if (p->allow_empty)
		add(&args, "--allow-empty");
	add_command(&args, p->command);
	err = spawn(a, args.argv);
	free(args.argv);
	return err;
}

bool partner_start(struct appliance *a)
{
	struct partner *p = &a->partner;
	int fds[2], err;

	if (!p->command)
		return true;
	/* the processes of a killed vdi serve become children of this one */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (pipe2(fds, O_CLOEXEC)) {
		appliance_fail(a, EXIT_FAILED, "cannot create a pipe: %s",
			       strerror(errno));
		return false;
	}
	p->report = fds[0];
	/* inherited by the child; no other process is started meanwhile */
	fcntl(fds[1], F_SETFD, 0);
	err = start(a, fds[1]);
	close(fds[1]);
	if (err)
		appliance_fail(a, EXIT_FAILED,
			       "cannot start the database's side: %s",
			       strerror(-err));
	return !err;
}

/* What a side that has terminated has reported. */
struct report {
	pid_t command;		/* 0 = it was not started */
	int exit_code;
	bool by_client;
	char message[1024];
};

static int exit_code_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

static void describe_status(int status, char *buf, size_t size)
{
	if (WIFEXITED(status))
		snprintf(buf, size, "the database's side ended with exit code %d",
			 WEXITSTATUS(status));
	else
		snprintf(buf, size, "the database's side was killed by signal %d",
			 WTERMSIG(status));
}

static void read_report(struct partner *p, int status, struct report *report)
{
	char text[sizeof(report->message) + 64], side[8], *line = text;
	ssize_t n = read(p->report, text, sizeof(text) - 1);
	int at = 0;

	text[n > 0 ? n : 0] = '\0';
	report->command = 0;
	if (sscanf(line, "command %d\n%n", &report->command, &at) == 1)
		line += at;
	line[strcspn(line, "\n")] = '\0';
	at = 0;
	if (sscanf(line, "%d %7s %n", &report->exit_code, side, &at) == 2 && at) {
		report->by_client = !strcmp(side, "client");
		snprintf(report->message, sizeof(report->message), "%s",
			 line + at);
		return;
	}
	report->exit_code = exit_code_of(status);
	report->by_client = false;
	describe_status(status, report->message, sizeof(report->message));
}

bool partner_is_gone(struct appliance *a)
{
	struct report report;
	int status;

	if (!a->partner.pid || !child_status(a->partner.pid, &status))
		return false;
	read_report(&a->partner, status, &report);
	appliance_fail(a, report.exit_code ? : EXIT_FAILED, "%s",
		       report.message);
	return true;
}

static bool hurry(void *context)
{
	(void)context;
	return vdi_signal_pending() > 1;
}

/* Returns the status as of wait(2). */
static int wait_for_end(struct partner *p)
{
	const struct timespec tick = { .tv_nsec = 20000000 };
	double until = vdi_now() + PATIENCE_SECONDS;
	int status;

	while (!child_status(p->pid, &status)) {
		if (vdi_now() > until || hurry(NULL)) {
			child_stop(p->pid, KILL_SECONDS, hurry, NULL);
			return W_EXITCODE(0, SIGKILL);
		}
		nanosleep(&tick, NULL);
	}
	child_wait(p->pid);
	return status;
}

/*
 * The set was aborted or closed, so a side that has joined it ends by itself. One
 * that still waits for it is told to end.
 */
void partner_end(struct appliance *a)
{
	struct partner *p = &a->partner;
	bool told = a->exit_code != EXIT_OK && !a->joined;
	struct report report;
	int status;

	if (!p->pid)
		return;
	if (told)
		kill(p->pid, SIGTERM);
	status = wait_for_end(p);
	p->pid = 0;
	if (status) {
		read_report(p, status, &report);
		/* a killed vdi serve has left its command to this process */
		if (child_is_left(report.command))
			child_stop(report.command, KILL_SECONDS, hurry, NULL);
		if (!told && (a->exit_code == EXIT_OK || !report.by_client))
			appliance_replace_failure(a, report.exit_code,
						  report.message);
	}
	close(p->report);
}
