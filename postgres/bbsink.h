/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bbsink.h - PostgreSQL's interface for base-backup targets
 *
 * PostgreSQL 15 and later have the interface and export its symbols, but their packages
 * install no header for it. The parts that this module uses are declared here, as they
 * are in versions 15 to 18. A server refuses a module that was built for another major
 * version, so a version must be compared with its source before it is added here.
 */
#ifndef VDISET_BBSINK_H
#define VDISET_BBSINK_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "the base-backup target supports PostgreSQL 15 to 18"
#endif

#include "access/xlogdefs.h"
#include "nodes/pg_list.h"

/* A tablespace of the backup; path is NULL for the data directory. */
typedef struct {
#if PG_VERSION_NUM >= 170000
	Oid oid;
#else
	char *oid;
#endif
	char *path;
	char *rpath;
	int64 size;
} tablespaceinfo;

typedef struct bbsink_state {
	List *tablespaces;		/* of tablespaceinfo */
	int tablespace_num;
	uint64 bytes_done;
	uint64 bytes_total;
	bool bytes_total_is_valid;
	XLogRecPtr startptr;
	TimeLineID starttli;
} bbsink_state;

typedef struct bbsink bbsink;

typedef struct bbsink_ops {
	void (*begin_backup)(bbsink *sink);
	void (*begin_archive)(bbsink *sink, const char *archive_name);
	void (*archive_contents)(bbsink *sink, size_t len);
	void (*end_archive)(bbsink *sink);
	void (*begin_manifest)(bbsink *sink);
	void (*manifest_contents)(bbsink *sink, size_t len);
	void (*end_manifest)(bbsink *sink);
	void (*end_backup)(bbsink *sink, XLogRecPtr endptr, TimeLineID endtli);
	void (*cleanup)(bbsink *sink);
} bbsink_ops;

struct bbsink {
	const bbsink_ops *bbs_ops;
	char *bbs_buffer;
	size_t bbs_buffer_length;
	bbsink *bbs_next;
	bbsink_state *bbs_state;
};

extern void bbsink_forward_begin_backup(bbsink *sink);
extern void bbsink_forward_begin_archive(bbsink *sink,
					 const char *archive_name);
extern void bbsink_forward_archive_contents(bbsink *sink, size_t len);
extern void bbsink_forward_end_archive(bbsink *sink);
extern void bbsink_forward_begin_manifest(bbsink *sink);
extern void bbsink_forward_manifest_contents(bbsink *sink, size_t len);
extern void bbsink_forward_end_manifest(bbsink *sink);
extern void bbsink_forward_end_backup(bbsink *sink, XLogRecPtr endptr,
				      TimeLineID endtli);
extern void bbsink_forward_cleanup(bbsink *sink);

extern void BaseBackupAddTarget(char *name,
				void *(*check_detail)(char *, char *),
				bbsink *(*get_sink)(bbsink *, void *));

#endif /* VDISET_BBSINK_H */
