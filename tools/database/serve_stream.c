// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_stream.c - the stream of vdi serve: standard input or output, or a command
 *
 * A command is not reaped before serve_close_stream(), so that the number of its process
 * group cannot be reused while the group may have to be stopped.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/child.h"
#include "common/child_errors.h"
#include "serve_stream.h"

#define TICK_NS	200000000	/* interval of interrupting a blocked write(2) */

/* Time for the output of a command to end after the command has. */
#define LEFT_OPEN_SECONDS 10

/* Time for a command to terminate after SIGTERM. */
#define PATIENCE_SECONDS 5

/* ------------------------------------------------------------- the command */

static bool fail_command(struct database *db, const char *what)
{
	struct serve_stream *s = db->stream;
	char last[512];

	child_errors_end(s->errors, last, sizeof(last));
	s->errors = NULL;
	return db_fail(db, EXIT_FAILED, "the command '%s' %s%s%s", s->argv[0],
		       what, *last ? "; its last messages: " : "", last);
}

static bool fail_status(struct database *db, int status, const char *when)
{
	char text[128];

	if (WIFEXITED(status))
		snprintf(text, sizeof(text), "ended with exit code %d%s",
			 WEXITSTATUS(status), when);
	else
		snprintf(text, sizeof(text), "was killed by signal %d (%s)%s",
			 WTERMSIG(status), strsignal(WTERMSIG(status)), when);
	return fail_command(db, text);
}

/*
 * Called while the stream is not ready. A process that the command has started may
 * hold the stream open, and would be waited for without end.
 */
static bool watch_command(struct database *db)
{
	struct serve_stream *s = db->stream;
	int status;

	if (!child_status(s->pid, &status))
		return true;
	if (!db_writes(db))
		return fail_status(db, status,
				   " before it had read the whole stream");
	if (status)
		return fail_status(db, status, "");
	if (!s->ended)
		s->ended = vdi_now();
	if (vdi_now() - s->ended < LEFT_OPEN_SECONDS)
		return true;
	return fail_command(db, "has ended, but a process that it started keeps its output open");
}

/* 0 or errno. */
static int spawn(struct serve_stream *s, bool reads, int *pipe)
{
	struct child_files files = {
		.in = reads ? -1 : pipe[0],
		.out = reads ? pipe[1] : STDOUT_FILENO,
	};
	int err;

	s->errors = child_errors_start(&files.err);
	if (!s->errors)
		return errno;
	s->pid = child_spawn(s->argv[0], s->argv, &files, environ);
	err = errno;
	close(files.err);
	if (s->pid > 0)
		return 0;
	s->pid = 0;
	child_errors_end(s->errors, NULL, 0);
	s->errors = NULL;
	return err;
}

static bool start_command(struct database *db)
{
	struct serve_stream *s = db->stream;
	bool reads = db_writes(db);
	int fds[2], err;

	/* the whole group of the command is reaped by child_stop() */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (pipe2(fds, O_CLOEXEC))
		return db_fail(db, EXIT_FAILED, "cannot create a pipe: %s",
			       strerror(errno));
	err = spawn(s, reads, fds);
	close(fds[reads]);
	s->fd = fds[!reads];
	if (err)
		return db_fail(db, EXIT_FAILED, "cannot run '%s': %s",
			       s->argv[0], strerror(err));
	if (db->report_fd)
		dprintf(db->report_fd, "command %d\n", s->pid);
	db->watch = watch_command;
	return true;
}

bool serve_open_stream(struct database *db)
{
	struct serve_stream *s = db->stream;

	if (s->argv && !start_command(db))
		return false;
	if (!s->argv)
		s->fd = db_writes(db) ? STDIN_FILENO : STDOUT_FILENO;
	db->stream_fd = s->fd;
	return true;
}

/* The command has closed its input, and probably terminates. */
static bool watch_closed_input(struct database *db)
{
	return vdi_now() - db->stream->ended < LEFT_OPEN_SECONDS ||
	       fail_command(db, "has closed its input before it had read the whole stream");
}

/* Wait until the command terminates. */
static bool wait_for_command(struct database *db, int *status)
{
	int fd = pidfd_open(db->stream->pid, 0);

	if (fd < 0)
		return db_fail(db, EXIT_FAILED, "cannot wait for '%s': %s",
			       db->stream->argv[0], strerror(errno));
	while (!child_status(db->stream->pid, status)) {
		if (!db_poll(db, fd, POLLIN)) {
			close(fd);
			return false;
		}
	}
	close(fd);
	return true;
}

static bool check_command(struct database *db, const char *when)
{
	int status;

	db->watch = NULL;
	return wait_for_command(db, &status) &&
	       (!status || fail_status(db, status, when));
}

static bool interrupted(void *seen)
{
	return vdi_signal_pending() > *(unsigned int *)seen;
}

/*
 * After a failure the command is stopped before its end of the stream is closed: a
 * command that reads would take the end of its input for that of the stream.
 */
