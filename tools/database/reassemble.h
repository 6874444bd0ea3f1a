/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reassemble.h - reads a striped stream from the devices of a set
 */
#ifndef VDI_REASSEMBLE_H
#define VDI_REASSEMBLE_H

#include "layout.h"

/* The slots of a device, a ring: reads are used in the order of sending. */
struct reader {
	unsigned int first;	/* its first slot */
	unsigned int count;	/* number of slots */
	unsigned int next;	/* oldest read, relative to first */
	unsigned int sent;	/* reads in the ring */
	uint32_t offset;	/* bytes of the oldest read that were used */
	bool ended;		/* the last medium has ended */
	struct tally tally;
	XXH3_state_t *sum;	/* of all data that was read */
};

struct restored {
	struct database *db;
	struct reader reader[VDI_MAX_DEVICES];
	bool ended;			/* the end chunk was read */

	/* the current chunk */
	uint64_t number;
	bool in_chunk;
	unsigned int device;
	struct stream_header header;
	uint64_t left;			/* bytes of its payload */
	XXH3_state_t *sum;

	/* returned by the last restored_read() */
	const uint8_t *piece;
	uint32_t piece_size;
};

/* Join the set and start reading. All functions: false after db_fail(). */
bool restored_begin(struct restored *r, struct database *db);
/* The same on a set that is joined, from the first medium of each device. */
bool restored_again(struct restored *r, struct database *db);
/*
 * The next piece, in shared memory, valid until the next call. *size is 0 at the
 * end of the stream. A chunk is checked by the call after its last piece.
 */
bool restored_read(struct restored *r, const uint8_t **data, uint32_t *size);
/* After the end of the stream: check what follows the data. */
bool restored_check_end(struct restored *r);
/* The same, and close the devices. */
bool restored_end(struct restored *r);
/* To be called in any case, before db_end(). */
void restored_free(struct restored *r);

#endif /* VDI_REASSEMBLE_H */
