/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * restore.h - vdi-pg-restore: what its files share
 */
#ifndef VDISET_RESTORE_H
#define VDISET_RESTORE_H

#include "unpack.h"

#define MAX_CHAIN 256		/* a full backup and its increments */

struct restore {
	/* options */
	struct database options;	/* of each set */
	char *const *set;		/* names, in the order of the backups */
	unsigned int count;
	char *target;			/* absolute, as from unpack_clean_path() */
	char *manifest;			/* file of --manifest, absolute; NULL = restore */
	const char *bindir;		/* of the server's programs; NULL = search */
	struct recovery recovery;
	bool owner_given;
	uid_t owner;
	gid_t group;

	char *partial;			/* TARGET.partial, or MANIFEST.partial */
	struct database db;		/* of the current set */
	unsigned int current;		/* its index in `set` */
	struct unpack unpack;		/* what is restored in the end */
	/* several backups: see chain.c */
	struct place work;		/* PARTIAL, which has one directory for each backup */
	struct unpack part;		/* of the current one */
	struct label last;		/* of the previous one */
	uint64_t system_id;		/* of the first one */
	uint32_t pg_version;
	char *combine;			/* the program */
	/* of all sets, for the summary */
	uint64_t moved;
	double seconds;
	unsigned int devices;		/* of the last set */
};

/* restore_cli.c: EXIT_OK or an exit code; --help ends the program. */
int restore_parse(struct restore *r, int argc, char **argv);

/* restore.c */
/* The current set: before it is joined, and at the end, which returns the exit code. */
void restore_begin_set(struct restore *r);
int restore_end_set(struct restore *r);
/* Join it with the privileges of root, and drop them. False after db_fail(). */
bool restore_join(struct restore *r);
/* Read its stream, and check what follows. */
bool restore_read(struct restore *r, struct unpack *u);
/* Fail if a signal was received. */
bool restore_check_interrupt(struct restore *r);

/* chain.c */
/*
 * Restore all backups, and combine them. Returns an exit code; *complete: all files of
 * the combined backup are durable.
 */
int chain_restore(struct restore *r, bool *complete);
/* After a failure: remove all that was created. */
void chain_remove(struct restore *r);
void chain_free(struct restore *r);
/* For unpack.labelled: fail if a backup that is restored alone is an increment. */
bool chain_refuse_increment(struct unpack *u);

/* combine.c: pg_combinebackup of the version of the backups. False after db_fail(). */
bool combine_find(struct restore *r);
/* Combine the backups in the working directory in r->unpack.base. */
bool combine_run(struct restore *r);

/* save_manifest.c */
/* Can the file be created? *owner receives that of its directory. */
bool save_manifest_check(struct restore *r, uid_t *owner);
/* Write the manifest of the set to the file; an exit code. */
int save_manifest(struct restore *r);

#endif /* VDISET_RESTORE_H */
