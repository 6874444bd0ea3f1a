/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * command_parts.h - what command.c, command_io.c and command_guard.c share
 */
#ifndef VDI_COMMAND_PARTS_H
#define VDI_COMMAND_PARTS_H

#include <sys/types.h>

#include "command.h"

struct child_errors;

#define COMMAND_AHEAD	4096

/* A process that kills the group of a command if this process terminates. */
struct guard {
	pid_t pid;		/* 0 = none */
	int life;		/* written to when the guard is not needed any more */
};

struct command {
	char *device;
	bool writing;
	bool standard;		/* our standard output or input */
	bool own_fd;		/* fd is to be closed */
	pid_t pid;		/* 0 = none, or reaped */
	int pidfd;
	int fd;			/* of the data; -1 = closed */
	/* standard output: poll before each write, of at most so many bytes */
	bool poll_first;
	size_t piece;
	int watch;
	bool (*stop)(void *context);
	void *stop_context;
	struct child_errors *errors;
	struct guard guard;
	bool ended;		/* with 0, or the end of standard input */
	char ahead[COMMAND_AHEAD];	/* read, but not returned yet */
	size_t ahead_size;
	char why[512];
};

enum command_event {
	EVENT_READY,		/* of the descriptor */
	EVENT_ENDED,		/* the command has terminated */
	EVENT_TIMEOUT,
	EVENT_STOPPED
};

/* command.c */
bool command_stopped(const struct command *c);
/*
 * Wait for events of fd (-1 = none), with for_end also for the termination of the
 * command; until = 0: without limit.
 */
enum command_event command_wait(struct command *c, int fd, short events,
				bool for_end, double until);
/* Kill the command. Its last messages follow `what` in the text of the failure. */
enum command_result command_fail(struct command *c, const char *what);
/* The command has terminated. COMMAND_OK and c->ended: with 0. */
enum command_result command_take_status(struct command *c, const char *when);
/* The same for a failure with an errno of this program. */
enum command_result command_fail_errno(struct command *c, const char *doing,
				       int error);
void command_close_data(struct command *c);

/* command_guard.c; 0 or errno. `input`: of the command, -1 = none */
int guard_start(struct guard *g, pid_t group, int input);
void guard_end(struct guard *g);

#endif /* VDI_COMMAND_PARTS_H */
