/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * child.h - shell commands of the user: start, wait, stop the process group
 */
#ifndef VDI_CHILD_H
#define VDI_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Run `command` with the shell. The command has its own process group, so that
 * Ctrl-C reaches only this program and the whole group can be stopped. Its
 * standard input is empty. Its standard output goes to stderr, because another
 * program may read ours. Signals are handled as when this program was started.
 * Returns -1 with errno if the shell cannot be started.
 */
pid_t child_start(const char *command, char *const *environment);
/* Has the shell terminated? It is not reaped. */
bool child_ended(pid_t pid);
/* Wait until the shell terminates; returns its status as of wait(2). */
int child_wait(pid_t pid);
/*
 * Stop a command that may still run: send SIGTERM to the process group, and
 * SIGKILL to its remaining processes when the shell has terminated, after
 * `patience` seconds, or as soon as `hurry` returns true. If the caller is a
 * child subreaper (see PR_SET_CHILD_SUBREAPER), the whole group is reaped on
 * return. False: a process hangs in the kernel.
 */
bool child_stop(pid_t pid, double patience, bool (*hurry)(void *argument),
		void *argument);

#endif /* VDI_CHILD_H */
