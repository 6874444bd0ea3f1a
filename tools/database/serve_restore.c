// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_restore.c - the stream of a set, reassembled on standard output
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "reassemble.h"
#include "serve.h"

#define TICK_NS	200000000	/* interval of interrupting a blocked write(2) */

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
static ssize_t write_some(const uint8_t *data, size_t size)
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
	n = write(STDOUT_FILENO, data, size);
	err = errno;
	timer_settime(timer, 0, &stop, NULL);
	errno = err;
	return n;
}

bool serve_output(struct database *db, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n;

		if (!db_poll(db, STDOUT_FILENO, POLLOUT))
			return false;
		n = write_some(data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return db_fail(db, EXIT_FAILED,
				       "cannot write the output: %s",
				       strerror(errno));
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
static bool end_output(struct database *db)
{
	if (fsync(STDOUT_FILENO) && errno != EINVAL && errno != EROFS &&
	    errno != EOPNOTSUPP)
		return db_fail(db, EXIT_FAILED,
			       "cannot make the output durable: %s",
			       strerror(errno));
	if (close(STDOUT_FILENO))
		return db_fail(db, EXIT_FAILED, "cannot close the output: %s",
			       strerror(errno));
	return true;
}

static bool put_out(struct restored *r)
{
	const uint8_t *data;
	uint32_t size;

	do {
		if (!restored_read(r, &data, &size) ||
		    !serve_output(r->db, data, size))
			return false;
	} while (size);
	return restored_check_end(r) && end_output(r->db);
}

bool serve_restore(struct database *db)
{
	struct restored r;
	bool ok;

	vdi_progress_start(&db->progress, db->quiet);
	ok = restored_begin(&r, db) && put_out(&r) &&
	     db_close_devices(db);
	restored_free(&r);
	return ok;
}

/*
 * Read the whole description of the snapshot first; then the client restores the
 * files.
 */
bool serve_restore_snapshot(struct database *db)
{
	struct restored r;
	bool ok;

	vdi_progress_start(&db->progress, db->quiet);
	ok = restored_begin(&r, db) && put_out(&r);
	restored_free(&r);
	/* the last read may have reported the end of the data as an error */
	return ok && db_clear_error(db, 0) &&
	       db_order(db, 0, VDC_MountSnapshot, 0, 0) &&
	       db_close_devices(db);
}
