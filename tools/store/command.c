// SPDX-License-Identifier: GPL-2.0-only
/*
 * command.c - start a command, wait for it, and end it
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command_parts.h"
#include "common/child.h"
#include "common/child_errors.h"
#include "common/common.h"

#define TICK_MS		200	/* interval of checks for signals */
#define PATIENCE	5	/* seconds from SIGTERM to SIGKILL */
#define PIPE_SIZE	(1 << 20)	/* fewer switches between the processes */
#define MAX_PIECE	(1 << 20)	/* of a write that cannot be interrupted */

/* --------------------------------------------------------------- waiting */

bool command_stopped(const struct command *c)
{
	return c->stop && c->stop(c->stop_context);
}

static int wait_ms(double until)
{
	double left = (until - vdi_now()) * 1000;

	if (!until || left > TICK_MS)
		return TICK_MS;
	return left > 0 ? left + 1 : 0;
}

enum command_event command_wait(struct command *c, int fd, short events,
				bool for_end, double until)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = events },
		{ .fd = for_end ? c->pidfd : -1, .events = POLLIN },
		{ .fd = c->watch },
	};

	for (;;) {
		if (command_stopped(c))
			return EVENT_STOPPED;
		if (poll(fds, 3, wait_ms(until)) < 0)
			continue;
		if (fds[0].revents)
			return EVENT_READY;
		if (fds[1].revents)
			return EVENT_ENDED;
		/* not an abort: only the interval is left */
		if (fds[2].revents && !command_stopped(c))
			fds[2].fd = -1;
		if (until && vdi_now() >= until)
			return EVENT_TIMEOUT;
	}
}

void command_watch(struct command *c, int fd)
{
	c->watch = fd;
}

/* ----------------------------------------------------------------- ending */

/* A second signal, if the first one has aborted the set. */
static bool hurry(void *signals)
{
	return vdi_signal_pending() > *(unsigned int *)signals;
}

void command_close_data(struct command *c)
{
	guard_end(&c->guard);
	if (c->fd >= 0 && c->own_fd)
		close(c->fd);
	c->fd = -1;
}

static void end_errors(struct command *c, char *buf, size_t size)
{
	if (c->errors)
		child_errors_end(c->errors, buf, size);
	c->errors = NULL;
}

/* The input is closed last, see command.h. */
static void kill_command(struct command *c, char *last, size_t size)
{
	unsigned int signals = vdi_signal_pending() ? 1 : 0;

	if (c->pid)
		child_stop(c->pid, PATIENCE, hurry, &signals);
	c->pid = 0;
	command_close_data(c);
	end_errors(c, last, size);
}

void command_kill(struct command *c)
{
	kill_command(c, NULL, 0);
}

enum command_result command_fail(struct command *c, const char *what)
{
	char last[256] = "";

	kill_command(c, last, sizeof(last));
	snprintf(c->why, sizeof(c->why), "the command of device '%.64s' %.100s%s%s",
		 c->device, what, *last ? "; its last messages: " : "", last);
	return COMMAND_FAILED;
}

enum command_result command_fail_errno(struct command *c, const char *doing,
				       int error)
{
	const char *of = c->writing ? "output" : "input";

	kill_command(c, NULL, 0);
	if (c->standard)
		snprintf(c->why, sizeof(c->why), "cannot %s standard %s: %s",
			 doing, of, strerror(error));
	else
		snprintf(c->why, sizeof(c->why),
			 "cannot %s the pipe of the command of device '%s': %s",
			 doing, c->device, strerror(error));
	return COMMAND_FAILED;
}

enum command_result command_take_status(struct command *c, const char *when)
{
	char what[100];
	int status;

	if (!child_status(c->pid, &status))
		return command_fail(c, "is not a child of this process any more");
	if (WIFSIGNALED(status)) {
		snprintf(what, sizeof(what), "was killed by signal %d (%s)%s",
			 WTERMSIG(status), strsignal(WTERMSIG(status)), when);
		return command_fail(c, what);
	}
	if (status || *when) {
		snprintf(what, sizeof(what), "ended with exit code %d%s",
			 WEXITSTATUS(status), when);
		return command_fail(c, what);
	}
	child_wait(c->pid);
	c->pid = 0;
	command_close_data(c);
	end_errors(c, NULL, 0);
	c->ended = true;
	return COMMAND_OK;
}

const char *command_why(const struct command *c)
{
	return c->why;
}

void command_close(struct command *c)
{
	if (!c)
		return;
	command_kill(c);
	if (c->pidfd >= 0)
		close(c->pidfd);
	free(c->device);
	free(c);
}

/* --------------------------------------------------------------- starting */

/*
 * Another process may use the standard file as well, so its flags are not changed. A
 * pipe is opened once more. If that is not possible, pieces are written that poll(2)
 * guarantees not to block.
 */
static void use_standard_output(struct command *c)
{
	struct stat st;
	int fd;

	c->poll_first = true;
	c->piece = MAX_PIECE;
	if (fstat(c->fd, &st) || (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode)))
		return;
	c->piece = PIPE_BUF;
	fd = S_ISFIFO(st.st_mode) ?
	     open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	c->fd = fd;
	c->own_fd = true;
	c->poll_first = false;
	c->piece = SSIZE_MAX;
}

/* 0 or errno. *fd is the end of the command, and is closed. */
static int spawn(struct command *c, const struct command_spec *spec, int fd)
{
	struct child_files files = { .in = spec->writing ? fd : -1 };
	char *argv[] = { "sh", "-c", (char *)spec->shell, NULL };
	int err;

	c->errors = child_errors_start(&files.err);
	if (!c->errors)
		return errno;
	/* another program may read our standard output */
	files.out = spec->writing ? files.err : fd;
	c->pid = child_spawn("/bin/sh", argv, &files, spec->environment);
	err = errno;
	close(files.err);
	if (c->pid < 0) {
		c->pid = 0;
		return err;
	}
	c->pidfd = pidfd_open(c->pid, 0);
	return c->pidfd < 0 ? errno : 0;
}

static int start(struct command *c, const struct command_spec *spec)
{
	int fds[2], err;

	if (pipe2(fds, O_CLOEXEC))
		return errno;
	c->fd = fds[spec->writing];
	c->own_fd = true;
	/* only this end: the command expects a blocking one */
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	/* fails at the limit of the user, which is no harm */
	fcntl(c->fd, F_SETPIPE_SZ, PIPE_SIZE);
	err = spawn(c, spec, fds[!spec->writing]);
	close(fds[!spec->writing]);
	if (err)
		return err;
	return guard_start(&c->guard, c->pid, spec->writing ? c->fd : -1);
}

struct command *command_open(const struct command_spec *spec, char *why,
			     size_t size)
{
	struct command *c = calloc(1, sizeof(*c));
	int err = ENOMEM;

	if (c) {
		c->writing = spec->writing;
		c->standard = !spec->shell;
		c->fd = spec->writing ? STDOUT_FILENO : STDIN_FILENO;
		c->pidfd = c->watch = -1;
		c->stop = spec->stop;
		c->stop_context = spec->stop_context;
		c->piece = SSIZE_MAX;
		c->device = strdup(spec->device);
		err = c->device ? 0 : ENOMEM;
	}
	if (!err && !c->standard)
		err = start(c, spec);
	else if (!err && c->writing)
		use_standard_output(c);
	if (!err)
		return c;
	command_close(c);
	snprintf(why, size, "cannot run /bin/sh for device '%s': %s", spec->device,
		 strerror(err));
	return NULL;
}
