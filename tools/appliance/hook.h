/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hook.h - commands of the user, run at the request of the database
 */
#ifndef VDI_HOOK_H
#define VDI_HOOK_H

#include "appliance.h"

/*
 * The database sent the command `code`: run `command` with the shell, and wait for
 * it. It is stopped if the set is aborted. The environment has VDI_SET,
 * VDI_DEVICE, VDI_DIR, and VDI_COMMAND with the name of `code`. False: it failed,
 * and appliance_note() was called, or the set was aborted.
 */
bool hook_run(struct worker *worker, int code, const char *command,
	      const char *directory);
/* Absolute path of a directory that need not exist yet; the caller frees it. */
char *hook_directory(const char *path);

#endif /* VDI_HOOK_H */
