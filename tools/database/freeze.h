/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * freeze.h - suspend a database by a command, and never forget to resume it
 */
#ifndef VDI_FREEZE_H
#define VDI_FREEZE_H

#include "serve.h"

/*
 * A process of its own, the warden, runs both commands: the one that freezes when
 * it is told to; and when it is told so, or when we are gone, however we went,
 * the one that thaws, after the other has ended or was stopped.
 */
struct freezer {
	const struct freeze_options *options;
	pid_t warden;
	int fd;			/* to the warden */
	bool freezing;		/* it was told to, and has not answered */
};

/* To be called before the set is there, of which the warden has no part. */
bool freezer_start(struct freezer *f, struct database *db,
		   const struct freeze_options *options);
/* Run the freeze command; whatever comes of it, the thaw command is due. */
bool freezer_freeze(struct freezer *f, struct database *db);
/* In every case. False when the thaw command was due and failed. */
bool freezer_end(struct freezer *f, struct database *db);

#endif /* VDI_FREEZE_H */
