/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * publish.h - a directory that is a whole backup or does not exist
 */
#ifndef VDI_PUBLISH_H
#define VDI_PUBLISH_H

#include "manifest.h"

/* A backup that is written to DIR.partial and becomes DIR. */
struct publication {
	char *path;		/* DIR */
	char *partial;		/* DIR.partial */
	char *lock_path;	/* DIR.partial.lock */
	int parent;		/* the directory that holds both; -1 = not open */
	int dir;		/* DIR.partial; -1 = not open */
	int lock;		/* DIR.partial.lock; -1 = not taken */
	bool published;		/* dir has become DIR: it is not changed any more */
	char why[512];		/* the reason of a failure */
};

/*
 * Create DIR.partial, empty, for this process alone. False after an error
 * message. publication_release() is needed in both cases.
 */
bool publication_prepare(struct publication *p, const char *to);
/*
 * All media are final and durable: write the manifest and rename the directory.
 * `stop` is asked right before the rename; true prevents it. On false, p->why
 * has the reason, and is empty when `stop` prevented it.
 */
bool publication_publish(struct publication *p, const struct manifest *manifest,
			 bool (*stop)(void *context), void *context);
/*
 * After a failure: remove DIR.partial, or say what is left. What was published
 * stays as it is.
 */
void publication_discard(struct publication *p, bool quiet);
void publication_release(struct publication *p);

#endif /* VDI_PUBLISH_H */
