/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * media.h - common parts of the tests of drives and media
 */
#ifndef TEST_MEDIA_H
#define TEST_MEDIA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "media/medium.h"

#define BLOCK	512U
#define TAPE	(VDF_LikeTape | VDF_Discard)
#define DISK	(VDF_LikeDisk | VDF_Discard)

/* cmocka setup and teardown: a private directory, in *state */
struct place {
	char path[64];
	int dir;
};
int place_setup(void **state);
int place_teardown(void **state);

/* A drive for a backup; the features select the profile. */
struct drive_config writing(uint32_t features);
void open_writing(struct drive *d, const struct drive_config *config,
		  const struct place *place);
/* Close d, and open its media again for a restore. */
void reopen_reading(struct drive *d);
/* A copy of the media of a finished drive. */
struct medium_list copy_list(const struct medium_list *from);
struct drive_config reading(const struct drive_config *config);

struct outcome run(struct drive *d, int command, int32_t size,
		   int64_t position, void *buffer);
/* Run a command and check its outcome. */
#define expect_outcome(d, command, size, position, buffer, want, want_bytes) \
	do {								\
		struct outcome o_ = run(d, command, size, position, buffer); \
		assert_int_equal(o_.code, want);			\
		assert_int_equal(o_.bytes, want_bytes);			\
	} while (0)
#define expect_code(d, command, size, want) \
	expect_outcome(d, command, size, 0, NULL, want, 0)
int64_t where(struct drive *d);

/* Blocks with recognizable contents. */
void fill(uint8_t *buffer, uint32_t size, unsigned int seed);
void assert_filled(const uint8_t *buffer, uint32_t size, unsigned int seed);

/* Write blocks filled with `seed`: `code`, and `stored` blocks are expected. */
void write_blocks(struct drive *d, uint32_t blocks, int64_t position,
		  unsigned int seed, int code, uint32_t stored);

bool any_tick(void *context, uint64_t bytes);
/* Do all media verify? */
bool verifies(const struct drive_config *config, const struct place *place,
	      const struct medium_list *list, enum drive_trouble *trouble);
/* Change or truncate a file. */
void flip(const struct place *place, const char *name, uint64_t offset,
	  uint8_t bits);
uint64_t size_of(const struct place *place, const char *name);
void set_size(const struct place *place, const char *name, uint64_t size);

#endif /* TEST_MEDIA_H */
