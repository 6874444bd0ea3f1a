/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * descriptor.h - descriptor blocks: the header and the end block of a medium
 */
#ifndef VDI_DESCRIPTOR_H
#define VDI_DESCRIPTOR_H

#include "layout.h"

#define DESCRIPTOR_MAGIC	0x314944454d494456ULL	/* "VDIMEDI1" */

enum descriptor_type {
	DESCRIPTOR_HEADER	= 1,
	DESCRIPTOR_END		= 2
};

#define DESCRIPTOR_LAST		(1U << 0)	/* the data ends here */
#define DESCRIPTOR_CONTINUES	(1U << 1)	/* on the next medium */

/* All little-endian; the rest of the block is zero. */
struct descriptor {
	uint64_t magic;
	uint64_t id;		/* of the stream */
	uint32_t type;		/* enum descriptor_type */
	uint32_t flags;		/* 0 in a header: unfinished, or a tape */
	uint32_t device;	/* index */
	uint32_t devices;
	uint32_t block_size;
	uint32_t ordinal;	/* of the medium, from 1 */
	uint32_t soft_mark;	/* size of a soft filemark, 0 = hard ones */
	uint32_t reserved;
	int64_t address;	/* of this block, -1 = unknown */
	int64_t data_address;	/* of the first block of data */
	uint64_t bytes;		/* of data on this medium */
	uint64_t total;		/* on all media up to this one */
	uint64_t total_xxh3;	/* with LAST: of all data of the device */
	uint64_t block_xxh3;	/* of the fields above */
};

/* Write a descriptor from the device's control slot, at `position`. */
bool descriptor_put(struct database *db, unsigned int device,
		    enum descriptor_type type, uint32_t flags, int64_t address,
		    int64_t position);
/* Read a block into the control slot, with any completion code. */
bool descriptor_get(struct database *db, unsigned int device, int64_t position);
/* Is the block that was read a descriptor of this stream, device and medium? */
bool descriptor_check(struct database *db, unsigned int device,
		      enum descriptor_type type, struct descriptor *block);
/* The same, and is it the descriptor that was written? */
bool descriptor_check_written(struct database *db, unsigned int device,
			      enum descriptor_type type,
			      struct descriptor *block);
/* Does an end block match the data that was read before it? */
bool descriptor_check_end(struct database *db, unsigned int device,
			  const struct descriptor *block,
			  const struct tally *tally);

#endif /* VDI_DESCRIPTOR_H */
