// SPDX-License-Identifier: GPL-2.0-only
/*
 * freeze.c - suspend a database by a command, and resume it in any case
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/child.h"
#include "freeze.h"

/* Time for a freeze command to terminate after SIGTERM. */
#define PATIENCE_SECONDS 10

/* Attempts to run a thaw command that is killed or that cannot be started. */
#define THAW_ATTEMPTS 10

#define TICK_MS 200	/* interval of checks for signals */

/* Orders to the helper. */
enum order {
	FREEZE	= 'f',
	THAW	= 't',	/* also while the freeze command runs */
	HURRY	= 'h'	/* stop the freeze command at once */
};

/* What the helper reports. */
enum event {
	STARTED,	/* a command */
	FROZEN,		/* the freeze command has terminated by itself */
	THAWED		/* the thaw command has terminated; the last report */
};

struct report {
	enum event event;
	pid_t command;
	int error;		/* the shell could not be started: errno */
	int status;		/* as of wait(2) */
	bool expired;
};

/* ------------------------------------------------------------- the helper */

struct helper {
	const struct freeze_options *options;
	int fd;
	double deadline;	/* thaw then; 0 = never */
	struct report report;
};

static void send_report(struct helper *h, enum event event)
{
	h->report.event = event;
	send(h->fd, &h->report, sizeof(h->report), MSG_NOSIGNAL);
}

static int time_left(const struct helper *h)
{
	double left = (h->deadline - vdi_now()) * 1000;

	if (!h->deadline)
		return -1;
	if (left <= 0)
		return 0;
	return left < INT_MAX - 1 ? (int)left + 1 : INT_MAX;
}

static bool past_deadline(struct helper *h)
{
	if (!h->deadline || vdi_now() < h->deadline)
		return false;
	h->report.expired = true;
	return true;
}

/* The death of vdi and the expiry of the limit count as THAW. */
static enum order get_order(struct helper *h)
{
	struct pollfd fd = { .fd = h->fd, .events = POLLIN };
	char order;

	while (poll(&fd, 1, time_left(h)) <= 0) {
		if (past_deadline(h))
			return THAW;
	}
	return recv(h->fd, &order, 1, 0) == 1 ? order : THAW;
}

static bool ordered_to_hurry(void *fd)
{
	char order;

	while (recv(*(int *)fd, &order, 1, MSG_DONTWAIT) == 1) {
		if (order == HURRY)
			return true;
	}
	return false;
}

/* False: an order, the death of vdi or the expiry of the limit came first. */
static bool await_end(struct helper *h, pid_t pid)
{
	struct pollfd fds[] = {
		{ .fd = h->fd, .events = POLLIN },
		{ .fd = pidfd_open(pid, 0), .events = POLLIN },
	};
	bool ended;

	while (!(ended = child_ended(pid))) {
		int timeout = time_left(h);

		if (fds[1].fd < 0 && (timeout < 0 || timeout > TICK_MS))
			timeout = TICK_MS;
		if ((poll(fds, 2, timeout) > 0 && fds[0].revents) ||
		    past_deadline(h))
			break;
	}
	if (fds[1].fd >= 0)
		close(fds[1].fd);
	return ended;
}

static pid_t start_command(struct helper *h, const char *command)
{
	pid_t pid = child_start(command, environ);

	h->report.error = pid < 0 ? errno : 0;
	h->report.status = 0;
	h->report.command = pid;
	if (pid > 0)
		send_report(h, STARTED);
	return pid;
}

/*
 * Returns when the process group of the freeze command has terminated; otherwise it
 * could freeze the database again after the thaw command. A process that hangs in
 * the kernel is not waited for, because it may wait for what is frozen already.
 */
static void freeze(struct helper *h)
{
	if (h->options->freeze) {
		pid_t pid = start_command(h, h->options->freeze);

		if (pid > 0 && !await_end(h, pid)) {
			child_stop(pid, PATIENCE_SECONDS, ordered_to_hurry,
				   &h->fd);
			return;
		}
		if (pid > 0)
			h->report.status = child_wait(pid);
	}
	send_report(h, FROZEN);
	get_order(h);
}

