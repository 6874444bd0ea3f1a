// SPDX-License-Identifier: GPL-2.0-only
/*
 * freeze.c - suspend a database by a command, and never forget to resume it
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/child.h"
#include "freeze.h"

/* What a freeze command that is to end is given to do so. */
#define PATIENCE_SECONDS 10

#define TICK_MS 200	/* how soon a signal that came between waits is noticed */

/* What the warden is told; our end counts as THAW. */
enum order {
	FREEZE	= 'f',
	THAW	= 't',	/* also when the freeze command still runs */
	HURRY	= 'h'	/* and that is not to take its time */
};

/* What it says once the freeze command has ended by itself. */
struct answer {
	int error;	/* there was no shell: errno */
	int status;	/* as of wait(2) */
};

/* ------------------------------------------------------------- the warden */

static enum order get_order(int fd)
{
	ssize_t n;
	char order;

	do
		n = recv(fd, &order, 1, 0);
	while (n < 0 && errno == EINTR);
	return n == 1 ? order : THAW;
}

static bool told_to_hurry(void *fd)
{
	char order;

	while (recv(*(int *)fd, &order, 1, MSG_DONTWAIT) == 1) {
		if (order == HURRY)
			return true;
	}
	return false;
}

/* False: an order, or our end, came before its own. */
static bool await_end(pid_t pid, int fd)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = pidfd_open(pid, 0), .events = POLLIN },
	};
	bool ended;

	while (!(ended = child_ended(pid))) {
		if (poll(fds, 2, fds[1].fd < 0 ? TICK_MS : -1) > 0 &&
		    fds[0].revents)
			break;
	}
	if (fds[1].fd >= 0)
		close(fds[1].fd);
	return ended;
}

/*
 * Until the freeze command and all it started have ended: what froze after the
 * thaw command would stay frozen. One that hangs in the kernel may do so for
 * what is frozen already, and is not waited for.
 */
static void freeze(int fd, const char *command)
{
	struct answer answer = { .error = 0 };
	pid_t pid;

	if (command) {
		pid = child_start(command, environ);
		if (pid < 0) {
			answer.error = errno;
		} else if (await_end(pid, fd)) {
			answer.status = child_wait(pid);
		} else {
			child_stop(pid, PATIENCE_SECONDS, told_to_hurry, &fd);
			return;
		}
	}
	send(fd, &answer, sizeof(answer), MSG_NOSIGNAL);
	get_order(fd);
}

static int thaw(const char *command)
{
	int status;
	pid_t pid;

	if (!command)
		return 0;
	pid = child_start(command, environ);
	if (pid < 0)
		return 127;
	status = child_wait(pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* The data are none of its business, nor their end. */
static void let_go_of_data(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
}

/* Nothing but its work or SIGKILL ends it. */
static void __attribute__((noreturn))
warden(int fd, const struct freeze_options *options)
{
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_NAME, "vdi-thaw");
	/* what a command leaves behind comes to us */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (get_order(fd) != FREEZE)
		_exit(0);
	freeze(fd, options->freeze);
	_exit(thaw(options->thaw));
}

/* --------------------------------------------------------------- our side */

bool freezer_start(struct freezer *f, struct database *db,
		   const struct freeze_options *options)
{
	int fds[2];

	*f = (struct freezer){ .options = options, .warden = -1, .fd = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return db_fail(db, EXIT_FAILED, "socketpair: %s",
			       strerror(errno));
	f->warden = fork();
	if (f->warden == 0) {
		close(fds[1]);
		let_go_of_data();
		warden(fds[0], options);
	}
	close(fds[0]);
	f->fd = fds[1];
	if (f->warden < 0)
		return db_fail(db, EXIT_FAILED, "fork: %s", strerror(errno));
	return true;
}

static bool order(struct freezer *f, enum order what)
{
	char byte = what;

	return send(f->fd, &byte, 1, MSG_NOSIGNAL) == 1;
}

static bool check_status(struct database *db, const char *what, int status)
{
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	if (WIFEXITED(status))
		return db_fail(db, EXIT_FAILED,
			       "the %s command failed with exit code %d", what,
			       WEXITSTATUS(status));
	return db_fail(db, EXIT_FAILED, "the %s command was ended by signal %d",
		       what, WTERMSIG(status));
}

bool freezer_freeze(struct freezer *f, struct database *db)
{
	struct answer answer;

	/* from here on, the database counts as frozen */
	f->freezing = true;
	if (!order(f, FREEZE))
		return db_fail(db, EXIT_FAILED, "the warden is gone");
	if (f->options->limit_ms) {
		db->deadline = vdi_now() + f->options->limit_ms / 1000.0;
		db->deadline_text = "the database was frozen for too long (--freeze-limit)";
	}
	if (!db_poll(db, f->fd, POLLIN))
		return false;
	if (recv(f->fd, &answer, sizeof(answer), 0) != sizeof(answer))
		return db_fail(db, EXIT_FAILED, "the warden is gone");
	f->freezing = false;
	if (answer.error)
		return db_fail(db, EXIT_FAILED, "cannot run a shell: %s",
			       strerror(answer.error));
	return check_status(db, "freeze", answer.status);
}

static bool warden_is_gone(struct freezer *f)
{
	struct pollfd fd = { .fd = f->fd, .events = POLLIN };
	char answer[sizeof(struct answer)];

	return poll(&fd, 1, TICK_MS) > 0 &&
	       recv(f->fd, answer, sizeof(answer), MSG_DONTWAIT) <= 0;
}

/*
 * A signal ends the wait, though not the command. While the freeze command is
 * being stopped, one that came after what made us stop it ends the patience.
 */
static bool wait_for_warden(struct freezer *f, struct database *db)
{
	unsigned int seen = vdi_signal_pending();

	while (!warden_is_gone(f)) {
		if (f->freezing && vdi_signal_pending()) {
			f->freezing = false;
			order(f, HURRY);
			seen = vdi_signal_pending();
		}
		if (vdi_signal_pending() == seen)
			continue;
		vdi_error("the thaw command has not ended yet: the database may still be frozen");
		/* it may be the one that ends the work */
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
	int status;

	db->deadline = 0;
	if (f->warden <= 0)
		return true;
	order(f, THAW);
	ended = wait_for_warden(f, db);
	close(f->fd);
	if (!ended)
		return false;
	status = child_wait(f->warden);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	/* said even where something else has failed before */
	vdi_error("the thaw command failed (%s %d): the database may still be frozen",
		  WIFEXITED(status) ? "exit code" : "signal",
		  WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return db_fail(db, EXIT_FAILED, "the thaw command failed");
}
