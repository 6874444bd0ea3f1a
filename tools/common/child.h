/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * child.h - shell commands of the user: start, wait for, stop with all it started
 */
#ifndef VDI_CHILD_H
#define VDI_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Run `command` with the shell, in a process group of its own, so that a Ctrl-C
 * is ours to act on and all of it can be ended; with nothing to read, and with the
 * signals that this program was started with. Its output goes to stderr, where messages go: ours may be
 * read by a program. -1 with errno when there is no shell.
 */
pid_t child_start(const char *command, char *const *environment);
/* It has ended; it is still to be waited for. */
bool child_ended(pid_t pid);
/* Its status, as of wait(2), once it has ended. */
int child_wait(pid_t pid);
/*
 * Its end is wanted before it has come to its own: the group is asked to end,
 * and what is left of it after `patience` seconds, when the shell has ended or
 * as soon as `hurry` says so, is killed. A caller that orphans come to (see
 * PR_SET_CHILD_SUBREAPER) finds all of the group gone after that. False: it
 * hangs in the kernel.
 */
bool child_stop(pid_t pid, double patience, bool (*hurry)(void *argument),
		void *argument);

#endif /* VDI_CHILD_H */
