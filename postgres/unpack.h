/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * unpack.h - unpacks the records of a stream into files
 *
 * Nothing in the stream is trusted. Only directories, regular files and links in
 * pg_tblspc are created, below the data directory and below the tablespaces that
 * the caller allows.
 */
#ifndef VDISET_UNPACK_H
#define VDISET_UNPACK_H

#include <limits.h>

#include "database/reassemble.h"
#include "file_threads.h"
#include "label.h"
#include "recovery.h"

#define MAX_MAPPINGS 64
#define MAX_TABLESPACES 1024
#define LINKS "pg_tblspc"	/* the directory of the links of tablespaces */

/* A directory that is restored to. */
struct place {
	char *path;		/* absolute */
	const char *name;	/* last component of path */
	int parent;		/* parent directory, -1: not open */
	int dir;		/* -1: not open */
	bool created;		/* did not exist before */
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

/* The records of the stream; libarchive reads archives from them. */
struct records {
	struct restored restored;
	const uint8_t *data;		/* the rest of the current piece */
	uint32_t size;
	uint64_t left;			/* of the payload of the DATA record */
	bool archive_ended;
};

struct unpack {
	/* options */
	const char *target;		/* absolute, as from unpack_clean_path() */
	bool allow_tablespaces;		/* at their paths in the backup */
	int mappings;
	struct mapping mapping[MAX_MAPPINGS];
	const struct recovery *recovery;	/* NULL = no settings */
	/*
	 * Of one backup of several that are combined: tablespaces are restored to ASIDE-OID.
	 * Those of the last one are also places of `combined`, where they are restored to
	 * in the end; otherwise it is NULL.
	 */
	const char *aside;		/* NULL = the backup is restored alone */
	struct unpack *combined;
	/*
	 * Called when the first record and when backup_label were read; may be NULL. False
	 * after db_fail().
	 */
	bool (*begun)(struct unpack *u);
	bool (*labelled)(struct unpack *u);
	void *context;			/* of these functions */
	const char *manifest_only;	/* write nothing but the manifest, to this file of base */

	struct database *db;
	struct file_threads *threads;	/* NULL = files are written by the caller */
	struct records records;
	struct place base;
	int tablespaces;
	struct tablespace tablespace[MAX_TABLESPACES];
	bool base_seen;
	bool manifest_seen;
	bool mapped;			/* a tablespace was mapped */
	bool group_access;		/* initdb --allow-group-access */
	uint32_t pg_version;		/* PG_VERSION_NUM of the server */
	uint64_t system_id;
	uint64_t end_lsn;		/* of the backup */
	struct label label;		/* of backup_label */
	char archive[32];		/* name of the current one */
};

/*
 * Returns an absolute path without empty components, "." and trailing slashes. The
 * caller frees it. NULL: not absolute, only "/", or with "..".
 */
char *unpack_clean_path(const char *path);

/*
 * Open or create the directory PATH. It must be empty and owned by the caller; with
 * NEW it must not exist. False after db_fail(). place_free() is required in any
 * case.
 */
bool place_make(struct database *db, struct place *place, const char *path,
		bool new);
/* Remove all created files and directories. False after an error message. */
bool place_remove(struct place *place);
void place_free(struct place *place);

/*
 * Unpack all records, up to the end of the stream, with a thread that writes files for each of
 * `threads`. False after db_fail().
 */
bool unpack_records(struct unpack *u, unsigned int threads);
/* Check the data directory; write links, tablespace_map, recovery settings and modes. */
bool unpack_finish(struct unpack *u);
/* The same of a directory that has its links, once its mappings were checked. */
bool unpack_finish_combined(struct unpack *u);
/* Has each -T matched a tablespace? False after db_fail(). */
bool unpack_check_mappings(struct unpack *u);
/* Make all files durable. */
bool unpack_sync(struct unpack *u);
/* Remove all places; false after an error message. */
bool unpack_remove(struct unpack *u);
void unpack_free(struct unpack *u);

/* ------------------------------- between unpack.c, records.c and finish.c */

/* records.c: the records of the stream. False after db_fail(). */

/* Fail: "the stream WHAT". Returns false. */
bool unpack_damaged(struct unpack *u, const char *what);
bool records_get(struct unpack *u, void *to, size_t length);
bool records_next(struct unpack *u, uint32_t *type, uint64_t *length);
/* The next piece of data of an archive or the manifest; size 0: end. */
bool records_data(struct unpack *u, uint32_t end, const uint8_t **data,
		  uint32_t *size);

/* finish.c: up to MAX bytes of a file of the data directory; NULL with errno */
char *unpack_read_file(struct unpack *u, const char *name, size_t max, size_t *size);

/* unpack.c */

/* Fail: "cannot write PLACE/NAME", with errno. Returns false. */
bool unpack_fail_write(struct unpack *u, const struct place *place,
		       const char *name);
/* False with errno. */
bool unpack_write_all(int fd, const void *data, size_t size);

#endif /* VDISET_UNPACK_H */
