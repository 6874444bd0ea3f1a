/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * client.h - a backup program for tests: it does what it is told, also wrong
 */
#ifndef VDI_TEST_CLIENT_H
#define VDI_TEST_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libvdi.h>

/* What a device stores on. One medium is there at a time. */
struct store {
	char dir[200];
	unsigned int device;
	uint32_t features;	/* as fixed */
	uint32_t block_size;
	uint64_t capacity;	/* of a medium, 0 = endless */
	uint64_t zone;		/* at its end, where writing is warned of */
	uint32_t soft;		/* what a filemark takes */
	bool stay;		/* a read that meets a mark stays before it */
	bool simple;		/* no command but the needed ones */
	bool keep;		/* media are read, not begun anew */

	uint32_t ordinal;
	int fd;			/* pipe, disk */
	int64_t position;	/* pipe, disk: byte; tape: record */
	int64_t written;	/* disk: where the last write ended */
	int64_t used;
	struct record {
		uint32_t size;	/* 0 is a mark */
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
/* How much of a write fits, with the code for it. */
uint32_t store_room(const struct store *s, uint32_t size, uint64_t growth,
		    int *code);

#endif /* VDI_TEST_CLIENT_H */