void serve_close_stream(struct database *db)
{
	struct serve_stream *s = db->stream;
	unsigned int seen = vdi_signal_pending();

	db->watch = NULL;
	if (s->pid && db->exit_code != EXIT_OK)
		child_stop(s->pid, PATIENCE_SECONDS, interrupted, &seen);
	else if (s->pid)
		child_wait(s->pid);
	if (s->errors)
		child_errors_end(s->errors, NULL, 0);
	if (s->argv && s->fd >= 0)
		close(s->fd);
	s->pid = 0;
	s->errors = NULL;
	s->fd = -1;
}

/* ------------------------------------------------------------------ input */

uint64_t serve_input_size(const struct database *db)
{
	uint64_t end = 0;
	struct stat st;
	off_t at;

	if (db->stream->argv || fstat(STDIN_FILENO, &st))
		return 0;
	if (S_ISREG(st.st_mode))
		end = st.st_size;
	else if (!S_ISBLK(st.st_mode) ||
		 ioctl(STDIN_FILENO, BLKGETSIZE64, &end))
		return 0;
	at = lseek(STDIN_FILENO, 0, SEEK_CUR);
	return at >= 0 && (uint64_t)at < end ? end - at : 0;
}

bool serve_read(struct database *db, uint8_t *data, size_t size,
		 uint32_t *length)
{
	int fd = db->stream->fd;
	size_t done = 0;

	while (done < size) {
		ssize_t n;

		if (!db_poll(db, fd, POLLIN))
			return false;
		n = read(fd, data + done, size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return db_fail(db, EXIT_FAILED,
				       "cannot read the input: %s",
				       strerror(errno));
		if (n == 0)
			break;
		done += n;
	}
	*length = done;
	return true;
}

bool serve_check_input(struct database *db)
{
	struct serve_stream *s = db->stream;

	if (s->argv && !check_command(db, ""))
		return false;
	if (db->bytes || s->allow_empty)
		return true;
	if (s->argv)
		return fail_command(db, "has written no data, which is no backup; --allow-empty permits this");
	return db_fail(db, EXIT_FAILED,
		       "the input is empty, which is no backup; --allow-empty permits this");
}

/* ----------------------------------------------------------------- output */

static void interrupt(int number)
{
	(void)number;
}

/* The signal is sent to this thread; without SA_RESTART it ends a write(2). */
static bool create_timer(timer_t *timer)
{
	struct sigaction action = { .sa_handler = interrupt };
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = SIGALRM,
		._sigev_un._tid = gettid(),
	};

	return !sigaction(SIGALRM, &action, NULL) &&
	       !timer_create(CLOCK_MONOTONIC, &event, timer);
}

/*
 * On a pipe or socket, write(2) blocks until it has taken all bytes, even after
 * poll(2) has reported room. O_NONBLOCK would also apply to the other processes
 * that use this open file, so a timer interrupts the call instead.
 */
static ssize_t write_some(int fd, const uint8_t *data, size_t size)
{
	static const struct itimerspec stop, tick = {
		.it_value.tv_nsec = TICK_NS,
		.it_interval.tv_nsec = TICK_NS,
	};
	static timer_t timer;
	static bool created;
	ssize_t n;
	int err;

	if (!created && !create_timer(&timer))
		return -1;
	created = true;
	timer_settime(timer, 0, &tick, NULL);
	n = write(fd, data, size);
	err = errno;
	timer_settime(timer, 0, &stop, NULL);
	errno = err;
	return n;
}

static bool fail_write(struct database *db, int error)
{
	int status;

	if (error == EPIPE && db->stream->argv) {
		db->stream->ended = vdi_now();
		db->watch = watch_closed_input;
		if (!wait_for_command(db, &status))
			return false;
		return fail_status(db, status,
				   " before it had read the whole stream");
	}
	return db_fail(db, EXIT_FAILED, "cannot write the output: %s",
		       strerror(error));
}

bool serve_write(struct database *db, const uint8_t *data, size_t size)
{
	int fd = db->stream->fd;

	while (size) {
		ssize_t n;

		if (!db_poll(db, fd, POLLOUT))
			return false;
		n = write_some(fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_write(db, errno);
		data += n;
		size -= n;
	}
	return true;
}

/*
 * Some errors of earlier writes are reported only here: a full disk or quota of
 * a file server, or a failed disk. The set is still open, so the client can be
 * informed. Only files and disks support fsync(2).
 */
static bool close_file(struct database *db, int fd)
{
	if (fsync(fd) && errno != EINVAL && errno != EROFS &&
	    errno != EOPNOTSUPP)
		return db_fail(db, EXIT_FAILED,
			       "cannot make the output durable: %s",
			       strerror(errno));
	if (close(fd))
		return db_fail(db, EXIT_FAILED, "cannot close the output: %s",
			       strerror(errno));
	return true;
}

bool serve_end_output(struct database *db)
{
	struct serve_stream *s = db->stream;
	int fd = s->fd;

	s->fd = -1;
	/* the number may be used again */
	db->stream_fd = -1;
	if (!s->argv)
		return close_file(db, fd);
	close(fd);
	return check_command(db, " after it had read the whole stream");
}
