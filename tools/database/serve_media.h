/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * serve_media.h - the blocks before and after the data of a medium, and writing to
 * media that end
 */
#ifndef VDI_SERVE_MEDIA_H
#define VDI_SERVE_MEDIA_H

#include "layout.h"

#define MEDIUM_MAGIC	0x314944454d494456ULL	/* "VDIMEDI1" */

enum medium_type {
	MEDIUM_HEADER	= 1,
	MEDIUM_END	= 2
};

#define MEDIUM_LAST	(1U << 0)	/* the data ends here */
#define MEDIUM_CONTINUES (1U << 1)	/* on the next medium */

/* All little-endian; the rest of the block is zero. */
struct medium_block {
	uint64_t magic;
	uint64_t id;		/* of the stream */
	uint32_t type;		/* enum medium_type */
	uint32_t flags;		/* none in a header: not finished, or a tape */
	uint32_t device;	/* index */
	uint32_t devices;
	uint32_t block_size;
	uint32_t ordinal;	/* of the medium, from 1 */
	uint32_t soft_mark;	/* size of a soft filemark, 0 = hard ones */
	uint32_t reserved;
	int64_t address;	/* of this block, -1 = not known */
	int64_t data_address;	/* of the first block of data */
	uint64_t bytes;		/* of data on this medium */
	uint64_t total;		/* on all up to this one */
	uint64_t total_xxh3;	/* with LAST: of all the device's data */
	uint64_t block_xxh3;	/* of all before */
};

/* Write such a block from the device's control slot, at `position`. */
bool medium_put(struct database *db, unsigned int device,
		enum medium_type type, uint32_t flags, int64_t address,
		int64_t position);
/* Read a block into the control slot, with any completion code. */
bool medium_get(struct database *db, unsigned int device, int64_t position);
/* Is what was read such a block of this stream, device and medium? */
bool medium_check(struct database *db, unsigned int device,
		  enum medium_type type, struct medium_block *block);
/* And is it the one that was written? */
bool medium_check_written(struct database *db, unsigned int device,
			  enum medium_type type, struct medium_block *block);
/* Does an end agree with what was read before it? */
bool medium_check_end(struct database *db, unsigned int device,
		      const struct medium_block *block,
		      const struct tally *tally);
bool medium_damaged(struct database *db, unsigned int device,
		    const char *what);

/* Put medium `ordinal` into the device's drive, where media can be changed. */
bool medium_load(struct database *db, unsigned int device, uint32_t ordinal);
/* All devices: their first media, ready for data. */
bool media_begin_write(struct database *db);
/* Queue a whole slot of data; goes on to the next medium where one ends. */
bool media_write(struct database *db, struct slot *slot, unsigned int device,
		 uint32_t size);
/* A slot that is free: what was in it is stored. NULL is a db_fail(). */
struct slot *media_slot(struct database *db);
/* No more data comes: wait until all is stored, and end the media. */
bool media_end_write(struct database *db);

#endif /* VDI_SERVE_MEDIA_H */
