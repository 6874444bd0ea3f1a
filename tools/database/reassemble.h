/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reassemble.h - a striped stream, put together again piece by piece
 */
#ifndef VDI_REASSEMBLE_H
#define VDI_REASSEMBLE_H

#include "layout.h"

/* A device's slots, used as a ring: what is read is used in the order sent. */
struct reader {
	unsigned int first;	/* its first slot */
	unsigned int count;	/* number of slots */
	unsigned int next;	/* oldest read, as number from first */
	unsigned int sent;	/* reads in the ring */
	uint32_t offset;	/* bytes of the oldest used up */
	bool ended;		/* no medium follows */
	struct tally tally;
	XXH3_state_t *sum;	/* of all that was read */
};

struct restored {
	struct database *db;
	struct reader reader[VDI_MAX_DEVICES];
	bool ended;			/* all chunks were seen */

	/* the chunk at hand */
	uint64_t number;
	bool in_chunk;
	unsigned int device;
	struct stream_header header;
	uint64_t left;			/* of its payload */
	XXH3_state_t *sum;

	/* what the last restored_read() gave out */
	const uint8_t *piece;
	uint32_t piece_size;
};

/* Connect to the set and start reading. Everything false is a db_fail(). */
bool restored_begin(struct restored *r, struct database *db);
/* The same with a set that is connected, from its first media on. */
bool restored_again(struct restored *r, struct database *db);
/*
 * The next piece, in shared memory, valid until the next call; *size 0 at the
 * end of the stream. Each chunk is checked when its last piece was used.
 */
bool restored_read(struct restored *r, const uint8_t **data, uint32_t *size);
/* After the end: check what comes after the data. */
bool restored_check_end(struct restored *r);
/* The same, and close the devices in order. */
bool restored_end(struct restored *r);
/* In every case; db_end() comes after it. */
void restored_free(struct restored *r);

#endif /* VDI_REASSEMBLE_H */
