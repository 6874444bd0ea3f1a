/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * publish.h - a directory that is a complete backup or does not exist
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
	bool published;		/* dir was renamed to DIR and is not changed any more */
	/* A backup in a chunk store, whose address is `path`; see publish_chunks.c. */
	struct chunk_store *chunks;	/* NULL = in the directory */
	bool unknown;		/* the manifest may be stored, now or later */
	bool stream;		/* of commands of the user; see publish_stream.c */
	char why[512];		/* the cause of a failure */
};

/*
 * Create DIR.partial, empty and locked. False after an error message.
 * publication_release() is required in both cases.
 */
bool publication_prepare(struct publication *p, const char *to);
/*
 * The same for a backup in a chunk store, which is `to`. The publication owns the
 * store, even after a failure.
 */
bool publication_prepare_chunks(struct publication *p,
				struct chunk_store *store);
/* The same for commands of the user, which `what` names. */
bool publication_prepare_stream(struct publication *p, const char *what);
/*
 * Write the manifest and rename the directory. All media are final and durable.
 * `stop` is called right before the rename; if it returns true, nothing is
 * published. False: p->why is the cause, or empty if `stop` returned true. Without a
 * place there is no manifest, which may then be NULL.
 */
bool publication_publish(struct publication *p, const struct manifest *manifest,
			 bool (*stop)(void *context), void *context);
/*
 * After a failure: remove DIR.partial, or report what is left, and return false. A
 * published backup is not changed.
 */
bool publication_discard(struct publication *p, bool quiet);
void publication_release(struct publication *p);

/* Is this the name of a file that a backup consists of? */
bool publication_owns(const char *name);
/*
 * Does a process write DIR.partial, or may one on another host? `name` is that of
 * DIR within `parent`; `dir` is DIR.partial, or -1. *who receives the process.
 */
bool publication_busy(int parent, const char *name, int dir, char *who,
		      size_t size);
/*
 * Lock what a killed run has left of the backup DIR, to remove it with
 * publication_discard(). False after an error message. publication_release() is
 * required in both cases.
 */
bool publication_adopt(struct publication *p, const char *path);

/* publish_chunks.c: the functions above for a chunk store */
bool publish_chunks(struct publication *p, const struct manifest *manifest,
		    bool (*stop)(void *context), void *context);
bool discard_chunks(struct publication *p, bool quiet);
/* publish_stream.c: the functions above without a place */
bool publish_stream(struct publication *p, bool (*stop)(void *context),
		    void *context);
bool discard_stream(struct publication *p, bool quiet);

#endif /* VDI_PUBLISH_H */
