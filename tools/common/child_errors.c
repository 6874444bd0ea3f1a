// SPDX-License-Identifier: GPL-2.0-only
/*
 * child_errors.c - the standard error of a command: passed on, and its end kept
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "child_errors.h"
#include "common.h"

#define KEPT 4096	/* bytes */
#define LINES 3		/* of an error message */

struct child_errors {
	pthread_t thread;
	int pipe;
	int stop;		/* eventfd: the command has terminated */
	size_t used;
	char kept[KEPT];	/* the last bytes */
};

static void keep(struct child_errors *e, const char *data, size_t size)
{
	size_t over;

	if (size > KEPT) {
		data += size - KEPT;
		size = KEPT;
	}
	over = e->used + size > KEPT ? e->used + size - KEPT : 0;
	memmove(e->kept, e->kept + over, e->used - over);
	e->used -= over;
	memcpy(e->kept + e->used, data, size);
	e->used += size;
}

/* Errors are ignored: the text is kept in any case. */
static void pass_on(const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(STDERR_FILENO, data, size);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			data += n;
			size -= n;
		}
	}
}

/* False: there is nothing to read now, and perhaps never. */
static bool copy_some(struct child_errors *e)
{
	char data[KEPT];
	ssize_t n = read(e->pipe, data, sizeof(data));

	if (n <= 0)
		return n < 0 && errno == EINTR;
	keep(e, data, n);
	pass_on(data, n);
	return true;
}

static void *copy(void *argument)
{
	struct child_errors *e = argument;
	struct pollfd fds[] = {
		{ .fd = e->pipe, .events = POLLIN },
		{ .fd = e->stop, .events = POLLIN },
	};

	while (!fds[1].revents) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		/* at its end, the pipe would be ready for ever */
		if (fds[0].revents && !copy_some(e))
			fds[0].fd = -1;
	}
	while (copy_some(e))
		;
	return NULL;
}

struct child_errors *child_errors_start(int *fd)
{
	struct child_errors *e = calloc(1, sizeof(*e));
	int fds[2], err;

	if (!e)
		return NULL;
	if (pipe2(fds, O_CLOEXEC))
		goto free;
	e->pipe = fds[0];
	/* only this end: the command expects a blocking one */
	fcntl(e->pipe, F_SETFL, O_NONBLOCK);
	e->stop = eventfd(0, EFD_CLOEXEC);
	if (e->stop < 0)
		goto close_pipe;
	errno = vdi_thread_start(&e->thread, copy, e);
	if (!errno) {
		*fd = fds[1];
		return e;
	}
	err = errno;
	close(e->stop);
	errno = err;
close_pipe:
	err = errno;
	close(fds[0]);
	close(fds[1]);
	errno = err;
free:
	free(e);
	return NULL;
}

/* The start of the last lines that are not empty, at most LINES. */
static size_t last_lines(const struct child_errors *e)
{
	size_t at = e->used;
	unsigned int lines = 0;

	while (at && lines < LINES) {
		if (e->kept[--at] == '\n' && at + 1 < e->used &&
		    e->kept[at + 1] != '\n')
			lines++;
	}
	return lines == LINES ? at + 1 : at;
}

static void describe(const struct child_errors *e, char *buf, size_t size)
{
	size_t at = last_lines(e), used = 0;

	for (; at < e->used && used + 3 < size; at++) {
		if (e->kept[at] != '\n') {
			/* the text may reach a terminal of another user */
			buf[used++] = iscntrl((unsigned char)e->kept[at]) ?
				      '?' : e->kept[at];
		} else if (used && at + 1 < e->used && e->kept[at + 1] != '\n') {
			buf[used++] = ';';
			buf[used++] = ' ';
		}
	}
	buf[used] = '\0';
}

void child_errors_end(struct child_errors *e, char *buf, size_t size)
{
	eventfd_write(e->stop, 1);
	pthread_join(e->thread, NULL);
	if (buf)
		describe(e, buf, size);
	close(e->pipe);
	close(e->stop);
	free(e);
}