/* Another attempt may succeed, unless the command itself reported a failure. */
static bool thaw_once(struct helper *h)
{
	pid_t pid = start_command(h, h->options->thaw);

	if (pid > 0)
		h->report.status = child_wait(pid);
	return pid > 0 && WIFEXITED(h->report.status);
}

/* Lack of memory or processes is retried without a limit. */
static void thaw(struct helper *h)
{
	const struct timespec pause = { .tv_sec = 1 };
	int attempt = 0;

	while (h->options->thaw && !thaw_once(h)) {
		int error = h->report.error;

		if (error != EAGAIN && error != ENOMEM &&
		    ++attempt == THAW_ATTEMPTS)
			break;
		if (error)
			vdi_error("cannot start the thaw command: %s; trying again",
				  strerror(error));
		else
			vdi_error("the thaw command was killed by signal %d; trying again",
				  WTERMSIG(h->report.status));
		nanosleep(&pause, NULL);
	}
	send_report(h, THAWED);
}

/* The helper must not read the input, or hold input and output open. */
static void close_streams(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
}

/* Only SIGKILL terminates the helper before its work is done. */
static void __attribute__((noreturn))
run_helper(int fd, const struct freeze_options *options, bool thaw_only)
{
	struct helper h = { .options = options, .fd = fd };

	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_NAME, "vdi-thaw");
	close_streams();
	/* orphans of a command become children of the helper */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!thaw_only) {
		if (get_order(&h) != FREEZE)
			_exit(0);
		if (options->limit_ms)
			h.deadline = vdi_now() + options->limit_ms / 1000.0;
		freeze(&h);
	}
	thaw(&h);
	_exit(0);
}

/* -------------------------------------------------------- the side of vdi */

