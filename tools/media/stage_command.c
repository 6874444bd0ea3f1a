// SPDX-License-Identifier: GPL-2.0-only
/*
 * stage_command.c - the stage that is a command of the user
 *
 * The data passes through standard input and output of the command, which the shell
 * runs. The thread of the drive serves both pipes, so that neither side waits for the
 * other. What the command did counts only after it has ended with exit status 0, and
 * after it has read all of its input.
 *
 * Messages name the option and not the command, which may contain a passphrase and
 * would be seen by the other side of the set.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/child.h"
#include "common/child_errors.h"
#include "stage.h"

#define PIECE		(256U << 10)
#define PIPE_SIZE	(1 << 20)
#define POLL_MS		100	/* interval of checks for a stop */
#define PATIENCE	5	/* seconds from SIGTERM to SIGKILL */
/* Time for the output of a command to go on after the command has ended. */
#define LEFT_OPEN_SECONDS	10

struct command {
	struct stage stage;
	pid_t pid;		/* 0 = reaped */
	struct child_errors *errors;
	int in, out;		/* our ends of the pipes; -1 = closed */
	int rest;		/* writing: of its input, at the end; -1 = none */
	bool cut;		/* the command did not read all of its input */
	double open_until;	/* the command has ended, but not its output; 0 = no */
	bool left_open;		/* until then */
	bool output_ended;
	bool succeeded;
	bool source_ended;	/* reading */
	size_t used, at;	/* reading: of the input to be written */
	uint8_t data[PIECE];	/* reading: its input; writing: its output */
};

static const char *option(const struct command *c)
{
	return c->stage.drive->config.writing ? "--filter" : "--unfilter";
}

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ------------------------------------------------------------ start and end */

static bool open_pipe(int fds[2], int ours)
{
	if (pipe2(fds, O_CLOEXEC))
		return false;
	/* of this end only: the command expects a blocking one */
	fcntl(fds[ours], F_SETFL, O_NONBLOCK);
	fcntl(fds[ours], F_SETPIPE_SZ, PIPE_SIZE);
	return true;
}

static bool spawn(struct command *c, const char *text)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err = -1, saved;
	char *argv[] = { "sh", "-c", (char *)text, NULL };
	struct child_files files;

	c->errors = child_errors_start(&err);
	if (c->errors && open_pipe(in, 1) && open_pipe(out, 0)) {
		files = (struct child_files){
			.in = in[0], .out = out[1], .err = err,
		};
		c->pid = child_spawn("/bin/sh", argv, &files, environ);
	}
	saved = errno;
	c->in = in[1];
	c->out = out[0];
	shut(&in[0]);
	shut(&out[1]);
	shut(&err);
	errno = saved;
	return c->pid > 0;
}

static bool hurry(void *argument)
{
	(void)argument;
	return vdi_signal_pending() > 1;
}

/* Ends what is left of the command; *why receives the end of its messages. */
static void reap(struct command *c, double patience, char *why, size_t size)
{
	shut(&c->in);
	shut(&c->out);
	shut(&c->rest);
	if (c->pid > 0)
		child_stop(c->pid, patience, hurry, NULL);
	c->pid = 0;
	if (c->errors)
		child_errors_end(c->errors, why, size);
	c->errors = NULL;
}

/* A number of 0 is not printed. */
static bool failed(struct command *c, const char *what, int number,
		   const char *why)
{
	struct drive *d = c->stage.drive;

	drive_trouble(d, DRIVE_FAILED, "the command of %s for %s %s%.0d%s%s",
		      option(c), drive_medium_name(d), what, number,
		      *why ? ": " : "", why);
	return false;
}

/* The command has ended: did it succeed? */
static bool check_status(struct command *c)
{
	int status = W_EXITCODE(0, SIGKILL);
	char why[256] = "";

	child_status(c->pid, &status);
	if (child_input_is_unread(c->rest))
		c->cut = true;
	reap(c, 0, why, sizeof(why));
	if (WIFSIGNALED(status))
		return failed(c, "was killed by signal ", WTERMSIG(status), why);
	if (WEXITSTATUS(status))
		return failed(c, "ended with exit code ", WEXITSTATUS(status),
			      why);
	if (c->cut)
		return failed(c, "did not read all of its input", 0, why);
	if (c->left_open)
		return failed(c, "has ended, but a process that it started keeps its output open",
			      0, why);
	c->succeeded = true;
	return true;
}

static bool wait_for_end(struct command *c)
{
	static const struct timespec tick = { .tv_nsec = 5000000 };

	while (!child_ended(c->pid)) {
		if (stage_stopped(&c->stage))
			return false;
		nanosleep(&tick, NULL);
	}
	return check_status(c);
}

/* ------------------------------------------------------------------- pipes */

/* Wait until one of the pipes is ready. */
static bool wait_for_pipes(struct command *c, bool writes)
{
	struct pollfd fds[] = {
		{ .fd = c->output_ended ? -1 : c->out, .events = POLLIN },
		{ .fd = writes ? c->in : -1, .events = POLLOUT },
	};

	poll(fds, 2, POLL_MS);
	return !stage_stopped(&c->stage);
}

