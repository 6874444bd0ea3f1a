/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * client.h - a scripted backup program for tests, which can misbehave
 */
#ifndef VDI_TEST_CLIENT_H
#define VDI_TEST_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libvdi.h>

/* The storage of a device. One medium is loaded at a time. */
struct store {
	char dir[200];
	unsigned int device;
	uint32_t features;	/* as configured */
	uint32_t block_size;
	uint64_t capacity;	/* of a medium, 0 = unlimited */
	uint64_t zone;		/* warning zone at its end */
	uint32_t soft;		/* size of a filemark */
	bool stay;		/* a read that meets a filemark stops before it */
	bool simple;		/* required commands only */
	bool keep;		/* existing media are read, not overwritten */

	uint32_t ordinal;
	int fd;			/* pipe, disk */
	int64_t position;	/* pipe, disk: byte; tape: record */
	int64_t written;	/* disk: end of the last write */
	int64_t used;
	struct record {
		uint32_t size;	/* 0 = a filemark */
		uint8_t *data;
	} *records;		/* tape */
	unsigned int count;
};

struct result {
	int code;
	uint32_t bytes;
	int64_t position;
};

bool store_open(struct store *s, uint32_t ordinal);
void store_close(struct store *s);
void store_discard(struct store *s);
void store_execute(struct store *s, const struct VDC_Command *cmd,
		   struct result *result);
/* store_tape.c */
void tape_load(struct store *s, const char *path);
void tape_save(struct store *s, const char *path);
void tape_execute(struct store *s, const struct VDC_Command *cmd,
		  struct result *result);
/* How much of a write fits, and its completion code. */
uint32_t store_room(const struct store *s, uint32_t size, uint64_t growth,
		    int *code);

#endif /* VDI_TEST_CLIENT_H */
