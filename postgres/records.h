/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * records.h - the format of a base backup in the stream
 *
 * The stream is a sequence of records, each with a header and a payload. It is
 * distributed over the devices as described in tools/database/stream.h. An archive
 * is a tar file, which may be compressed, in DATA records between BEGIN_ARCHIVE and
 * END_ARCHIVE; the backup manifest has the same form. END_BACKUP is the last
 * record: a stream without it is not a backup.
 */
#ifndef VDISET_RECORDS_H
#define VDISET_RECORDS_H

#include <stdint.h>

#define RECORD_MAGIC 0x50564452U

enum record_type {
	RECORD_BEGIN_BACKUP = 1,	/* payload: struct record_begin */
	RECORD_BEGIN_ARCHIVE,	/* payload: name, NUL, tablespace's path, NUL */
	RECORD_DATA,
	RECORD_END_ARCHIVE,
	RECORD_BEGIN_MANIFEST,
	RECORD_END_MANIFEST,
	RECORD_END_BACKUP	/* payload: struct record_end */
};

/* Little-endian, as are the structures below. */
struct record_header {
	uint32_t magic;
	uint32_t type;
	uint64_t length;	/* of the payload */
};

struct record_begin {
	uint32_t version;	/* of this format: 1 */
	uint32_t pg_version;	/* PG_VERSION_NUM */
	uint64_t system_id;
};

struct record_end {
	uint64_t end_lsn;
	uint32_t end_timeline;
	uint32_t reserved;
};

#define RECORD_MAX_NAME 8192	/* of BEGIN_ARCHIVE's payload */

#endif /* VDISET_RECORDS_H */
