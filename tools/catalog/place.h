/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * place.h - a place that holds backups, and what is there
 *
 * A driver of places finds the backups, reads their manifests and removes them.
 * Rules, selection and output are the same for all places.
 */
#ifndef VDI_PLACE_H
#define VDI_PLACE_H

#include "manifest.h"

/* Remains are removed at this age, in seconds, unless vdi expire has --partial-age. */
#define PLACE_PARTIAL_AGE	(24 * 3600)

enum backup_state {
	BACKUP_WHOLE,		/* valid manifest, all files have their size */
	BACKUP_DAMAGED,
	BACKUP_UNREADABLE,	/* a system error: the state is not known */
	BACKUP_INCOMPLETE,	/* it has no manifest */
	BACKUP_WRITING,		/* locked by vdi backup, or possibly written by it */
	BACKUP_REMAINS,		/* of a vdi backup that was killed */
	BACKUP_EXPIRED,		/* vdi expire is removing it, or was killed */
	BACKUP_LOCK,		/* a lock file without a directory */
};

struct place_entry {
	char *name;		/* within the place */
	char *path;		/* for messages, restore and verify */
	enum backup_state state;
	char why[256];		/* empty if the backup is whole */
	bool described;		/* the manifest is valid */
	struct manifest manifest;
	struct file_identity identity;	/* of the manifest */
	uint64_t stored;	/* bytes of all files */
	int64_t changed;	/* last write, seconds since the epoch */
	bool guessed;		/* BACKUP_WRITING or BACKUP_REMAINS, by its age only */
	bool listed;
	struct place_entry *base;	/* what it is based on, as far as it is in this place */
	bool bases_checked;	/* by chain.c */
};

struct backup_place;

enum place_removal {
	PLACE_REMOVED,
	PLACE_IN_USE,		/* by a restore, a verification or a backup */
	PLACE_KEPT,		/* it has files of others, or removal failed */
};

struct place_ops {
	/*
	 * Call place_add() for each name that may be a backup or the remains
	 * of one. 0, or an exit code after a message.
	 */
	int (*enumerate)(struct backup_place *place);
	/*
	 * Fill in all but name and path. False: there is nothing of vdi under
	 * this name.
	 */
	bool (*examine)(struct backup_place *place, struct place_entry *entry);
	/*
	 * Check what examine() has not checked of a whole backup because that takes
	 * long, and change its state. NULL = examine() checks everything.
	 */
	void (*confirm)(struct backup_place *place, struct place_entry *entry);
	/*
	 * Remove a backup or remains. Killed at any time, this leaves what
	 * examine() reports as whole or as BACKUP_EXPIRED. Otherwise `why` has
	 * the cause.
	 */
	enum place_removal (*remove)(struct backup_place *place,
				     struct place_entry *entry, char *why,
				     size_t size);
	void (*close)(struct backup_place *place);
};

struct backup_place {
	const struct place_ops *ops;
	char *path;
	const char *set;	/* if not NULL, only backups of this set */
	char *only;		/* the place is this backup; NULL = all */
	int dir;		/* of place_dir.c */
	struct chunk_store *chunks;	/* of place_chunks.c */
	unsigned int depth;	/* of the base of a base ..., see chain.c */
	struct place_entry *entry;	/* by set and time; unknown sets last */
	size_t count;
};

/*
 * Open a place and examine what is there. 0, or an exit code after a message. If
 * `set` is not NULL, only backups of this set are entered. place_close() is
 * required in both cases.
 */
int place_open(struct backup_place *place, const char *path, const char *set);
/* The same for a chunk store, which the place owns then. */
int place_open_store(struct backup_place *place, struct chunk_store *store,
		     const char *set);
void place_close(struct backup_place *place);
/* "PATH/NAME"; the caller frees it. NULL: out of memory. */
char *place_beside(const struct backup_place *place, const char *name);
/*
 * Before backups are removed because others are whole: check those completely. 0, or
 * EXIT_INTERRUPTED after a message.
 */
int place_confirm(struct backup_place *place);
/* For drivers: false if there is no memory. Entries move. */
bool place_add(struct backup_place *place, const char *name);
void place_set_state(struct place_entry *entry, enum backup_state state,
		     const char *why);

/* "whole", "damaged", ... */
const char *place_state_name(enum backup_state state);
/* Same set, or both unknown. */
bool place_same_set(const struct place_entry *a, const struct place_entry *b);
/* Is the backup dated later than `now`, apart from small differences of clocks? */
bool place_in_future(const struct place_entry *entry, int64_t now);
/* "2026-11-30T01:02:03Z", or "-" if unknown */
void place_format_time(int64_t seconds, char *buf, size_t size);
#define PLACE_TEXT	1024
/* A name as it is printed in a column: without spaces and control characters. */
void place_format_name(const char *name, char buf[PLACE_TEXT]);
/* A path or sentence as it is printed: without control characters. */
void place_format_text(const char *text, char buf[PLACE_TEXT]);

/*
 * The path of the youngest whole backup of a set, which the caller frees. NULL
 * after a message, with the exit code in *rc.
 */
char *place_latest(const char *path, const char *set, int *rc);
/*
 * The path of a new backup of a set: ROOT/SET-YYYYMMDDTHHMMSSZ, with -2, -3, ... if
 * it exists. The caller frees it. NULL after a message.
 */
char *place_new_path(const char *root, const char *set, int64_t now);

/* The entry of the backup that the place is; NULL: it has no backup. */
struct place_entry *place_only(const struct backup_place *place);

/* chain.c: backups that are based on others */

/* Set `base` of all entries, whenever these have moved. False: out of memory. */
bool place_find_bases(struct backup_place *place);
/* A whole backup becomes damaged if one of those it is based on is missing or damaged. */
void place_check_bases(struct backup_place *place);
/* For chain.c: place_open() of the base of a single backup. */
int place_open_depth(struct backup_place *place, const char *path, unsigned int depth);
/*
 * The paths of the backups that a restore of the backup NAME in PATH needs, in their
 * order, with blanks between them; the caller frees it. NULL: it is not whole.
 */
char *place_chain(const char *path, const char *name);

extern const struct place_ops place_dir_ops;
/* place_dir.c: open a directory. 0, or an exit code after a message. */
int place_dir_open(struct backup_place *place, const char *path);

extern const struct place_ops place_chunks_ops;
/* place_chunks.c: the same for an address. */
int place_chunks_open(struct backup_place *place, const char *path);
/* The same for a store, which the place owns then. */
int place_chunks_use(struct backup_place *place, struct chunk_store *store);
/* Is there anything below an address? 0, 1, or -1 after a message. */
int place_chunks_taken(const char *path);

#endif /* VDI_PLACE_H */
