// SPDX-License-Identifier: GPL-2.0-only
/*
 * command_io.c - the data that a command reads or writes
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "command_parts.h"
#include "common/child.h"
#include "common/common.h"

#define EARLY	" before it had read all data"

/* Time for a command to terminate after it has closed its input. */
#define CLOSED_SECONDS		5
/* Time for the output of a command to end after the command has. */
#define LEFT_OPEN_SECONDS	10

/* ---------------------------------------------------------------- writing */

static enum command_result wait_writable(struct command *c)
{
	switch (command_wait(c, c->fd, POLLOUT, true, 0)) {
	case EVENT_READY:
		return COMMAND_OK;
	case EVENT_ENDED:
		return command_take_status(c, EARLY);
	default:
		return COMMAND_STOPPED;
	}
}

/* Nothing reads the pipe any more; the command probably terminates. */
static enum command_result input_closed(struct command *c)
{
	if (c->standard)
		return command_fail_errno(c, "write to", EPIPE);
	switch (command_wait(c, -1, 0, true, vdi_now() + CLOSED_SECONDS)) {
	case EVENT_ENDED:
		return command_take_status(c, EARLY);
	case EVENT_STOPPED:
		return COMMAND_STOPPED;
	default:
		return command_fail(c, "closed its input" EARLY);
	}
}

static enum command_result write_failed(struct command *c, int error)
{
	switch (error) {
	case EINTR:
		return COMMAND_OK;
	case EAGAIN:
		return wait_writable(c);
	case EPIPE:
		return input_closed(c);
	default:
		return command_fail_errno(c, "write to", error);
	}
}

/* *n: bytes written */
static enum command_result write_some(struct command *c, const void *data,
				      size_t size, size_t *n)
{
	enum command_result result;
	ssize_t done;

	*n = 0;
	if (c->poll_first) {
		result = wait_writable(c);
		if (result != COMMAND_OK)
			return result;
	}
	done = write(c->fd, data, size < c->piece ? size : c->piece);
	if (done <= 0)
		return write_failed(c, done ? errno : EIO);
	*n = done;
	return COMMAND_OK;
}

enum command_result command_write(struct command *c, const void *data,
				  size_t size)
{
	enum command_result result = COMMAND_OK;
	size_t n;

	if (c->ended) {
		snprintf(c->why, sizeof(c->why),
			 "the database has written to device '%s' after VDC_Flush, with which its command has ended",
			 c->device);
		return COMMAND_FAILED;
	}
	if (c->fd < 0)
		return COMMAND_STOPPED;
	for (; size && result == COMMAND_OK; size -= n) {
		result = write_some(c, data, size, &n);
		data = (const char *)data + n;
	}
	return result;
}

/* A pipe or a device cannot be flushed. */
static enum command_result flush_standard(struct command *c)
{
	if (!fdatasync(STDOUT_FILENO) || errno == EINVAL || errno == EROFS ||
	    errno == ENOTSUP)
		return COMMAND_OK;
	return command_fail_errno(c, "flush", errno);
}

static enum command_result wait_for_success(struct command *c, int rest)
{
	if (command_wait(c, -1, 0, true, 0) != EVENT_ENDED)
		return COMMAND_STOPPED;
	return command_take_status(c, child_input_is_unread(rest) ? EARLY : "");
}

enum command_result command_finish(struct command *c)
{
	enum command_result result;
	int rest;

	if (c->ended)
		return COMMAND_OK;
	if (c->fd < 0 || command_stopped(c))
		return COMMAND_STOPPED;
	if (c->standard)
		return flush_standard(c);
	rest = child_input_rest(c->fd);
	if (rest < 0)
		return command_fail_errno(c, "open", errno);
	command_close_data(c);
	result = wait_for_success(c, rest);
	close(rest);
	return result;
}

/* ---------------------------------------------------------------- reading */

static enum command_result wait_readable(struct command *c)
{
	enum command_event event = command_wait(c, c->fd, POLLIN, true, 0);

	/* the rest of the output is read, if no other process keeps it open */
	if (event == EVENT_ENDED)
		event = command_wait(c, c->fd, POLLIN, false,
				     vdi_now() + LEFT_OPEN_SECONDS);
	switch (event) {
	case EVENT_READY:
		return COMMAND_OK;
	case EVENT_TIMEOUT:
		return command_fail(c,
			"has ended, but a process that it started keeps its output open");
	default:
		return COMMAND_STOPPED;
	}
}

static enum command_result end_of_output(struct command *c)
{
	if (c->standard) {
		c->ended = true;
		return COMMAND_OK;
	}
	return wait_for_success(c, -1);
}

static size_t take_ahead(struct command *c, void *data, size_t size)
{
	size_t n = c->ahead_size < size ? c->ahead_size : size;

	memcpy(data, c->ahead, n);
	c->ahead_size -= n;
	memmove(c->ahead, c->ahead + n, c->ahead_size);
	return n;
}

/* Reads ahead, so that the end of the data is known with its last byte. */
static enum command_result read_some(struct command *c, char *data, size_t size,
				     size_t *done)
{
	struct iovec iov[] = {
		{ .iov_base = data, .iov_len = size },
		{ .iov_base = c->ahead, .iov_len = sizeof(c->ahead) },
	};
	enum command_result result = wait_readable(c);
	ssize_t n;

	if (result != COMMAND_OK)
		return result;
	n = readv(c->fd, iov, 2);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? COMMAND_OK :
		       command_fail_errno(c, "read from", errno);
	if (!n)
		return end_of_output(c);
	if ((size_t)n > size) {
		c->ahead_size = n - size;
		n = size;
	}
	*done += n;
	return COMMAND_OK;
}

enum command_result command_read(struct command *c, void *data, size_t size,
				 size_t *done)
{
	enum command_result result = COMMAND_OK;

	*done = take_ahead(c, data, size);
	while (result == COMMAND_OK && !c->ended && !c->ahead_size) {
		if (c->fd < 0)
			return COMMAND_STOPPED;
		result = read_some(c, (char *)data + *done, size - *done, done);
	}
	return result;
}

bool command_drained(const struct command *c)
{
	return c->ended && !c->ahead_size;
}
