/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * freeze.h - suspend a database by a command, and resume it in any case
 */
#ifndef VDI_FREEZE_H
#define VDI_FREEZE_H

#include "serve.h"

/*
 * A child process, the helper, runs both commands. It runs the freeze command on
 * request. It runs the thaw command on request, when the limit has expired or
 * when vdi has terminated, after the freeze command has ended or was stopped. If
 * the helper dies first, vdi starts another, which runs the thaw command.
 */
struct freezer {
	const struct freeze_options *options;
	pid_t helper;
	int fd;			/* to the helper */
	pid_t command;		/* the last command that the helper started */
	bool due;		/* the thaw command must run */
	bool freezing;		/* the freeze command has not ended */
	bool thawed;		/* the thaw command was run, or could not be */
	bool expired;		/* the helper thawed because of the limit */
	int error;		/* of the last command: no shell, errno */
	int status;		/* or as of wait(2) */
};

/* To be called before the set is joined, so that the helper is not a party of it. */
bool freezer_start(struct freezer *f, struct database *db,
		   const struct freeze_options *options);
/* Run the freeze command. After that the thaw command is due in any case. */
bool freezer_freeze(struct freezer *f, struct database *db);
/*
 * To be called in every case. False when the thaw command was due and failed, or
 * when it ran before this call.
 */
bool freezer_end(struct freezer *f, struct database *db);

#endif /* VDI_FREEZE_H */
