/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tape_format.h - the file format of a tape
 *
 * A label of 512 bytes is followed by frames. A frame is a header of 64 bytes and
 * its payload: the blocks of one write, or a filemark. The last frame marks the
 * end of the tape, so that truncation is detected. Every header has the checksums
 * of its payload, of itself and of the previous header, so that changed bytes and
 * lost, repeated or foreign frames are detected.
 *
 * Blocks and filemarks are numbered from 0; this number is the position of the
 * interface. A filemark has one number. A soft filemark has a payload of zeros of
 * the configured size, which counts towards the capacity; otherwise soft and hard
 * filemarks are the same.
 */
#ifndef VDI_TAPE_H
#define VDI_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAPE_LABEL_SIZE		512
#define TAPE_FRAME_SIZE		64
#define TAPE_MAX_PAYLOAD	(4U << 20)

#define TAPE_LABEL_MAGIC	0x3145504154494456ULL	/* "VDITAPE1" */
#define TAPE_FRAME_MAGIC	0x524d4154U		/* "TAMR" */

enum tape_kind {
	TAPE_DATA	= 1,
	TAPE_MARK	= 2,
	TAPE_SOFT_MARK	= 3,
	TAPE_END	= 4
};

/* All little-endian, as is the frame. */
struct tape_label {
	uint64_t magic;
	uint64_t family;	/* the same on all media of a device */
	uint64_t capacity;	/* bytes of data; 0 = no limit */
	uint32_t medium;	/* from 1 */
	uint32_t device;
	uint32_t block_size;
	uint32_t soft_mark_size;
	uint8_t zero[TAPE_LABEL_SIZE - 48];
	uint64_t xxh3;		/* of the fields above */
};

struct tape_frame {
	uint32_t magic;
	uint32_t kind;
	uint64_t number;	/* of the frame */
	uint64_t address;	/* of its first block */
	uint64_t family;
	uint32_t size;		/* of the payload */
	uint32_t medium;
	uint64_t payload_xxh3;
	uint64_t previous;	/* xxh3 of the previous frame, or of the label */
	uint64_t xxh3;		/* of the fields above */
};

/* A frame in the index, which is complete while a medium is loaded. */
struct tape_entry {
	uint64_t address;
	uint64_t offset;	/* of the frame in the file */
	uint64_t xxh3;		/* of the frame */
	uint32_t blocks;	/* or 1 mark */
	uint32_t size;
	uint32_t kind;
};

struct tape {
	struct tape_entry *entry;
	size_t count;
	size_t room;
	uint64_t label_xxh3;
	uint64_t family;
	uint64_t end;		/* offset after the last frame, end frame excluded */
	uint64_t used;		/* bytes of payload */
	uint8_t *cache;		/* verified payload of entry[cached - 1] */
	size_t cached;		/* 0 = none */
};

struct drive;

/* tape_format.c; false: the drive is in trouble */
bool tape_create(struct drive *d);
/* Read label and headers, and with `tick` also the payload. */
bool tape_scan(struct drive *d, bool (*tick)(void *, uint64_t), void *context);
/* The address after the last frame. */
uint64_t tape_length(const struct tape *t);
/* Index of the entry with this address; t->count at the end. */
size_t tape_find(const struct tape *t, uint64_t address);
/* Read a part of a data frame; the whole frame is verified. */
bool tape_read_frame(struct drive *d, size_t index, uint32_t offset,
		     uint8_t *data, uint32_t size);
bool tape_append(struct drive *d, uint32_t kind, const void *data,
		 uint32_t size);
/* Discard everything from this address on. */
bool tape_cut(struct drive *d, uint64_t address);
/* Write the end frame. */
bool tape_write_end(struct drive *d);
void tape_free(struct tape *t);

#endif /* VDI_TAPE_H */
