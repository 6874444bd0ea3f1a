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

/* What was read from a device, to be held against what its media say. */
struct tally {
	uint64_t medium_bytes;
	uint64_t total;
	uint64_t xxh3;		/* of the total */
	int code;		/* that ended this medium's data */
	bool beyond;		/* reads after that one brought data */
};

/* All false is a db_fail(). Nothing is outstanding on the device. */
struct layout {
	const char *name;
	uint32_t features;	/* of the positioning bits, Removable excepted */
	bool positions;		/* transfers carry one */
	bool media;		/* there are header and end blocks */

	/* A medium is there: write what comes before the data. */
	bool (*begin_write)(struct database *db, unsigned int device);
	/* Write what comes after the data; flags are of serve_media.h. */
	bool (*end_write)(struct database *db, unsigned int device,
			  uint32_t flags);
	/* All is written and verified. May be NULL. */
	bool (*leave)(struct database *db, unsigned int device);
	/* Find and check what comes before the data. */
	bool (*begin_read)(struct database *db, unsigned int device);
	/* The same for what comes after; *last false: look at the next. */
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
