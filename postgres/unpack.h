/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * unpack.h - from the records of a stream to files
 *
 * The stream is input from outside: nothing in it is trusted. What it describes
 * is created below the data directory and below the tablespaces that the caller
 * admits, as directories, regular files and links in pg_tblspc.
 */
#ifndef VDISET_UNPACK_H
#define VDISET_UNPACK_H

#include <limits.h>

#include "database/reassemble.h"

#define MAX_MAPPINGS 64
#define MAX_TABLESPACES 1024

/* A directory that is restored into. */
struct place {
	char *path;		/* absolute */
	const char *name;	/* last component of it */
	int parent;		/* the directory that holds it, -1: not open */
	int dir;		/* -1: not open */
	bool created;		/* not there before */
};

struct tablespace {
	struct place place;
	char *oid;
};

struct mapping {
	char *from;
	char *to;
	bool used;
};

/* The stream as records; libarchive pulls archives out of it. */
struct source {
	struct restored restored;
	const uint8_t *data;		/* the rest of the current piece */
	uint32_t size;
	uint64_t left;			/* of the DATA record's payload */
	bool archive_ended;
};

struct unpack {
	/* options */
	const char *target;		/* absolute, as from unpack_clean_path() */
	bool allow_tablespaces;		/* at the paths that the backup names */
	int mappings;
	struct mapping mapping[MAX_MAPPINGS];

	struct database *db;
	struct source source;
	struct place base;
	int tablespaces;
	struct tablespace tablespace[MAX_TABLESPACES];
	bool base_seen;
	bool manifest_seen;
	bool mapped;			/* a tablespace moves */
	bool group_access;		/* initdb --allow-group-access */
	char archive[32];		/* name of the current one */
};

/*
 * An absolute path without empty components, "." and a slash at the end, newly
 * allocated. NULL: not absolute, no more than "/", or with a "..".
 */
char *unpack_clean_path(const char *path);

/*
 * Open or create the directory at PATH: it must be empty, and the caller's. With
 * NEW it must not be there. A db_fail() when false; place_free() in every case.
 */
bool place_make(struct database *db, struct place *place, const char *path,
		bool new);
/* Remove what was created; false after an error message. */
bool place_remove(struct place *place);
void place_free(struct place *place);

/* All records of the stream, up to its end. A db_fail() when false. */
bool unpack_records(struct unpack *u);
/* Is it a data directory? Links, tablespace_map and modes of directories. */
bool unpack_finish(struct unpack *u);
/* Everything that was written becomes durable. */
bool unpack_sync(struct unpack *u);
/* Remove all places; false after an error message. */
bool unpack_remove(struct unpack *u);
void unpack_free(struct unpack *u);

#endif /* VDISET_UNPACK_H */
