/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * layout.h - how vdi serve lays out a stream on pipes, disks and tapes
 *
 * The stream of a device is the same in every layout. On a disk, a header block
 * precedes the data and an end block follows it. A tape has the same blocks,
 * separated from the data by filemarks. A pipe has neither. On removable media
 * the stream continues on the next medium.
 */
#ifndef VDI_LAYOUT_H
#define VDI_LAYOUT_H

#include "database.h"

/* What was read from a device, to be compared with its end block. */
struct tally {
	uint64_t medium_bytes;
	uint64_t total;
	uint64_t xxh3;		/* of the total */
	int code;		/* that ended the data of this medium */
	bool beyond;		/* reads after that one returned data */
};

/* False after db_fail(). No command is outstanding on the device. */
struct layout {
	const char *name;
	uint32_t features;	/* positioning bits, without Removable */
	bool positions;		/* transfers have a position */
	bool media;		/* with header and end blocks */

	/* A medium is loaded: write what precedes the data. */
	bool (*begin_write)(struct database *db, unsigned int device);
	/* Write what follows the data; flags as in descriptor.h. */
	bool (*end_write)(struct database *db, unsigned int device,
			  uint32_t flags);
	/* Called when all data is written and read back. May be NULL. */
	bool (*leave)(struct database *db, unsigned int device);
	/* Find and check what precedes the data. */
	bool (*begin_read)(struct database *db, unsigned int device);
	/* The same for what follows it. *last false: continue on the next. */
	bool (*end_read)(struct database *db, unsigned int device,
			 const struct tally *tally, bool *last);
	/* Bytes to read next, 0 at the end of the medium. */
	uint32_t (*next_read)(struct database *db, unsigned int device,
			      int64_t *position);
};

extern const struct layout layout_pipe;	/* layout_pipe.c */
extern const struct layout layout_disk;	/* layout_disk.c */
extern const struct layout layout_tape;	/* layout_tape.c */

#endif /* VDI_LAYOUT_H */
