// SPDX-License-Identifier: GPL-2.0-only
/*
 * media.c - common parts of the tests of drives and media
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "media.h"

int place_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct place *place = calloc(1, sizeof(*place));

	/* as in vdi: write(2) reports the limit on file sizes */
	signal(SIGXFSZ, SIG_IGN);
	snprintf(place->path, sizeof(place->path), "%.40s/media.XXXXXX",
		 tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(place->path));
	place->dir = open(place->path, O_RDONLY | O_DIRECTORY);
	assert_true(place->dir >= 0);
	*state = place;
	return 0;
}

int place_teardown(void **state)
{
	struct place *place = *state;
	DIR *dir = fdopendir(place->dir);
	struct dirent *entry;

	rewinddir(dir);
	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(place->path);
	free(place);
	return 0;
}

struct drive_config writing(uint32_t features)
{
	return (struct drive_config){
		.profile = medium_profile_of(features),
		.writing = true,
		.features = features,
		.block_size = BLOCK,
		.family = 4711,
	};
}

struct drive_config reading(const struct drive_config *config)
{
	struct drive_config out = *config;

	out.writing = false;
	out.family = 0;
	return out;
}

void open_writing(struct drive *d, const struct drive_config *config,
		  const struct place *place)
{
	assert_true(drive_open(d, config, place->dir, NULL));
}

struct medium_list copy_list(const struct medium_list *from)
{
	struct medium_list list = { 0 };
	unsigned int i;

	for (i = 0; i < from->count; i++) {
		assert_true(medium_list_add(&list, from->file[i].name));
		list.file[i].bytes = from->file[i].bytes;
		list.file[i].xxh3 = from->file[i].xxh3;
		list.file[i].given = from->file[i].given;
		list.file[i].given_xxh3 = from->file[i].given_xxh3;
	}
	return list;
}

void reopen_reading(struct drive *d)
{
	struct drive_config config = reading(&d->config);
	struct medium_list list;
	int dir = d->dir;

	assert_true(drive_finish(d));
	list = copy_list(&d->media);
	drive_close(d);
	assert_true(drive_open(d, &config, dir, &list));
}

struct outcome run(struct drive *d, int command, int32_t size,
		   int64_t position, void *buffer)
{
	struct VDC_Command cmd = {
		.commandCode = command,
		.size = size,
		.position = position,
		.buffer = buffer,
	};
	struct outcome out;

	drive_execute(d, &cmd, &out);
	return out;
}

int64_t where(struct drive *d)
{
	struct outcome o = run(d, VDC_GetPosition, 0, 0, NULL);

	assert_int_equal(o.code, 0);
	return o.position;
}

void fill(uint8_t *buffer, uint32_t size, unsigned int seed)
{
	uint32_t i;

	for (i = 0; i < size; i++)
		buffer[i] = seed * 31 + i / BLOCK * 7 + i;
}

void assert_filled(const uint8_t *buffer, uint32_t size, unsigned int seed)
{
	uint8_t *want = malloc(size);

	fill(want, size, seed);
	assert_memory_equal(buffer, want, size);
	free(want);
}

bool any_tick(void *context, uint64_t bytes)
{
	(void)context;
	(void)bytes;
	return true;
}

bool verifies(const struct drive_config *config, const struct place *place,
	      const struct medium_list *list, enum drive_trouble *trouble)
{
	struct drive_config reader = reading(config);
	struct medium_list copy = copy_list(list);
	struct drive d;
	bool ok;

	ok = drive_verify(&d, &reader, place->dir, &copy, any_tick, NULL);
	if (trouble)
		*trouble = d.trouble;
	medium_list_free(&copy);
	return ok;
}

void flip(const struct place *place, const char *name, uint64_t offset,
	  uint8_t bits)
{
	int fd = openat(place->dir, name, O_RDWR);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= bits;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

uint64_t size_of(const struct place *place, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(place->dir, name, &st, 0), 0);
	return st.st_size;
}

void set_size(const struct place *place, const char *name, uint64_t size)
{
	int fd = openat(place->dir, name, O_RDWR);

	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

void write_blocks(struct drive *d, uint32_t blocks, int64_t position,
		  unsigned int seed, int code, uint32_t stored)
{
	static uint8_t data[64 * BLOCK];

	fill(data, blocks * BLOCK, seed);
	expect_outcome(d, VDC_Write, blocks * BLOCK, position, data, code,
		       stored * BLOCK);
}
