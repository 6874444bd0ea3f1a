/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * child_errors.h - the standard error of a command: passed on, and its end kept
 *
 * A thread copies it to the standard error of this program, because a command must
 * never wait for a full pipe, and keeps the last lines for an error message.
 */
#ifndef VDI_CHILD_ERRORS_H
#define VDI_CHILD_ERRORS_H

#include <stddef.h>

struct child_errors;

/*
 * *fd receives the descriptor for the command. The caller closes it once the command
 * was started. NULL with errno: no descriptors, threads or memory.
 */
struct child_errors *child_errors_start(int *fd);
/*
 * The command has terminated, or was never started. Copy what it has written and
 * release everything. Processes that the command has left behind are not waited for.
 * buf receives the last lines, separated by "; ", or an empty string; it may be NULL.
 */
void child_errors_end(struct child_errors *errors, char *buf, size_t size);

#endif /* VDI_CHILD_ERRORS_H */