/* 0 or errno. */
static int start_helper(struct freezer *f, bool thaw_only)
{
	int fds[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return errno;
	pid = fork();
	err = errno;
	if (pid == 0) {
		close(fds[1]);
		if (f->fd >= 0)
			close(f->fd);
		run_helper(fds[0], f->options, thaw_only);
	}
	close(fds[0]);
	if (pid < 0) {
		close(fds[1]);
		return err;
	}
	if (f->fd >= 0)
		close(f->fd);
	f->helper = pid;
	f->fd = fds[1];
	return 0;
}

bool freezer_start(struct freezer *f, struct database *db,
		   const struct freeze_options *options)
{
	int err;

	*f = (struct freezer){ .options = options, .helper = -1, .fd = -1 };
	/* if the helper dies, its commands become children of vdi */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	err = start_helper(f, false);
	if (err)
		return db_fail(db, EXIT_FAILED,
			       "cannot start the helper process for --freeze and --thaw: %s",
			       strerror(err));
	return true;
}

static bool order(struct freezer *f, enum order what)
{
	char byte = what;

	return send(f->fd, &byte, 1, MSG_NOSIGNAL) == 1;
}

/* Receive a report, if there is one. False: the helper has died. */
static bool take_report(struct freezer *f)
{
	struct report report;
	ssize_t n = recv(f->fd, &report, sizeof(report), MSG_DONTWAIT);

	/* ECONNRESET for an unread order is returned before the reports */
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ||
		       errno == ECONNRESET;
	if (n != sizeof(report))
		return false;
	f->command = report.command;
	f->error = report.error;
	f->status = report.status;
	f->expired = report.expired;
	if (report.event != STARTED)
		f->freezing = false;
	if (report.event == THAWED)
		f->thawed = true;
	return true;
}

static bool check_status(struct freezer *f, struct database *db,
			 const char *what)
{
	if (f->error)
		return db_fail(db, EXIT_FAILED,
			       "cannot run a shell for the %s command: %s",
			       what, strerror(f->error));
	if (!WIFEXITED(f->status))
		return db_fail(db, EXIT_FAILED,
			       "the %s command was killed by signal %d", what,
			       WTERMSIG(f->status));
	if (WEXITSTATUS(f->status))
		return db_fail(db, EXIT_FAILED,
			       "the %s command failed with exit code %d", what,
			       WEXITSTATUS(f->status));
	return true;
}

static bool fail_expired(struct database *db)
{
	return db_fail(db, EXIT_TIMED_OUT,
		       "the database was frozen for too long (--freeze-limit)");
}

bool freezer_freeze(struct freezer *f, struct database *db)
{
	/* from here on, the database counts as frozen */
	f->due = order(f, FREEZE);
	f->freezing = f->due;
	if (f->due && f->options->limit_ms) {
		db->deadline = vdi_now() + f->options->limit_ms / 1000.0;
		db->deadline_text = "the database was frozen for too long (--freeze-limit)";
	}
	while (f->freezing) {
		if (!db_poll(db, f->fd, POLLIN))
			return false;
		if (!take_report(f))
			break;
	}
	if (f->expired)
		return fail_expired(db);
	if (!f->due || f->freezing)
		return db_fail(db, EXIT_FAILED,
			       "the helper that runs the freeze command was killed");
	return check_status(f, db, "freeze");
}

static bool interrupted(void *seen)
{
	return vdi_signal_pending() != *(unsigned int *)seen;
}

/*
 * The helper died before the thaw. The command that it was running must not run at
 * the same time as the thaw command.
 */
static void replace_helper(struct freezer *f, unsigned int *seen)
{
	const struct timespec pause = { .tv_nsec = TICK_MS * 1000000L };
	int err;

	if (f->helper > 0) {
		vdi_error("the helper that runs the thaw command was killed: starting another");
		child_wait(f->helper);
		f->helper = -1;
	}
	if (child_is_left(f->command))
		child_stop(f->command, PATIENCE_SECONDS, interrupted, seen);
	f->command = 0;
	f->freezing = false;
	err = start_helper(f, true);
	if (err)
		nanosleep(&pause, NULL);
}

static void show_unfinished(void)
{
	vdi_error("the thaw command is still running: the database may still be frozen");
}

/*
 * A signal ends the wait, but not the thaw command. While the freeze command is
 * being stopped, a second signal has it killed at once.
 */
static bool wait_for_thaw(struct freezer *f, struct database *db)
{
	unsigned int seen = vdi_signal_pending();

	while (!f->thawed) {
		struct pollfd fd = { .fd = f->fd, .events = POLLIN };

		if (poll(&fd, 1, TICK_MS) > 0 && !take_report(f)) {
			if (!f->due)
				return true;
			replace_helper(f, &seen);
		}
		/* in case the helper was stopped by a signal */
		if (f->helper > 0)
			kill(f->helper, SIGCONT);
		if (f->freezing && vdi_signal_pending()) {
			f->freezing = false;
			order(f, HURRY);
			seen = vdi_signal_pending();
		}
		if (f->thawed || vdi_signal_pending() == seen)
			continue;
		show_unfinished();
		/* this signal may be the first failure */
		if (db->exit_code == EXIT_OK)
			vdi_signal_take();
		return db_fail(db, EXIT_INTERRUPTED,
			       "interrupted during the thaw command");
	}
	return true;
}

bool freezer_end(struct freezer *f, struct database *db)
{
	bool ended;

	db->deadline = 0;
	if (f->fd < 0)
		return true;
	order(f, THAW);
	ended = wait_for_thaw(f, db);
	close(f->fd);
	f->fd = -1;
	if (!ended)
		return false;
	if (f->helper > 0)
		child_wait(f->helper);
	if (!f->due)
		return true;
	if (f->error || !WIFEXITED(f->status) || WEXITSTATUS(f->status))
		/* reported even after an earlier failure */
		vdi_error("the thaw command failed (%s %d): the database may still be frozen",
			  f->error ? "error" :
			  WIFEXITED(f->status) ? "exit code" : "signal",
			  f->error ? f->error :
			  WIFEXITED(f->status) ? WEXITSTATUS(f->status) :
						 WTERMSIG(f->status));
	if (f->expired)
		return fail_expired(db);
	return check_status(f, db, "thaw");
}
