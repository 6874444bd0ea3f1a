/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * child.h - commands of the user: start, wait, stop the process group
 */
#ifndef VDI_CHILD_H
#define VDI_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The standard files of a command; in = -1: an empty input. */
struct child_files {
	int in;
	int out;
	int err;
};

/*
 * Run a program, searched in PATH unless its name contains a slash. It has its own
 * process group, so that Ctrl-C reaches only this program and the whole group can
 * be stopped. Signals are handled as when this program was started. Returns -1 with
 * errno if it cannot be started.
 */
pid_t child_spawn(const char *program, char *const *argv,
		  const struct child_files *child_files,
		  char *const *environment);
/*
 * Run `command` with the shell, with an empty standard input. Its standard output
 * goes to stderr, because another program may read ours.
 */
pid_t child_start(const char *command, char *const *environment);
/* Variables for a command of the user; begins as { 0 }. */
#define CHILD_VARIABLES	8
struct child_variables {
	char *variable[CHILD_VARIABLES];
	size_t count;
	bool failed;		/* out of memory, or too many */
};
/* "NAME=value" */
void child_variable(struct child_variables *v, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/*
 * The environment of this program, with these variables, which replace existing ones of
 * the same name and are not copied; the caller frees the array. NULL with ENOMEM.
 */
char **child_variables_environment(const struct child_variables *v);
void child_variables_free(struct child_variables *v);
/* As child_start(), with these variables, which are freed. */
pid_t child_start_with(const char *command, struct child_variables *v);
/*
 * Another end of the pipe that a command reads, to be opened before ours is closed. It
 * keeps what the command has not read. -1 with errno.
 */
int child_input_rest(int pipe);
/* Is there anything in it, now that the command has ended? */
bool child_input_is_unread(int rest);
/* Has the command terminated? It is not reaped. */
bool child_ended(pid_t pid);
/* The same; *status receives its status as of wait(2). */
bool child_status(pid_t pid, int *status);
/*
 * Does the group of a command that another process started have a child of this
 * process, which is a child subreaper? `pid` may be 0 or -1.
 */
bool child_is_left(pid_t pid);
/* Wait until the command terminates; returns its status as of wait(2). */
int child_wait(pid_t pid);
/*
 * Stop a command that may still run: send SIGTERM to the process group, and
 * SIGKILL to its remaining processes when the command has terminated, after
 * `patience` seconds, or as soon as `hurry` returns true. If the caller is a
 * child subreaper (see PR_SET_CHILD_SUBREAPER), the whole group is reaped on
 * return. False: a process hangs in the kernel.
 */
bool child_stop(pid_t pid, double patience, bool (*hurry)(void *argument),
		void *argument);

#endif /* VDI_CHILD_H */