/*
 * A process that the command has left behind keeps the pipe open. It may write the rest
 * of the output; one that does not is not waited for.
 */
static bool is_left_open(struct command *c)
{
	double now = vdi_now();

	if (!c->open_until)
		c->open_until = now + LEFT_OPEN_SECONDS;
	c->left_open = now >= c->open_until;
	return c->left_open;
}

/* Read some output. Returns 0 if there is none now. */
static size_t read_output(struct command *c, void *data, size_t size)
{
	bool had_ended = child_ended(c->pid);
	ssize_t n;

	if (c->output_ended)
		return 0;
	do
		n = read(c->out, data, size);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		c->open_until = 0;
		return n;
	}
	c->output_ended = n == 0 || errno != EAGAIN || (had_ended && is_left_open(c));
	return 0;
}

/* Returns how many bytes the command took; if it takes no more, c->in is closed. */
static size_t write_input(struct command *c, const void *data, size_t size)
{
	ssize_t n;

	do
		n = write(c->in, data, size);
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		c->open_until = 0;
		return n;
	}
	if (errno != EAGAIN) {
		c->cut = true;
		shut(&c->in);
	}
	return 0;
}

/* ----------------------------------------------------------------- writing */

/* Pass on the output that there is. */
static bool drain(struct command *c)
{
	struct stage *next = c->stage.next;
	size_t n;

	while ((n = read_output(c, c->data, PIECE))) {
		if (!next->ops->push(next, c->data, n))
			return false;
	}
	return true;
}

static bool finish(struct command *c)
{
	if (c->in >= 0)
		c->rest = child_input_rest(c->in);
	shut(&c->in);
	while (!c->output_ended) {
		if (!drain(c))
			return false;
		if (!c->output_ended && !wait_for_pipes(c, false))
			return false;
	}
	return wait_for_end(c);
}

static bool command_push(struct stage *s, const void *data, size_t size)
{
	struct command *c = (struct command *)s;

	while (size) {
		size_t n = write_input(c, data, size);

		data = (const uint8_t *)data + n;
		size -= n;
		/* the command reports why, and in any case this is a failure */
		if (c->cut || c->left_open) {
			finish(c);
			return false;
		}
		if (!drain(c) || (size && !n && !wait_for_pipes(c, true)))
			return false;
	}
	return true;
}

static bool command_flush(struct stage *s)
{
	return drain((struct command *)s) && s->next->ops->flush(s->next);
}

static bool command_end(struct stage *s)
{
	return finish((struct command *)s) && s->next->ops->end(s->next);
}

/* ----------------------------------------------------------------- reading */

static bool fetch(struct command *c)
{
	struct stage *next = c->stage.next;

	c->at = 0;
	if (!next->ops->pull(next, c->data, PIECE, &c->used))
		return false;
	c->source_ended = c->used < PIECE;
	return true;
}

/* Write input, as much as the command takes now. */
static bool feed(struct command *c)
{
	if (c->in < 0)
		return true;
	if (c->at == c->used && !c->source_ended && !fetch(c))
		return false;
	if (c->at < c->used)
		c->at += write_input(c, c->data + c->at, c->used - c->at);
	if (c->at == c->used && c->source_ended)
		shut(&c->in);
	return true;
}

/* The command may know the end of the data before it has read the end of the file. */
static bool ended(struct command *c)
{
	if (c->succeeded)
		return true;
	if (c->in >= 0 && !c->source_ended && c->at == c->used && !fetch(c))
		return false;
	if (c->at < c->used)
		c->cut = true;
	shut(&c->in);
	if (!stage_blames_itself(&c->stage))
		return false;
	return wait_for_end(c);
}

static bool command_pull(struct stage *s, void *data, size_t size,
			 size_t *done)
{
	struct command *c = (struct command *)s;

	*done = 0;
	while (*done < size && !c->succeeded) {
		size_t n = read_output(c, (uint8_t *)data + *done, size - *done);

		*done += n;
		if (c->output_ended)
			return ended(c);
		if (!n && !feed(c))
			return false;
		if (!n && !wait_for_pipes(c, c->in >= 0))
			return false;
	}
	return true;
}

static void command_free(struct stage *s)
{
	struct command *c = (struct command *)s;

	reap(c, PATIENCE, NULL, 0);
	free(c);
}

static const struct stage_ops ops = {
	.push = command_push,
	.flush = command_flush,
	.end = command_end,
	.pull = command_pull,
	.free = command_free,
};

struct stage *stage_command(struct drive *d, const char *command,
			    struct stage *next)
{
	struct command *c = calloc(1, sizeof(*c));
	int error = ENOMEM;

	if (c) {
		c->stage = (struct stage){ .ops = &ops, .drive = d, .next = next };
		c->in = -1;
		c->out = -1;
		c->rest = -1;
		if (spawn(c, command))
			return &c->stage;
		error = errno;
		c->pid = 0;
		command_free(&c->stage);
	}
	drive_failed(d, "start the filter of", error);
	return NULL;
}
