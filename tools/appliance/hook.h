/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hook.h - commands of the user that are run on behalf of the database
 */
#ifndef VDI_HOOK_H
#define VDI_HOOK_H

#include "appliance.h"

/*
 * Run `command` with the shell because the database sent `code`, and wait for
 * it. When the set is aborted meanwhile it is ended. It finds in its
 * environment VDI_SET, VDI_DEVICE, VDI_DIR and VDI_COMMAND, the name of the
 * command. False: it failed, and appliance_note() was called.
 */
bool hook_run(struct worker *worker, int code, const char *command,
	      const char *directory);
/* The absolute name of a directory, which need not exist yet; to be freed. */
char *hook_directory(const char *path);

#endif /* VDI_HOOK_H */
